"""`agora invoice`: money from outside, over Lightning."""

import secrets
from datetime import UTC, datetime

from rich.table import Table

from actors.commands.connection import joined
from actors.commands.console import ExitCode, Shell
from bus.messages.base import AccountId
from bus.messages.lightning import InvoiceState, InvoiceView

SIMULATED = "simulated: nobody can pay it, and it brings no real money"


async def create(shell: Shell, amount_msat: int, account: str, description: str, expiry_s: int) -> ExitCode:
    """Have an invoice made, and show its text. Raises AgoraError."""
    async with joined(shell) as agora:
        view = await agora.invoices.create(
            amount_msat,
            account=AccountId(account),
            description=description,
            expiry_s=expiry_s,
            key=f"invoice/{secrets.token_hex(8)}",
        )
    return _tell(shell, view)


async def show(shell: Shell, invoice: str) -> ExitCode:
    """One invoice. Raises AgoraError."""
    async with joined(shell) as agora:
        view = await agora.invoices.show(invoice)
    return _tell(shell, view)


async def settle(shell: Shell, invoice: str, preimage: str) -> ExitCode:
    """Play the payer of a simulated invoice. Raises AgoraError."""
    async with joined(shell) as agora:
        view = await agora.invoices.settle(invoice, preimage)
    return _tell(shell, view)


async def list_(shell: Shell, state: str) -> ExitCode:
    """The newest invoices. Raises AgoraError."""
    async with joined(shell) as agora:
        page = await agora.invoices.all(state=state)
    if shell.is_json:
        shell.print_json(page)
        return ExitCode.DONE
    table = Table("invoice", "state", "for", "msat", "backend", "created", "what for")
    for one in page.invoices:
        came = one.received_msat or one.amount_msat
        table.add_row(
            one.invoice, one.state, one.account, str(came), one.backend, _time(one.created_us), one.description
        )
    if page.invoices:
        shell.print_table(table)
    else:
        shell.say("there is no invoice")
    if page.is_simulated:
        shell.say(f"the backend is {SIMULATED.replace('it ', 'its invoices ', 1).replace('brings', 'bring')}")
    return ExitCode.DONE


def _tell(shell: Shell, view: InvoiceView) -> ExitCode:
    if shell.is_json:
        shell.print_json(view)
    else:
        came = f"{view.received_msat} msat came" if view.received_msat else f"{view.amount_msat} msat"
        shell.say(f"{view.invoice} {view.state}: {came} for {view.account}, over {view.backend}")
        if view.state is InvoiceState.PENDING:
            shell.say(f"until {_time(view.expires_us)}")
            shell.say(view.request)
        if view.preimage:
            shell.say(f"proof: {view.preimage}")
        if view.reason:
            shell.say(view.reason)
        if view.is_simulated:
            shell.say(SIMULATED)
    return ExitCode.FAILED if view.state in (InvoiceState.FAILED, InvoiceState.EXPIRED) else ExitCode.DONE


def _time(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
