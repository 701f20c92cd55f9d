"""`agora checkpoints …`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from actors.commands import checkpoints as checkpoint_commands
from actors.commands import forks as fork_commands
from actors.line.call import call_of

Which = Annotated[str, typer.Argument(help="An id, a position, step:N, a label, a time, or `newest`.")]
OneOrAll = Annotated[str, typer.Argument(help="An id, position, step:N, label, time or `newest`.", show_default="all")]
Into = Annotated[Path, typer.Option(help="An empty or new directory.")]
Keep = Annotated[int, typer.Option(help="How many stay beside the pinned ones.", min=1)]
At = Annotated[str, typer.Argument(help="A position, or a checkpoint's id, label, time, step:N or `newest`.")]

app = typer.Typer(help="List, verify, compare, save, pin and go back to checkpoints.", no_args_is_help=True)


@app.command("list")
def list_checkpoints(context: typer.Context) -> None:
    """List what is kept, newest first, and what is damaged.

    The manifests are read and proved, and the lists of actors. The states themselves are not: verify proves them.
    """
    shell = call_of(context).shell()
    shell.run(partial(checkpoint_commands.list_, shell))


@app.command("verify")
def verify_checkpoints(
    context: typer.Context,
    checkpoint: OneOrAll = "",
) -> None:
    """Prove that checkpoints are whole."""
    shell = call_of(context).shell()
    shell.run(partial(checkpoint_commands.verify, shell, checkpoint))


@app.command("create")
def create_checkpoint(
    context: typer.Context,
    label: Annotated[str, typer.Option(help="A name to find it by.")] = "",
) -> None:
    """Save a checkpoint now."""
    shell = call_of(context).shell()
    shell.run(partial(checkpoint_commands.create, shell, label))


@app.command("pin")
def pin_checkpoint(context: typer.Context, checkpoint: Which) -> None:
    """Let one stay, whatever comes after it."""
    shell = call_of(context).shell()
    shell.run(partial(checkpoint_commands.pin, shell, checkpoint, is_pinned=True))


@app.command("unpin")
def unpin_checkpoint(context: typer.Context, checkpoint: Which) -> None:
    """Let one go its way with the others."""
    shell = call_of(context).shell()
    shell.run(partial(checkpoint_commands.pin, shell, checkpoint, is_pinned=False))


@app.command("diff")
def diff_checkpoints(context: typer.Context, first: Which, second: Which) -> None:
    """Show what changed from one to another, actor by actor."""
    shell = call_of(context).shell()
    shell.run(partial(checkpoint_commands.diff, shell, first, second))


@app.command("prune")
def prune_checkpoints(context: typer.Context, keep: Keep = 1) -> None:
    """Remove all but the newest and the pinned ones."""
    shell = call_of(context).shell()
    shell.run(partial(checkpoint_commands.prune, shell, keep))


@app.command("restore")
def restore_checkpoint(context: typer.Context, at: At) -> None:
    """Go on from an earlier position; what is there now is kept beside it."""
    shell = call_of(context).shell()
    shell.run(partial(fork_commands.restore, shell, at))


@app.command("fork")
def fork_checkpoint(context: typer.Context, at: At, into: Into) -> None:
    """Make another directory that goes on from an earlier position."""
    shell = call_of(context).shell()
    shell.run(partial(fork_commands.fork, shell, at, into))
