"""`agora ledger …`."""

from functools import partial

import typer

from actors.commands import status as status_commands
from actors.line.call import call_of

app = typer.Typer(help="Look after the money.", no_args_is_help=True)


@app.command("check")
def check_ledger(context: typer.Context) -> None:
    """Prove that no money came from nowhere."""
    shell = call_of(context).shell()
    shell.run(partial(status_commands.check_ledger, shell))
