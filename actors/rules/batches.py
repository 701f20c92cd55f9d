"""Decide many transfers at once, each on what those before it leave, and linked ones all or not at all.

Rules: all is checked before anything is done, so that what is malformed, in conflict, or names an unknown hold refuses
the batch without a trace. Want of money, or a hold that has ended, refuses its own transfer, which sticks to its id.
Linked transfers then all fail with it, without a trace of their own; linked ids were all used before, by the same
batch, or none of them was. An id stands in a batch once.

The decisions are made on an excerpt of the books: copies of what the batch touches, which are thrown away.

Pure: no clock, no disk. Linked chains follow TigerBeetle's documented linked events.
"""

from typing import NamedTuple

import msgspec

from actors.rules import books as folding
from actors.rules import ledger
from actors.rules.books import Book, Books
from bus.messages.base import AccountId, Event, Microseconds, TransferId
from bus.messages.ledger import (
    CreateTransfers,
    Currency,
    HoldTransfer,
    MoneyCommand,
    Posting,
    PostTransfer,
    Transfer,
    TransferPosted,
    TransferPostedMany,
    TransferRefused,
    TransferState,
    TransferView,
    VoidTransfer,
)
from bus.refusals import IdempotencyConflict, InvalidField

BATCH_MAX = 1_000
"""Transfers of one batch: some 10 ms of the loop."""
POSTING_BYTES = 80
"""What the names of a posting's fields and its amount take."""
RUN_BYTES_MAX = 30_000
"""What an event has room for, its own fields apart."""


class Decision(NamedTuple):
    """What a batch leads to: what is recorded, and the answer in the batch's order."""

    events: tuple[Event, ...]
    views: tuple[TransferView, ...]


def check_batch(command: CreateTransfers) -> None:
    """Refuse what could never be carried out. Raises `InvalidField`, naming the transfer."""
    if not 1 <= len(command.transfers) <= BATCH_MAX:
        raise InvalidField("transfers", f"must be 1 to {BATCH_MAX}")
    if len({one.transfer for one in command.transfers}) < len(command.transfers):
        raise InvalidField("transfers", "name an id twice")
    for index, one in enumerate(command.transfers):
        try:
            ledger.check_command(one)
        except InvalidField as error:
            raise InvalidField(f"transfers[{index}].{error.path}", error.reason) from error


def decide_batch(books: Books, command: CreateTransfers, now_us: Microseconds) -> Decision:
    """The events and the answer of a batch of sound shape.

    Raises `IdempotencyConflict`, `NotFound` (no such hold) or `InvalidField`: nothing is recorded then.
    """
    if command.is_linked:
        known = [one.transfer in books.transfers for one in command.transfers]
        if any(known) and not all(known) and not _is_repeat_of_failed(books, command):
            raise IdempotencyConflict(f"transfer {command.transfers[known.index(True)].transfer}")
    excerpt = Books()
    events: list[Event] = []
    views: list[TransferView] = []
    run = Run(events)
    for one in command.transfers:
        if isinstance(one, Transfer) and one.transfer not in books.transfers:
            payer = _excerpt_account(excerpt, books, one.currency, one.debit)
            payee = _excerpt_account(excerpt, books, one.currency, one.credit)
            if payer is not None and payee is not None and _is_covered(payer, payee, one.amount):
                payer.outgoing += one.amount
                payee.incoming += one.amount
                run.add(one)
                views.append(_posted_view(one))
                continue
            run.end()
            decided, view = _transfer(excerpt, one)
        else:
            run.end()
            _excerpt(excerpt, books, one)
            decided = ledger.decide(excerpt, one, now_us)
            for event in decided:
                folding.apply(excerpt, event)
            view = ledger.first_result(excerpt, one)
        if command.is_linked and view.state is TransferState.REFUSED:
            refusals = tuple(event for event in decided if isinstance(event, TransferRefused))
            return Decision(refusals, _all_refused(books, command, one, view))
        events += decided
        views.append(view)
    run.end()
    return Decision(tuple(events), tuple(views))


class Run:
    """Transfers in a row that were all made: recorded together, as far as an event has room."""

    def __init__(self, events: list[Event]) -> None:
        self._events = events
        self._made: list[Transfer] = []
        self._bytes = 0

    def add(self, one: Transfer) -> None:
        """One more that was made."""
        size = POSTING_BYTES + len(one.transfer) + len(one.debit) + len(one.credit) + 6 * len(one.reason)
        if self._made and (one.currency != self._made[0].currency or self._bytes + size > RUN_BYTES_MAX):
            self.end()
        self._made.append(one)
        self._bytes += size

    def end(self) -> None:
        """Record what was made: one by itself as ever, more together."""
        made, self._made, self._bytes = self._made, [], 0
        if len(made) > 1:
            postings = tuple(Posting(one.transfer, one.debit, one.credit, one.amount, one.reason) for one in made)
            self._events.append(TransferPostedMany(made[0].currency, postings))
        elif made:
            [one] = made
            moved = (one.transfer, one.debit, one.credit, one.currency, one.amount)
            self._events.append(TransferPosted(*moved, ledger.NO_HOLD, one.reason))


def _is_covered(payer: Book, payee: Book, amount: int) -> bool:
    """Whether the transfer can be made without a second look: what cannot is decided in the ledger's own words."""
    room = ledger.TOTAL_MAX - amount
    return (
        folding.available(payer) >= amount
        and payer.outgoing + payer.held_out <= room
        and payee.incoming + payee.held_in <= room
    )


def _posted_view(one: Transfer) -> TransferView:
    posted = TransferState.POSTED
    return TransferView(one.transfer, posted, one.debit, one.credit, one.currency, one.amount, one.reason)


def _transfer(excerpt: Books, one: Transfer) -> tuple[tuple[Event, ...], TransferView]:
    """A transfer whose id is new. Nothing in the batch can refer to it, so of the excerpt only the accounts change."""
    decided = ledger.decide_transfer(excerpt, one)
    last = decided[-1]
    state, reason = TransferState.POSTED, one.reason
    if isinstance(last, TransferRefused):
        state, reason = TransferState.REFUSED, last.reason
    else:
        for event in decided[:-1]:
            folding.apply(excerpt, event)
        folding.move(excerpt, one.currency, one.debit, one.credit, one.amount)
    return decided, TransferView(one.transfer, state, one.debit, one.credit, one.currency, one.amount, reason)


def _is_repeat_of_failed(books: Books, command: CreateTransfers) -> bool:
    """Whether the batch came to nothing before: the refusal that ended it is all that it left."""
    entries = [entry for one in command.transfers if (entry := books.transfers.get(one.transfer)) is not None]
    return len(entries) == 1 and entries[0].state is TransferState.REFUSED


def _all_refused(
    books: Books, command: CreateTransfers, failed: MoneyCommand, view: TransferView
) -> tuple[TransferView, ...]:
    why = f"linked to {failed.transfer}, which was refused"
    return tuple(view if one is failed else _left_out(books, one, why) for one in command.transfers)


def _left_out(books: Books, one: MoneyCommand, why: str) -> TransferView:
    asked = ledger.asked_of(one)
    hold = books.transfers.get(TransferId(asked.hold))
    currency: Currency = one.currency if isinstance(one, Transfer | HoldTransfer) else hold.currency if hold else "msat"
    return TransferView(
        transfer=one.transfer,
        state=TransferState.REFUSED,
        debit=AccountId(asked.debit or (hold.debit if hold else "")),
        credit=AccountId(asked.credit or (hold.credit if hold else "")),
        currency=currency,
        amount=asked.amount,
        reason=why,
        hold=TransferId(asked.hold),
    )


def _excerpt(excerpt: Books, books: Books, one: MoneyCommand) -> None:
    """Copy what deciding on a command looks at, unless the batch has touched it already."""
    _excerpt_transfer(excerpt, books, one.transfer)
    match one:
        case Transfer() | HoldTransfer():
            _excerpt_account(excerpt, books, one.currency, one.debit)
            _excerpt_account(excerpt, books, one.currency, one.credit)
        case PostTransfer() | VoidTransfer():
            _excerpt_transfer(excerpt, books, one.hold)
            hold = excerpt.transfers.get(one.hold)
            if hold is not None:
                _excerpt_account(excerpt, books, hold.currency, hold.debit)
                _excerpt_account(excerpt, books, hold.currency, hold.credit)
                if isinstance(one, PostTransfer) and one.credit:
                    _excerpt_account(excerpt, books, hold.currency, one.credit)


def _excerpt_transfer(excerpt: Books, books: Books, transfer: TransferId) -> None:
    entry = books.transfers.get(transfer)
    if entry is not None and transfer not in excerpt.transfers:
        excerpt.transfers[transfer] = msgspec.structs.replace(entry)
        if transfer in books.expiring:
            excerpt.expiring[transfer] = books.expiring[transfer]


def _excerpt_account(excerpt: Books, books: Books, currency: Currency, account: AccountId) -> Book | None:
    """The account's book as it stands in the batch; None if it has never been opened."""
    copied = excerpt.accounts.get(currency)
    if copied is None:
        copied = excerpt.accounts[currency] = {}
    known = copied.get(account)
    if known is None and (book := books.accounts.get(currency, {}).get(account)) is not None:
        known = copied[account] = msgspec.structs.replace(book)
    return known
