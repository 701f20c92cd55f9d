"""Decide what may move: transfers at once, and holds that are posted, voided or expire.

Rules: an account gives no more than it has, holds and credit limit counted. A hold ends exactly once: posted (wholly
or in part, the rest is released), voided or expired. An id belongs to its first use: the same fields give the first
result, other fields are a conflict, and an id that was refused for want of money, or because its hold had ended, stays
refused. What is malformed, or names a hold that nobody knows, is refused without a trace: its id is not used up. A
command's reason is words, not a field to be compared. Ids that the settlement of tasks and invoices uses, and the
holds behind them, are not for commands; nor is money taken out of genesis, or from the world outside, by one.

The rules follow TigerBeetle's documented two-phase transfers and sticky ids. Where this differs: accounts open with
their first credit, and a refusal is an event.

Pure: no clock, no disk. `actors/rules/books.py` folds what is decided here.
"""

from functools import lru_cache

import msgspec

from actors.rules.books import (
    AMOUNT_MAX,
    CURRENCIES,
    UNLIMITED,
    Asked,
    Book,
    Books,
    Entry,
    available,
    entry_view,
)
from actors.rules.fields import check_account, check_id, check_integer, check_seconds, check_text
from bus.errors import Refused
from bus.messages.base import AccountId, Event, Microseconds, TransferId
from bus.messages.ledger import (
    GENESIS,
    TREASURY,
    AccountOpened,
    Currency,
    HoldTransfer,
    MoneyCommand,
    PostTransfer,
    SetCredit,
    Transfer,
    TransferExpired,
    TransferHeld,
    TransferPosted,
    TransferRefused,
    TransferState,
    TransferView,
    TransferVoided,
    VoidTransfer,
)
from bus.messages.lightning import WORLD
from bus.refusals import IdempotencyConflict, IllegalTransition, InsufficientFunds, InvalidField, NotFound

TOTAL_MAX = 2**63 - 1
"""The largest total that an account may reach on one side."""
TIMEOUT_S_MAX = 366 * 86_400.0
REASON_BYTES_MAX = 2_000
"""As JSON: words, not a document."""
REASON_SHORT = REASON_BYTES_MAX // 6
"""So many ASCII characters fit however they are escaped."""
RESERVED = ("hold/", "post/", "void/", "cost/", "genesis/", "invoice/")
"""What the ids of the ledger's own transfers begin with."""
MODELS = AccountId("models")
"""What the society has spent on models; it owes without limit, since the bill has come already."""

OWN = frozenset({GENESIS, MODELS, AccountId("escrow")})
"""Accounts whose limits are part of how the books work."""
EMPTY = Book()
"""What an account is before its first transfer; nobody changes it."""
NO_BOOKS: dict[AccountId, Book] = {}
NO_HOLD = TransferId("")


class Moved(msgspec.Struct, frozen=True, gc=False):
    """What a posted transfer takes from whom for whom."""

    debit: AccountId
    credit: AccountId
    currency: Currency
    amount: int


def first_result(books: Books, command: MoneyCommand) -> TransferView:
    """What the command led to when it was first carried out, whatever became of a hold since."""
    entry = books.transfers[command.transfer]
    is_live_hold = isinstance(command, HoldTransfer) and entry.state is not TransferState.REFUSED
    return entry_view(command.transfer, entry, TransferState.HELD if is_live_hold else entry.state)


def check_command(command: MoneyCommand) -> None:
    """Refuse what no command may do, whatever the books say. Raises `InvalidField`."""
    check_shape(command)
    if command.transfer.startswith(RESERVED):
        raise InvalidField("transfer", f"ids that begin with {', '.join(RESERVED)} are the ledger's own")
    match command:
        case Transfer() | HoldTransfer():
            _check_sides(command.debit, command.credit)
        case PostTransfer() | VoidTransfer():
            if command.hold.startswith(RESERVED):
                raise InvalidField("hold", "a task's hold ends with its task")
            if isinstance(command, PostTransfer):
                _check_sides("", command.credit)


@lru_cache(maxsize=8_192)
def _check_sides(debit: str, credit: str) -> None:
    """Refuse accounts that no command may take from or pay to; few pairs stand in many transfers."""
    if debit == GENESIS:
        raise InvalidField("debit", "only the declared genesis transfer takes from genesis")
    if debit.startswith(WORLD):
        raise InvalidField("debit", f"only a settled invoice takes from {debit}")
    if credit.startswith(WORLD):
        raise InvalidField("credit", f"nothing is paid out through {credit} by a transfer")


def check_shape(command: MoneyCommand) -> None:
    """Refuse what could never be carried out, whatever the books say. Raises `InvalidField`."""
    check_id("transfer", command.transfer)
    if len(command.reason) > REASON_SHORT or not command.reason.isascii():
        check_text("reason", command.reason, REASON_BYTES_MAX)
    match command:
        case Transfer() | HoldTransfer():
            check_account("debit", command.debit)
            check_account("credit", command.credit)
            check_integer("amount", command.amount, 1, AMOUNT_MAX)
            if command.debit == command.credit:
                raise InvalidField("credit", "must be another account than debit")
            if command.currency not in CURRENCIES:
                raise InvalidField("currency", f"must be one of {', '.join(CURRENCIES)}")
            if isinstance(command, HoldTransfer):
                check_seconds("timeout_s", command.timeout_s, TIMEOUT_S_MAX)
        case PostTransfer():
            check_id("hold", command.hold)
            check_id("credit", command.credit, may_be_empty=True)
            check_integer("amount", command.amount, 0, AMOUNT_MAX)
        case VoidTransfer():
            check_id("hold", command.hold)


def decide_credit(books: Books, command: SetCredit) -> tuple[Event, ...]:
    """An account's credit; none if it stands so already. Credit that is in use cannot be taken away.

    Raises `InvalidField` or `InsufficientFunds`.
    """
    check_id("account", command.account)
    if command.currency not in CURRENCIES:
        raise InvalidField("currency", f"must be one of {', '.join(CURRENCIES)}")
    check_integer("credit_limit", command.credit_limit, 0, AMOUNT_MAX)
    if command.account in OWN or command.account.startswith(WORLD):
        raise InvalidField("account", f"the credit of {command.account} is the ledger's own")
    book = books.accounts.get(command.currency, NO_BOOKS).get(command.account)
    if (book or EMPTY).credit_limit == command.credit_limit and book is not None:
        return ()
    left = available(book or EMPTY) - (book or EMPTY).credit_limit + command.credit_limit
    if left < 0:
        raise InsufficientFunds(command.account, left, 0, command.currency)
    return (AccountOpened(command.account, command.currency, command.credit_limit),)


def decide_genesis(books: Books, genesis_msat: int) -> tuple[Event, ...]:
    """The first entries of empty books: the declared accounts, and the one transfer that money comes from."""
    if books.accounts:
        return ()
    opened = (
        AccountOpened(account=GENESIS, currency="msat", credit_limit=UNLIMITED),
        AccountOpened(account=TREASURY, currency="msat", credit_limit=0),
        AccountOpened(account=MODELS, currency="usd_micros", credit_limit=UNLIMITED),
    )
    if not genesis_msat:
        return opened
    filled = TransferPosted(
        transfer=TransferId("genesis/msat"),
        debit=GENESIS,
        credit=TREASURY,
        currency="msat",
        amount=genesis_msat,
        hold=TransferId(""),
        reason="the declared genesis transfer",
    )
    return (*opened, filled)


def decide(books: Books, command: MoneyCommand, now_us: Microseconds) -> tuple[Event, ...]:
    """The events of a command of sound shape; none if it repeats what was done.

    Raises `IdempotencyConflict`, `NotFound` (no such hold) or `InvalidField`; want of money and holds that have
    ended are not raised but recorded, so that the refusal sticks to the id.
    """
    known = books.transfers.get(command.transfer)
    if known is not None:
        if known.asked != asked_of(command):
            raise IdempotencyConflict(f"transfer {command.transfer}")
        return ()
    match command:
        case Transfer():
            return decide_transfer(books, command)
        case HoldTransfer():
            return _decide_hold(books, command, now_us)
        case PostTransfer():
            return _decide_post(books, command, now_us)
        case VoidTransfer():
            return _decide_void(books, command, now_us)


def decide_expiry(books: Books, hold: TransferId, now_us: Microseconds) -> tuple[Event, ...]:
    """The end of a hold whose time is over; nothing if it has ended already or has time left."""
    due = books.expiring.get(hold)
    return (TransferExpired(transfer=hold),) if due is not None and due <= now_us else ()


def asked_of(command: MoneyCommand) -> Asked:
    """What the command's id stands for from now on."""
    kind = command.wire_name
    match command:
        case Transfer():
            return Asked(kind, command.amount, command.debit, command.credit, command.currency)
        case HoldTransfer():
            return Asked(
                kind, command.amount, command.debit, command.credit, command.currency, timeout_s=command.timeout_s
            )
        case PostTransfer():
            return Asked(kind, command.amount, credit=command.credit, hold=command.hold)
        case VoidTransfer():
            return Asked(kind, 0, hold=command.hold)


def decide_transfer(books: Books, command: Transfer) -> tuple[Event, ...]:
    """The events of a transfer whose id is new; all else is as in `decide`."""
    debit, credit, currency, amount = command.debit, command.credit, command.currency, command.amount
    lack = _lack_of_funds(books, debit, currency, amount)
    if lack is not None:
        return (_refusal(command, Moved(debit, credit, currency, amount), lack),)
    _check_totals(books, debit, credit, currency, amount)
    posted = TransferPosted(command.transfer, debit, credit, currency, amount, NO_HOLD, command.reason)
    return (*_opened(books, credit, currency), posted)


def _decide_hold(books: Books, command: HoldTransfer, now_us: Microseconds) -> tuple[Event, ...]:
    debit, credit, currency, amount = command.debit, command.credit, command.currency, command.amount
    lack = _lack_of_funds(books, debit, currency, amount)
    if lack is not None:
        return (_refusal(command, Moved(debit, credit, currency, amount), lack),)
    _check_totals(books, debit, credit, currency, amount)
    return (
        *_opened(books, credit, currency),
        TransferHeld(
            transfer=command.transfer,
            debit=command.debit,
            credit=command.credit,
            currency=command.currency,
            amount=command.amount,
            expires_us=now_us + round(command.timeout_s * 1_000_000) if command.timeout_s else 0,
            reason=command.reason,
            timeout_s=command.timeout_s,
        ),
    )


def _decide_post(books: Books, command: PostTransfer, now_us: Microseconds) -> tuple[Event, ...]:
    hold = _hold(books, command.hold)
    expiry = decide_expiry(books, command.hold, now_us)
    try:
        _check_open(command.hold, hold, bool(expiry), "posted")
    except IllegalTransition as error:
        asked = Moved(hold.debit, command.credit, hold.currency, command.amount)
        return (*expiry, _refusal(command, asked, error))
    moved = Moved(hold.debit, command.credit or hold.credit, hold.currency, command.amount or hold.amount)
    if moved.amount > hold.amount:
        raise InvalidField("amount", f"is more than the {hold.amount} {hold.currency} that {command.hold} holds")
    if moved.debit == moved.credit:
        raise InvalidField("credit", "must be another account than debit")
    _check_totals(books, moved.debit, moved.credit, moved.currency, moved.amount)
    return (
        *_opened(books, moved.credit, moved.currency),
        TransferPosted(
            transfer=command.transfer,
            debit=moved.debit,
            credit=moved.credit,
            currency=moved.currency,
            amount=moved.amount,
            hold=command.hold,
            reason=command.reason,
            requested_amount=command.amount,
            requested_credit=command.credit,
        ),
    )


def _decide_void(books: Books, command: VoidTransfer, now_us: Microseconds) -> tuple[Event, ...]:
    hold = _hold(books, command.hold)
    expiry = decide_expiry(books, command.hold, now_us)
    try:
        _check_open(command.hold, hold, bool(expiry), "voided")
    except IllegalTransition as error:
        return (*expiry, _refusal(command, Moved(hold.debit, AccountId(""), hold.currency, 0), error))
    return (TransferVoided(transfer=command.transfer, hold=command.hold, reason=command.reason),)


def _hold(books: Books, hold: TransferId) -> Entry:
    entry = books.transfers.get(hold)
    if entry is None:
        raise NotFound("hold", hold)
    if entry.asked.kind != HoldTransfer.wire_name:
        raise InvalidField("hold", f"{hold} is no hold")
    return entry


def _check_open(hold: TransferId, entry: Entry, is_over: bool, verb: str) -> None:
    state = TransferState.EXPIRED if is_over else entry.state
    if state is not TransferState.HELD:
        raise IllegalTransition(f"hold {hold}", state, verb)


def _lack_of_funds(books: Books, debit: AccountId, currency: Currency, amount: int) -> InsufficientFunds | None:
    left = available(books.accounts.get(currency, NO_BOOKS).get(debit, EMPTY))
    return InsufficientFunds(debit, left, amount, currency) if amount > left else None


def _check_totals(books: Books, debit: AccountId, credit: AccountId, currency: Currency, amount: int) -> None:
    unit = books.accounts.get(currency, NO_BOOKS)
    payer, payee = unit.get(debit, EMPTY), unit.get(credit, EMPTY)
    room = TOTAL_MAX - amount
    if payer.outgoing + payer.held_out > room or payee.incoming + payee.held_in > room:
        raise InvalidField("amount", f"would take an account's total past {TOTAL_MAX} {currency}")


def _opened(books: Books, credit: AccountId, currency: Currency) -> tuple[Event, ...]:
    if credit in books.accounts.get(currency, NO_BOOKS):
        return ()
    return (AccountOpened(account=credit, currency=currency, credit_limit=0),)


def _refusal(command: MoneyCommand, asked: Moved, error: Refused) -> TransferRefused:
    return TransferRefused(
        transfer=command.transfer,
        debit=asked.debit,
        credit=asked.credit,
        currency=asked.currency,
        amount=asked.amount,
        hold=command.hold if isinstance(command, PostTransfer | VoidTransfer) else TransferId(""),
        reason=str(error),
        code=error.code,
        kind=command.wire_name,
        available=error.available if isinstance(error, InsufficientFunds) else 0,
        timeout_s=command.timeout_s if isinstance(command, HoldTransfer) else 0.0,
    )
