"""Money: integer double entry, two-phase transfers, ids that stick."""

from enum import StrEnum
from typing import Final, Literal

import msgspec

from bus.address import Address
from bus.messages.base import AccountId, Command, Event, Query, Reply, TransferId

LEDGER: Final = Address("ledger")

TREASURY: Final = AccountId("treasury")
"""Pays what the operator posts; filled once by the genesis transfer."""
FEES: Final = "fees/"
"""What the accounts begin with that take what a transfer itself has cost."""
GENESIS: Final = AccountId("genesis")
"""Where money comes from: the one account without a limit."""

Currency = Literal["msat", "scrip", "tokens", "usd_micros"]


class TransferState(StrEnum):
    HELD = "held"
    POSTED = "posted"
    VOIDED = "voided"
    EXPIRED = "expired"
    REFUSED = "refused"


class TransferView(Reply, frozen=True):
    """What became of a transfer."""

    wire_name = "transfer"

    transfer: TransferId
    state: TransferState
    debit: AccountId
    credit: AccountId
    currency: Currency
    amount: int
    reason: str = ""
    hold: TransferId = TransferId("")
    """The hold that this transfer posted or voided."""


class Balance(Reply, frozen=True):
    """One account in one currency, all in its smallest unit. available = incoming - outgoing - held + credit limit."""

    wire_name = "balance"

    account: AccountId
    currency: Currency
    incoming: int
    outgoing: int
    fees: int
    """The part of what went out that went to accounts that begin with `fees/`."""
    held_out: int
    """Held against this account: promised, not yet paid."""
    held_in: int
    """Held in favour of this account."""
    credit_limit: int
    """How far below zero it may go; -1 means without limit."""
    net: int
    available: int


class Balances(Reply, frozen=True):
    """All balances, by account and currency."""

    wire_name = "balances"

    balances: tuple[Balance, ...]


class Conservation(Reply, frozen=True):
    """The proof that no money came from nowhere: per currency all nets sum to zero, and all holds match."""

    wire_name = "conservation"

    is_conserved: bool
    sums: dict[str, int]
    accounts: int
    transfers: int
    problems: tuple[str, ...]


class Transfer(Command[TransferView], frozen=True):
    """Sent by who moves money at once, from `debit` to `credit`. The same id gives the first result."""

    wire_name = "transfer.create"

    transfer: TransferId
    debit: AccountId
    credit: AccountId
    currency: Currency
    amount: int
    reason: str = ""


class HoldTransfer(Command[TransferView], frozen=True):
    """Sent by who reserves money, to be posted, voided or expired later, exactly once."""

    wire_name = "transfer.hold"

    transfer: TransferId
    debit: AccountId
    credit: AccountId
    currency: Currency
    amount: int
    timeout_s: float = 0.0
    """0 means that the hold does not expire by itself."""
    reason: str = ""


class PostTransfer(Command[TransferView], frozen=True):
    """Sent by who pays from a hold: to `credit` (empty: as held), `amount` (0: all of it); the rest is released."""

    wire_name = "transfer.post"

    transfer: TransferId
    hold: TransferId
    amount: int = 0
    credit: AccountId = AccountId("")
    reason: str = ""


class VoidTransfer(Command[TransferView], frozen=True):
    """Sent by who releases a hold."""

    wire_name = "transfer.void"

    transfer: TransferId
    hold: TransferId
    reason: str = ""


MoneyCommand = Transfer | HoldTransfer | PostTransfer | VoidTransfer
"""What moves money, one at a time."""


class TransferBatch(Reply, frozen=True):
    """What became of the transfers of a batch, in its order."""

    wire_name = "transfers"

    transfers: tuple[TransferView, ...]


class CreateTransfers(Command[TransferBatch], frozen=True):
    """Sent by who moves much money at once; linked transfers all happen, or none of them does.

    What is malformed, or in conflict, refuses the whole batch without a trace. Want of money refuses its own transfer
    and, where they are linked, with it all others, which leave no trace.
    """

    wire_name = "transfer.batch"

    transfers: tuple[MoneyCommand, ...]
    is_linked: bool = False


class SetCredit(Command[Balance], frozen=True):
    """Sent by an operator who lets an account go so far below zero; 0 ends its credit."""

    wire_name = "credit.set"

    account: AccountId
    currency: Currency
    credit_limit: int


class ReadBalances(Query[Balances], frozen=True):
    """Sent by whoever wants to see balances; empty fields match all."""

    wire_name = "balance.list"

    account: AccountId = AccountId("")
    currency: Currency | None = None


class HoldPage(Reply, frozen=True):
    """Open holds, newest first; `total` counts those that are not shown too."""

    wire_name = "holds"

    holds: tuple[TransferView, ...]
    total: int


class ListHolds(Query[HoldPage], frozen=True):
    """Sent by whoever wants to see what is promised and not yet paid."""

    wire_name = "hold.list"

    limit: int = 50


class ReadTransfer(Query[TransferView], frozen=True):
    """Sent by whoever wants to know what became of a transfer."""

    wire_name = "transfer.read"

    transfer: TransferId


class CheckConservation(Query[Conservation], frozen=True):
    """Sent at the start, by `agora ledger check`, and by tests."""

    wire_name = "ledger.check"


class AccountOpened(Event, frozen=True):
    """Recorded before the first transfer of an account in a currency, and again when its credit changes."""

    wire_name = "account.opened"
    about = "account"
    is_kept = True

    account: AccountId
    currency: Currency
    credit_limit: int


class TransferHeld(Event, frozen=True):
    """Recorded when money is reserved; who waits for it goes on."""

    wire_name = "transfer.held"
    about = "transfer"
    is_kept = True

    transfer: TransferId
    debit: AccountId
    credit: AccountId
    currency: Currency
    amount: int
    expires_us: int
    reason: str
    timeout_s: float = 0.0


class TransferPosted(Event, frozen=True):
    """Recorded when money has moved: at once (`hold` empty), or from a hold, whose rest is released."""

    wire_name = "transfer.posted"
    about = "transfer"
    is_kept = True

    transfer: TransferId
    debit: AccountId
    credit: AccountId
    currency: Currency
    amount: int
    hold: TransferId
    reason: str
    requested_amount: int = 0
    requested_credit: AccountId = AccountId("")


class Posting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of many transfers that were made together."""

    transfer: TransferId
    debit: AccountId
    credit: AccountId
    amount: int
    reason: str = ""


class TransferPostedMany(Event, frozen=True):
    """Recorded when money has moved at once in many transfers of a batch; each counts as one of its own."""

    wire_name = "transfer.posted_many"
    is_kept = True

    currency: Currency
    postings: tuple[Posting, ...]


class TransferVoided(Event, frozen=True):
    """Recorded when a hold is released without payment."""

    wire_name = "transfer.voided"
    about = "transfer"
    is_kept = True

    transfer: TransferId
    hold: TransferId
    reason: str


class TransferExpired(Event, frozen=True):
    """Recorded when a hold's time is over; it is released."""

    wire_name = "transfer.expired"
    about = "transfer"
    is_kept = True

    transfer: TransferId
    """The hold itself."""


class TransferRefused(Event, frozen=True):
    """Recorded when a transfer could not be made; its id stays refused."""

    wire_name = "transfer.refused"
    about = "transfer"
    is_kept = True

    transfer: TransferId
    debit: AccountId
    credit: AccountId
    currency: Currency
    amount: int
    hold: TransferId
    reason: str
    code: str
    kind: str = ""
    """The wire name of the command that was refused."""
    available: int = 0
    timeout_s: float = 0.0
