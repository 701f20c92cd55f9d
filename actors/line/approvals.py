"""`agora approvals …`, `agora approve` and `agora reject`."""

from functools import partial
from typing import Annotated

import typer

from actors.commands import approvals as approval_commands
from actors.line.call import call_of

OnlyState = Annotated[str, typer.Option("--state", help="Only those in this state, such as ready.")]
Proposal = Annotated[str, typer.Argument(help="Its id, such as p-1.", metavar="ID")]
Reason = Annotated[str, typer.Option(help="Why. Asked for when it is left out.")]
Hash = Annotated[str, typer.Option("--hash", help="Decide only if this is still its hash.")]

app = typer.Typer(help="What waits for a person's word.", no_args_is_help=True)
decisions = typer.Typer()
"""`approve` and `reject` stand beside the other commands: they are what people type."""


@app.command("list")
def list_approvals(context: typer.Context, state: OnlyState = "") -> None:
    """Show the newest proposals, and how many wait."""
    shell = call_of(context).shell()
    shell.run(partial(approval_commands.list_, shell, state))


@app.command("branches")
def list_branches(context: typer.Context) -> None:
    """Show the refs that keep what was proposed, in all repositories."""
    shell = call_of(context).shell()
    shell.run(partial(approval_commands.branches, shell))


@decisions.command()
def approve(context: typer.Context, proposal: Proposal, reason: Reason = "", hash_: Hash = "") -> None:
    """Show a proposal with its diff, ask, and approve exactly that."""
    decide(context, proposal, "approve", reason, hash_)


@decisions.command()
def reject(context: typer.Context, proposal: Proposal, reason: Reason = "", hash_: Hash = "") -> None:
    """Show a proposal with its diff, ask, and reject it."""
    decide(context, proposal, "reject", reason, hash_)


def decide(context: typer.Context, proposal: str, word: approval_commands.Decision, reason: str, hash_: str) -> None:
    """Run the command that shows a proposal, asks, and decides."""
    shell = call_of(context).shell()
    shell.run(partial(approval_commands.decide, shell, proposal, word, reason=reason, hash_=hash_))
