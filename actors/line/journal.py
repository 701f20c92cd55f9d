"""What is done with a journal as a whole: replay, export, import, verify, prune, redact, backup and view."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from actors.commands import exchange as exchange_commands
from actors.commands import journal as journal_commands
from actors.commands.redact import Target
from actors.commands.redact import redact as run_redact
from actors.commands.replay import replay as run_replay
from actors.commands.view import view as run_view
from actors.line.call import call_of

What = Annotated[Path, typer.Argument(help="A data directory, a mirror, or an export.")]
NewFile = Annotated[Path, typer.Argument(help="A new file.")]

app = typer.Typer()


@app.command()
def replay(
    context: typer.Context,
    to: Annotated[
        int | None, typer.Option(help="Fold up to this position.", min=0, show_default="the last one")
    ] = None,
) -> None:
    """Fold the journal from nothing; exit with 1 if a checkpoint says something else."""
    shell = call_of(context).shell()
    shell.run(partial(run_replay, shell, to))


@app.command()
def export(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="A new file, or - for stdout.")] = "-",
    *,
    sealed: Annotated[
        bool, typer.Option("--sealed", help="With sealed fields, such as the bids of open auctions.")
    ] = False,
) -> None:
    """Write the journal as JSON Lines."""
    shell = call_of(context).shell()
    shell.run(partial(exchange_commands.export, shell, file, has_sealed=sealed))


@app.command("import")
def import_(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="What `export --sealed` wrote, or - for stdin.")] = "-",
) -> None:
    """Make a data directory of JSON Lines; tell every line that cannot be taken."""
    shell = call_of(context).shell()
    shell.run(partial(exchange_commands.import_, shell, file))


@app.command()
def verify(context: typer.Context) -> None:
    """Prove that the journal is what was written, and name the first position that is not."""
    shell = call_of(context).shell()
    shell.run(partial(journal_commands.verify, shell))


@app.command()
def prune(
    context: typer.Context,
    upto: Annotated[
        int, typer.Option(help="Up to this position; without it, as the settings say.", min=0, show_default=False)
    ] = 0,
) -> None:
    """Let old events go; the ledger's and approvals' stay, and so does what a checkpoint may need."""
    shell = call_of(context).shell()
    shell.run(partial(journal_commands.prune, shell, upto))


@app.command()
def redact(
    context: typer.Context,
    *,
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    by: Annotated[str, typer.Option(help="Who asked for it, for the record.")] = "operator",
    task: Annotated[str, typer.Option(help="What was said in this task.")] = "",
    agent: Annotated[str, typer.Option(help="What this agent said and was told.")] = "",
    run: Annotated[str, typer.Option(help="What was said in this run.")] = "",
    correlation: Annotated[str, typer.Option(help="What was said in this conversation.")] = "",
    position: Annotated[int, typer.Option(help="What this one event says.", min=0, show_default=False)] = 0,
) -> None:
    """Make personal text unreadable for good: its keys are destroyed, and the proofs still hold. Needs no server."""
    shell = call_of(context).shell()
    target = Target(task, agent, run, correlation, position)
    shell.run(partial(run_redact, shell, target, reason=reason, by=by))


@app.command()
def backup(context: typer.Context, file: NewFile) -> None:
    """Copy the data directory into one file, while it is used or not, and prove the copy."""
    shell = call_of(context).shell()
    shell.run(partial(exchange_commands.backup, shell, file))


@app.command()
def view(context: typer.Context, what: What) -> None:
    """Show the pages over a journal or a mirror, with nothing running."""
    shell = call_of(context).shell()
    shell.run(partial(run_view, shell, what), is_server=True)
