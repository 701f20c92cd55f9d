"""`agora ledger …`."""

from functools import partial
from typing import Annotated

import typer

from actors.commands import cascade as cascade_commands
from actors.commands import status as status_commands
from actors.commands import tables as table_commands
from actors.line.call import call_of
from web.tables_client import Table, TableFormat

app = typer.Typer(help="Look after the money.", no_args_is_help=True)

Format = Annotated[TableFormat, typer.Option("--format", help="CSV, or JSON Lines.")]
File = Annotated[str, typer.Option(help="A new file to write to, or - for stdout.")]


@app.command("check")
def check_ledger(context: typer.Context) -> None:
    """Prove that no money came from nowhere."""
    shell = call_of(context).shell()
    shell.run(partial(status_commands.check_ledger, shell))


@app.command("reconcile")
def reconcile(
    context: typer.Context,
    *,
    provider: Annotated[str, typer.Option(help="Who charged it.")] = "",
    spent: Annotated[str, typer.Option(help="How much of it was spent there, in USD.")] = "0",
    unspent: Annotated[str, typer.Option(help="How much of it was not spent at all, in USD.")] = "0",
) -> None:
    """Say what a bill says of money of which nobody knew whether it was spent; alone, show how much that is."""
    shell = call_of(context).shell()
    shell.run(partial(cascade_commands.reconcile, shell, provider, spent, unspent))


@app.command("balances")
def write_balances(context: typer.Context, format_: Format = "csv", file: File = "-") -> None:
    """Write all balances: incoming, outgoing, fees, net, held, available."""
    _write(context, "balances", format_, file)


@app.command("days")
def write_days(
    context: typer.Context,
    format_: Format = "csv",
    file: File = "-",
    account: Annotated[str, typer.Option(help="Only this one, such as agents/scout.", show_default="all")] = "",
) -> None:
    """Write what came in and went out by day (UTC) and account."""
    _write(context, "days", format_, file, account)


@app.command("transfers")
def write_transfers(context: typer.Context, format_: Format = "csv", file: File = "-") -> None:
    """Write every transfer, hold, release and refusal."""
    _write(context, "transfers", format_, file)


@app.command("decisions")
def write_decisions(context: typer.Context, format_: Format = "csv", file: File = "-") -> None:
    """Write every closed auction, and every bid that an agent learned from, with the reasons."""
    _write(context, "decisions", format_, file)


def _write(context: typer.Context, table: Table, format_: TableFormat, file: str, account: str = "") -> None:
    shell = call_of(context).shell()
    shell.run(partial(table_commands.write, shell, table, format_, file, account))
