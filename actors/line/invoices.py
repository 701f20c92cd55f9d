"""`agora invoice …`."""

from functools import partial
from typing import Annotated

import typer

from actors.commands import invoices as invoice_commands
from actors.line.call import call_of
from bus.messages.ledger import TREASURY
from bus.messages.lightning import InvoiceState

app = typer.Typer(help="Money from outside, over Lightning.", no_args_is_help=True)

Invoice = Annotated[str, typer.Argument(help="Its id, such as i-1.")]


@app.command("create")
def create_invoice(
    context: typer.Context,
    amount: Annotated[int, typer.Argument(help="What to ask for, in msat.", min=1)],
    *,
    account: Annotated[str, typer.Option(help="Whom it brings money.")] = TREASURY,
    description: Annotated[str, typer.Option(help="What the payer reads.")] = "",
    expiry: Annotated[
        int, typer.Option(help="How many seconds it may be paid.", min=0, show_default="as configured")
    ] = 0,
) -> None:
    """Have an invoice made, and print its text."""
    shell = call_of(context).shell()
    shell.run(partial(invoice_commands.create, shell, amount, account, description, expiry))


@app.command("show")
def show_invoice(context: typer.Context, invoice: Invoice) -> None:
    """Show one; exit with 1 if it has failed or expired."""
    shell = call_of(context).shell()
    shell.run(partial(invoice_commands.show, shell, invoice))


@app.command("list")
def list_invoices(
    context: typer.Context,
    state: Annotated[InvoiceState | None, typer.Option(help="Only those in this state.", show_default="all")] = None,
) -> None:
    """Show the newest ones."""
    shell = call_of(context).shell()
    shell.run(partial(invoice_commands.list_, shell, state or ""))


@app.command("settle")
def settle_invoice(
    context: typer.Context,
    invoice: Invoice,
    preimage: Annotated[str, typer.Option(help="In hex.", show_default="the right one")] = "",
) -> None:
    """Play the payer of a simulated invoice."""
    shell = call_of(context).shell()
    shell.run(partial(invoice_commands.settle, shell, invoice, preimage))
