"""Lightning: invoices that bring money from outside, settled only on proof."""

from enum import StrEnum
from typing import Final, NewType

from bus.address import Address
from bus.messages.base import AccountId, Command, Done, Event, Microseconds, Query, Reply
from bus.messages.ledger import TREASURY

LIGHTNING: Final = Address("lightning")
WORLD: Final = "lightning/"
"""What the accounts of the world outside begin with, one for each backend: they owe what came in through it."""

InvoiceId = NewType("InvoiceId", str)


class InvoiceState(StrEnum):
    PENDING = "pending"
    SETTLED = "settled"
    FAILED = "failed"
    EXPIRED = "expired"


class InvoiceView(Reply, frozen=True):
    """An invoice as anyone may see it. What a simulated backend says is worth nothing, and is marked so."""

    wire_name = "invoice"

    invoice: InvoiceId
    state: InvoiceState
    account: AccountId
    """Whom it brings money."""
    amount_msat: int
    """What is asked for."""
    description: str
    backend: str
    is_simulated: bool
    request: str = ""
    """The BOLT11 text; empty until the backend has made it."""
    payment_hash: str = ""
    """In hex."""
    payee: str = ""
    """The key that signed it, in hex."""
    received_msat: int = 0
    """What came: at least what was asked for, once it is settled."""
    preimage: str = ""
    """The proof of payment, in hex: its SHA-256 is the payment hash. Empty until it is settled."""
    created_us: Microseconds = 0
    expires_us: Microseconds = 0
    ended_us: Microseconds = 0
    reason: str = ""


class InvoicePage(Reply, frozen=True):
    """Invoices, newest first, and which backend makes new ones."""

    wire_name = "invoices"

    invoices: tuple[InvoiceView, ...]
    backend: str
    is_simulated: bool


class CreateInvoice(Command[InvoiceView], frozen=True):
    """Sent by who wants money from outside. The same key with the same fields gives the same invoice."""

    wire_name = "invoice.create"

    amount_msat: int
    account: AccountId = TREASURY
    description: str = ""
    expiry_s: int = 0
    """How long it may be paid; 0 means as configured."""
    idempotency_key: str = ""


class SimulatePayment(Command[InvoiceView], frozen=True):
    """Sent by who plays the payer of a simulated invoice; refused for any other, and for a preimage that is wrong."""

    wire_name = "invoice.simulate"

    invoice: InvoiceId
    preimage: str = ""
    """Empty: the right one."""


class LookAtInvoice(Command[Done], frozen=True):
    """Sent for a webhook, which is no more than a hint to ask the backend now. An unknown hash is no error."""

    wire_name = "invoice.look"

    backend: str
    payment_hash: str = ""
    """Empty: at all that are pending."""


class ReadInvoice(Query[InvoiceView], frozen=True):
    """Sent by whoever wants to see one invoice."""

    wire_name = "invoice.read"

    invoice: InvoiceId


class ListInvoices(Query[InvoicePage], frozen=True):
    """Sent by whoever wants to see invoices: of all states, or of one."""

    wire_name = "invoice.list"

    state: InvoiceState | None = None
    limit: int = 50


class InvoiceRequested(Event, frozen=True):
    """Recorded before the backend is asked for an invoice: the intent."""

    wire_name = "invoice.requested"
    about = "invoice"
    is_kept = True

    invoice: InvoiceId
    account: AccountId
    amount_msat: int
    description: str
    expiry_s: int
    backend: str
    created_us: Microseconds
    idempotency_key: str = ""


class InvoiceIssued(Event, frozen=True):
    """Recorded when the backend has made the invoice, and what it made is what was asked for."""

    wire_name = "invoice.issued"
    about = "invoice"
    is_kept = True

    invoice: InvoiceId
    request: str
    payment_hash: str
    payee: str
    expires_us: Microseconds


class InvoiceSettled(Event, frozen=True):
    """Recorded when the invoice was paid, with the proof; the ledger answers it with the transfer."""

    wire_name = "invoice.settled"
    about = "invoice"
    is_kept = True

    invoice: InvoiceId
    account: AccountId
    received_msat: int
    """What came, which may be more than was asked for."""
    backend: str
    payment_hash: str
    preimage: str
    settled_us: Microseconds


class InvoiceFailed(Event, frozen=True):
    """Recorded when the invoice could not be made, or was cancelled at the backend; it brings nothing."""

    wire_name = "invoice.failed"
    about = "invoice"
    is_kept = True

    invoice: InvoiceId
    reason: str
    failed_us: Microseconds


class InvoiceExpired(Event, frozen=True):
    """Recorded when the invoice's time is over and the backend says that nobody has paid it."""

    wire_name = "invoice.expired"
    about = "invoice"
    is_kept = True

    invoice: InvoiceId
    expired_us: Microseconds
