"""What tests of money need: books that are filled, and commands in few words."""

from collections.abc import Iterable

import msgspec

from actors.rules import books, ledger
from actors.rules.books import Books
from bus.messages.base import AccountId, Event, TransferId
from bus.messages.ledger import (
    Currency,
    HoldTransfer,
    MoneyCommand,
    PostTransfer,
    Transfer,
    TransferView,
    VoidTransfer,
)

NOW_US = 1_800_000_000_000_000


def filled(msat: int = 1_000) -> Books:
    """Books after genesis, with so much in the treasury."""
    state = Books()
    fold(state, ledger.decide_genesis(state, msat))
    return state


def fold(state: Books, events: Iterable[Event]) -> None:
    for event in events:
        books.apply(state, event)


def carry_out(state: Books, command: MoneyCommand, now_us: int = NOW_US) -> TransferView:
    """What the ledger's shell does with a command."""
    ledger.check_command(command)
    fold(state, ledger.decide(state, command, now_us))
    return ledger.first_result(state, command)


def transfer(
    name: str, amount: int, debit: str = "treasury", credit: str = "bob", currency: Currency = "msat"
) -> Transfer:
    return Transfer(TransferId(name), AccountId(debit), AccountId(credit), currency, amount)


def hold(name: str, amount: int, debit: str = "treasury", credit: str = "bob", timeout_s: float = 0.0) -> HoldTransfer:
    return HoldTransfer(TransferId(name), AccountId(debit), AccountId(credit), "msat", amount, timeout_s)


def post(name: str, of: str, amount: int = 0, credit: str = "") -> PostTransfer:
    return PostTransfer(TransferId(name), TransferId(of), amount, AccountId(credit))


def void(name: str, of: str) -> VoidTransfer:
    return VoidTransfer(TransferId(name), TransferId(of))


def net(state: Books, account: str, currency: Currency = "msat") -> int:
    return books.net(state.accounts.get(currency, {}).get(AccountId(account), books.Book()))


def available(state: Books, account: str) -> int:
    return books.available(state.accounts.get("msat", {}).get(AccountId(account), books.Book()))


def through_json(state: Books) -> Books:
    """The state as a checkpoint gives it back."""
    return msgspec.json.decode(msgspec.json.encode(state), type=Books)
