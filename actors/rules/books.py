"""The books themselves: what the ledger remembers, how events change it, and the proof that it adds up.

Rules: `apply` is the only thing that changes the books, live and on replay alike; it is total. Every posting adds the
same amount to one account's outgoing and another's incoming side. The proof builds all totals again from the single
transfers and compares them with the running ones.

Pure: no clock, no disk.
"""

from collections.abc import Iterator
from typing import get_args

import msgspec

from bus.messages.base import AccountId, Event, Microseconds, TransferId
from bus.messages.ledger import (
    FEES,
    AccountOpened,
    Balance,
    Conservation,
    Currency,
    HoldTransfer,
    PostTransfer,
    Transfer,
    TransferExpired,
    TransferHeld,
    TransferPosted,
    TransferPostedMany,
    TransferRefused,
    TransferState,
    TransferView,
    TransferVoided,
    VoidTransfer,
)
from bus.refusals import NotFound

AMOUNT_MAX = 2**53
"""The largest integer that every JSON reader, a browser included, reads exactly."""
UNLIMITED = -1
CURRENCIES: tuple[Currency, ...] = get_args(Currency)
PROBLEMS_MAX = 20
"""Damaged books are described, not dumped."""


class Book(msgspec.Struct, gc=False):
    """One account in one currency; all totals only what has happened, in its smallest unit."""

    credit_limit: int = 0
    incoming: int = 0
    outgoing: int = 0
    held_out: int = 0
    held_in: int = 0
    fees: int = 0
    """The part of `outgoing` that went to accounts of fees."""


class Asked(msgspec.Struct, frozen=True, gc=False):
    """The fields of a command that its id stands for; a repeat must have the same."""

    kind: str
    amount: int
    debit: str = ""
    credit: str = ""
    currency: str = ""
    hold: str = ""
    timeout_s: float = 0.0


class Entry(msgspec.Struct, gc=False):
    """A transfer and what became of it."""

    asked: Asked
    state: TransferState
    debit: AccountId
    credit: AccountId
    currency: Currency
    amount: int
    reason: str = ""
    hold: TransferId = TransferId("")
    expires_us: Microseconds = 0


class Books(msgspec.Struct):
    """All that the ledger knows."""

    accounts: dict[Currency, dict[AccountId, Book]] = {}
    """By currency, then by account."""
    transfers: dict[TransferId, Entry] = {}
    expiring: dict[TransferId, Microseconds] = {}
    """The open holds that have a time limit."""


def net(book: Book) -> int:
    """What came in less what went out."""
    return book.incoming - book.outgoing


def available(book: Book) -> int:
    """What one more transfer may take, holds and credit counted; at most `AMOUNT_MAX` where credit is unlimited."""
    if book.credit_limit == UNLIMITED:
        return AMOUNT_MAX
    return book.incoming - book.outgoing - book.held_out + book.credit_limit


def balance_of(account: AccountId, currency: Currency, book: Book) -> Balance:
    """The book as anyone may see it."""
    return Balance(
        account=account,
        currency=currency,
        incoming=book.incoming,
        outgoing=book.outgoing,
        fees=book.fees,
        held_out=book.held_out,
        held_in=book.held_in,
        credit_limit=book.credit_limit,
        net=net(book),
        available=available(book),
    )


def balances(books: Books, account: str = "", currency: Currency | None = None) -> tuple[Balance, ...]:
    """All balances that match, by currency and account."""
    return tuple(
        balance_of(name, unit, book)
        for unit in CURRENCIES
        if currency in (None, unit)
        for name, book in sorted(books.accounts.get(unit, {}).items())
        if account in ("", name)
    )


def view(books: Books, transfer: TransferId) -> TransferView:
    """What has become of a transfer by now; `NotFound` for an id that was never used."""
    entry = books.transfers.get(transfer)
    if entry is None:
        raise NotFound("transfer", transfer)
    return entry_view(transfer, entry, entry.state)


def open_holds(books: Books) -> Iterator[TransferId]:
    """The holds that have not ended, oldest first. Looks at every transfer: for starts."""
    return (transfer for transfer, entry in books.transfers.items() if entry.state is TransferState.HELD)


def entry_view(transfer: TransferId, entry: Entry, state: TransferState) -> TransferView:
    """An entry as anyone may see it, in the given state."""
    return TransferView(
        transfer=transfer,
        state=state,
        debit=entry.debit,
        credit=entry.credit,
        currency=entry.currency,
        amount=entry.amount,
        reason=entry.reason,
        hold=entry.hold,
    )


def apply(books: Books, event: Event) -> None:
    """Fold one event; what is none of the ledger's changes nothing."""
    match event:
        case TransferPosted():
            _apply_posted(books, event)
        case TransferPostedMany():
            _apply_posted_many(books, event)
        case TransferHeld():
            _apply_held(books, event)
        case AccountOpened():
            _book(books, event.currency, event.account).credit_limit = event.credit_limit
        case TransferVoided():
            _apply_voided(books, event)
        case TransferExpired():
            _release(books, event.transfer, TransferState.EXPIRED)
        case TransferRefused():
            books.transfers[event.transfer] = Entry(
                asked=_asked_of_refused(event),
                state=TransferState.REFUSED,
                debit=event.debit,
                credit=event.credit,
                currency=event.currency,
                amount=event.amount,
                reason=event.reason,
                hold=event.hold,
            )
        case _:
            pass


def _apply_held(books: Books, event: TransferHeld) -> None:
    _book(books, event.currency, event.debit).held_out += event.amount
    _book(books, event.currency, event.credit).held_in += event.amount
    books.transfers[event.transfer] = Entry(
        asked=Asked(
            HoldTransfer.wire_name,
            event.amount,
            event.debit,
            event.credit,
            event.currency,
            timeout_s=event.timeout_s,
        ),
        state=TransferState.HELD,
        debit=event.debit,
        credit=event.credit,
        currency=event.currency,
        amount=event.amount,
        reason=event.reason,
        expires_us=event.expires_us,
    )
    if event.expires_us:
        books.expiring[event.transfer] = event.expires_us


def move(books: Books, currency: Currency, debit: AccountId, credit: AccountId, amount: int) -> None:
    """One posting: the same amount goes out on one side and comes in on the other."""
    payer = _book(books, currency, debit)
    payer.outgoing += amount
    if credit.startswith(FEES):
        payer.fees += amount
    _book(books, currency, credit).incoming += amount


def _apply_posted_many(books: Books, event: TransferPostedMany) -> None:
    currency, transfers, kind = event.currency, books.transfers, Transfer.wire_name
    for one in event.postings:
        debit, credit, amount = one.debit, one.credit, one.amount
        move(books, currency, debit, credit, amount)
        asked = Asked(kind, amount, debit, credit, currency)
        transfers[one.transfer] = Entry(asked, TransferState.POSTED, debit, credit, currency, amount, one.reason)


def _apply_posted(books: Books, event: TransferPosted) -> None:
    if event.hold:
        _release(books, event.hold, TransferState.POSTED)
        asked = Asked(PostTransfer.wire_name, event.requested_amount, credit=event.requested_credit, hold=event.hold)
    else:
        asked = Asked(Transfer.wire_name, event.amount, event.debit, event.credit, event.currency)
    move(books, event.currency, event.debit, event.credit, event.amount)
    books.transfers[event.transfer] = Entry(
        asked, TransferState.POSTED, event.debit, event.credit, event.currency, event.amount, event.reason, event.hold
    )


def _apply_voided(books: Books, event: TransferVoided) -> None:
    hold = _release(books, event.hold, TransferState.VOIDED)
    if hold is None:
        return
    books.transfers[event.transfer] = Entry(
        asked=Asked(VoidTransfer.wire_name, 0, hold=event.hold),
        state=TransferState.VOIDED,
        debit=hold.debit,
        credit=hold.credit,
        currency=hold.currency,
        amount=hold.amount,
        reason=event.reason,
        hold=event.hold,
    )


def _release(books: Books, transfer: TransferId, state: TransferState) -> Entry | None:
    """End a hold; the amount is free again until the caller moves it."""
    books.expiring.pop(transfer, None)
    hold = books.transfers.get(transfer)
    if hold is None or hold.state is not TransferState.HELD:
        return hold
    _book(books, hold.currency, hold.debit).held_out -= hold.amount
    _book(books, hold.currency, hold.credit).held_in -= hold.amount
    hold.state = state
    return hold


def _asked_of_refused(event: TransferRefused) -> Asked:
    if event.hold:  # a post or a void: the hold's own accounts were not asked for
        return Asked(event.kind, event.amount, credit=event.credit, hold=event.hold)
    return Asked(event.kind, event.amount, event.debit, event.credit, event.currency, timeout_s=event.timeout_s)


def _book(books: Books, currency: Currency, account: AccountId) -> Book:
    unit = books.accounts.get(currency)
    if unit is None:
        unit = books.accounts[currency] = {}
    book = unit.get(account)
    if book is None:
        book = unit[account] = Book()
    return book


def prove(books: Books) -> Conservation:
    """Whether no money came from nowhere. Looks at every account and transfer: for starts, checks and tests."""
    problems: list[str] = []
    rebuilt = _rebuilt(books)
    for currency, accounts in books.accounts.items():
        if total := sum(net(book) for book in accounts.values()):
            problems.append(f"the nets of all accounts in {currency} sum to {total}")
        for account, book in accounts.items():
            expected = rebuilt.get((currency, account), Book())
            expected.credit_limit = book.credit_limit
            if book != expected:
                problems.append(f"{account} in {currency} is not what its transfers add up to")
            if available(book) < 0:
                problems.append(f"{account} in {currency} is {-available(book)} below its limit")
    problems += [
        f"{account} in {currency} has transfers but no account"
        for currency, account in rebuilt
        if account not in books.accounts.get(currency, {})
    ]
    problems += _overposted(books)
    return Conservation(
        is_conserved=not problems,
        sums={str(unit): sum(net(book) for book in accounts.values()) for unit, accounts in books.accounts.items()},
        accounts=sum(len(accounts) for accounts in books.accounts.values()),
        transfers=len(books.transfers),
        problems=tuple(problems[:PROBLEMS_MAX]),
    )


def _rebuilt(books: Books) -> dict[tuple[Currency, AccountId], Book]:
    """The accounts again, from the single transfers alone."""
    accounts: dict[tuple[Currency, AccountId], Book] = {}
    for entry in books.transfers.values():
        is_hold = entry.asked.kind == HoldTransfer.wire_name
        if entry.state is TransferState.HELD:
            accounts.setdefault((entry.currency, entry.debit), Book()).held_out += entry.amount
            accounts.setdefault((entry.currency, entry.credit), Book()).held_in += entry.amount
        elif entry.state is TransferState.POSTED and not is_hold:
            payer = accounts.setdefault((entry.currency, entry.debit), Book())
            payer.outgoing += entry.amount
            payer.fees += entry.amount if entry.credit.startswith(FEES) else 0
            accounts.setdefault((entry.currency, entry.credit), Book()).incoming += entry.amount
    return accounts


def _overposted(books: Books) -> list[str]:
    """Holds that were ended more than once, or for more than they held."""
    ended: set[TransferId] = set()
    problems: list[str] = []
    for transfer, entry in books.transfers.items():
        if not entry.hold or entry.state is TransferState.REFUSED:
            continue
        hold = books.transfers.get(entry.hold)
        if hold is None or entry.hold in ended or entry.amount > hold.amount or hold.state is not entry.state:
            problems.append(f"{transfer} does not fit the hold {entry.hold}")
        ended.add(entry.hold)
    return problems
