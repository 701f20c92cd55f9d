"""`agora token …`."""

from functools import partial
from typing import Annotated

import typer

from actors.commands import tokens as token_commands
from actors.line.call import call_of

app = typer.Typer(help="Tokens of agents, people and programs.", no_args_is_help=True)


@app.command("create")
def create_token(
    context: typer.Context,
    agent: Annotated[str, typer.Option(help="The agent that it may speak for.")] = "",
    name: Annotated[str, typer.Option(help="What to call it; the agent's name if left out.")] = "",
    scope: Annotated[
        list[str] | None, typer.Option(help="Instead of an agent: read, task, agent, ledger, approve, admin.")
    ] = None,
) -> None:
    """Make a token for an agent's own program, or one with scopes, and print it once."""
    shell = call_of(context).shell()
    shell.run(partial(token_commands.create, shell, agent, name, tuple(scope or ())))


@app.command("list")
def list_tokens(context: typer.Context) -> None:
    """Show which tokens are good."""
    shell = call_of(context).shell()
    shell.run(partial(token_commands.list_, shell))


@app.command("revoke")
def revoke_token(context: typer.Context, name: Annotated[str, typer.Argument(help="The token's name.")]) -> None:
    """Let a token be good no more."""
    shell = call_of(context).shell()
    shell.run(partial(token_commands.revoke, shell, name))
