"""Decide what becomes of an invoice: from the wish for one to the proof that it was paid.

The life of an invoice (`MOVES` is the table; whatever is not pending is final):

    (asked for) ─▶ pending ─▶ settled     with a preimage whose SHA-256 is the payment hash
                         ├──▶ failed      it could not be made, or was cancelled
                         └──▶ expired     its time is over, and the backend says that nobody has paid

Rules: an invoice is made in two steps, so that no backend is asked for what is not on disk: while it is being made it
is pending without a text. What the backend made must be what was asked for: its hash is new, its amount the same. A
repeated settlement with the same preimage changes nothing; a wrong preimage is refused and changes nothing. What a
crash left without a text was shown to nobody and has failed.

Pure: no clock, no network. The actor hands in what BOLT11 says in plain fields.
"""

import hashlib

import msgspec

from actors.rules import idempotency
from actors.rules.books import AMOUNT_MAX
from actors.rules.fields import check_id, check_integer, check_text, shorten
from actors.rules.idempotency import Keys
from actors.rules.ledger import OWN
from bus.messages.base import AccountId, Event, Microseconds
from bus.messages.lightning import (
    WORLD,
    CreateInvoice,
    InvoiceExpired,
    InvoiceFailed,
    InvoiceId,
    InvoiceIssued,
    InvoiceRequested,
    InvoiceSettled,
    InvoiceState,
    InvoiceView,
    ListInvoices,
)
from bus.refusals import IdempotencyConflict, IllegalTransition, InvalidField, NotFound, Overloaded, WrongPreimage

PENDING_MAX = 1_000
"""Invoices that wait at once: each is looked up again and again."""
BUSY_RETRY_S = 60.0
DESCRIPTION_BYTES_MAX = 600
"""BOLT11 has room for 639 bytes."""
EXPIRY_S_MAX = 30 * 86_400
PAGE_MAX = 1_000
REASON_CHARS_MAX = 500
HASH_BYTES = 32
SIMULATED = "simulated"
"""The backend whose money is worth nothing."""

MOVES: dict[InvoiceState, frozenset[InvoiceState]] = {
    InvoiceState.PENDING: frozenset({InvoiceState.SETTLED, InvoiceState.FAILED, InvoiceState.EXPIRED}),
    InvoiceState.SETTLED: frozenset(),
    InvoiceState.FAILED: frozenset(),
    InvoiceState.EXPIRED: frozenset(),
}


class Made(msgspec.Struct, frozen=True):
    """What a backend made, as its BOLT11 text says; the signature has been checked."""

    request: str
    payment_hash: str
    payee: str
    amount_msat: int
    expires_us: Microseconds


class Invoices(msgspec.Struct):
    """All invoices, folded from events."""

    items: dict[InvoiceId, InvoiceView] = {}
    hashes: dict[str, InvoiceId] = {}
    """By payment hash: whose it is."""
    pending: dict[InvoiceId, Microseconds] = {}
    """Those that wait, oldest first, and since when."""
    keys: Keys = msgspec.field(default_factory=Keys)


def world_account(backend: str) -> AccountId:
    """The account of the world outside, as far as it is reached through a backend."""
    return AccountId(WORLD + backend)


def invoice_of(state: Invoices, invoice: InvoiceId) -> InvoiceView:
    """The invoice. Raises `NotFound`."""
    found = state.items.get(invoice)
    if found is None:
        raise NotFound("invoice", invoice)
    return found


def page(state: Invoices, query: ListInvoices) -> tuple[InvoiceView, ...]:
    """The newest invoices that match. Raises `InvalidField`."""
    check_integer("limit", query.limit, 1, PAGE_MAX)
    found = [one for one in reversed(state.items.values()) if query.state in (None, one.state)]
    return tuple(found[: query.limit])


def decide_create(
    state: Invoices, command: CreateInvoice, *, backend: str, expiry_s: int, now_us: Microseconds
) -> tuple[InvoiceRequested, ...]:
    """The intent to have an invoice made; none if the key was used for the same before.

    Raises `InvalidField`, `IdempotencyConflict` or `Overloaded`.
    """
    check_id("account", command.account)
    if command.account in OWN or command.account.startswith(WORLD):
        raise InvalidField("account", f"{command.account} takes no money from outside")
    check_integer("amount_msat", command.amount_msat, 1, AMOUNT_MAX)
    check_text("description", command.description, DESCRIPTION_BYTES_MAX)
    check_integer("expiry_s", command.expiry_s, 0, EXPIRY_S_MAX)
    idempotency.check_key(command.idempotency_key)
    if (known := repeated(state, command, now_us)) is not None:
        item = invoice_of(state, known)
        wish = (command.account, command.amount_msat, command.description)
        if wish != (item.account, item.amount_msat, item.description):
            raise IdempotencyConflict(f"key {command.idempotency_key}")
        return ()
    if len(state.pending) >= PENDING_MAX:
        raise Overloaded(f"the list of {PENDING_MAX} pending invoices", BUSY_RETRY_S)
    return (
        InvoiceRequested(
            invoice=InvoiceId(f"i-{len(state.items) + 1}"),
            account=command.account,
            amount_msat=command.amount_msat,
            description=command.description,
            expiry_s=command.expiry_s or expiry_s,
            backend=backend,
            created_us=now_us,
            idempotency_key=command.idempotency_key,
        ),
    )


def repeated(state: Invoices, command: CreateInvoice, now_us: Microseconds) -> InvoiceId | None:
    """The invoice that the command's key led to before."""
    subject = idempotency.subject_of(state.keys, command.idempotency_key, now_us)
    return InvoiceId(subject) if subject else None


def decide_issue(state: Invoices, invoice: InvoiceId, made: Made, now_us: Microseconds) -> tuple[Event, ...]:
    """The invoice has its text; or it has failed, if the text is not what was asked for."""
    item = invoice_of(state, invoice)
    if item.state is not InvoiceState.PENDING or item.request:
        return ()
    if made.payment_hash in state.hashes:
        return decide_fail(state, invoice, "the backend gave a payment hash that was used before", now_us)
    if made.amount_msat != item.amount_msat:
        reason = f"the backend's invoice is over {made.amount_msat} msat instead of {item.amount_msat}"
        return decide_fail(state, invoice, reason, now_us)
    return (InvoiceIssued(invoice, made.request, made.payment_hash, made.payee, made.expires_us),)


def decide_settle(
    state: Invoices, invoice: InvoiceId, preimage: str, received_msat: int, now_us: Microseconds
) -> tuple[Event, ...]:
    """The invoice was paid, as the preimage proves; none if that is known already.

    Raises `WrongPreimage`, also for an invoice without a text yet, or `IllegalTransition` for one that has failed or
    expired.
    """
    item = invoice_of(state, invoice)
    if not proves(preimage, item.payment_hash):
        raise WrongPreimage(invoice)
    if item.state is InvoiceState.SETTLED:
        return ()
    check_move(item, InvoiceState.SETTLED)
    received_msat = max(item.amount_msat, min(received_msat, AMOUNT_MAX))
    return (
        InvoiceSettled(invoice, item.account, received_msat, item.backend, item.payment_hash, preimage.lower(), now_us),
    )


def decide_fail(state: Invoices, invoice: InvoiceId, reason: str, now_us: Microseconds) -> tuple[Event, ...]:
    """The invoice brings nothing; none if it has ended already."""
    if InvoiceState.FAILED not in MOVES[invoice_of(state, invoice).state]:
        return ()
    return (InvoiceFailed(invoice, shorten(reason, REASON_CHARS_MAX), now_us),)


def decide_expire(state: Invoices, invoice: InvoiceId, now_us: Microseconds) -> tuple[Event, ...]:
    """The invoice's time is over, and it was not paid; none if it has ended or has time left."""
    item = invoice_of(state, invoice)
    if InvoiceState.EXPIRED not in MOVES[item.state] or not item.request or now_us < item.expires_us:
        return ()
    return (InvoiceExpired(invoice, now_us),)


def decide_unfinished(state: Invoices, now_us: Microseconds) -> tuple[Event, ...]:
    """After a start: what was being made when the process ended was shown to nobody."""
    reason = "the process ended before the backend answered; nobody was shown the invoice"
    unfinished = [invoice for invoice in state.pending if not state.items[invoice].request]
    return tuple(event for invoice in unfinished for event in decide_fail(state, invoice, reason, now_us))


def check_move(item: InvoiceView, to: InvoiceState) -> None:
    """Refuse a move that is not in the table. Raises `IllegalTransition`."""
    if to not in MOVES[item.state]:
        raise IllegalTransition(f"invoice {item.invoice}", item.state, str(to))


def proves(preimage: str, payment_hash: str) -> bool:
    """Whether the preimage, in hex, is the one that only who was paid could know."""
    try:
        secret = bytes.fromhex(preimage)
    except ValueError:
        return False
    return len(secret) == HASH_BYTES and hashlib.sha256(secret).hexdigest() == payment_hash.lower() != ""


def apply(state: Invoices, event: Event) -> None:
    """Fold one event; what does not fit the table changes nothing."""
    match event:
        case InvoiceRequested():
            _apply_requested(state, event)
        case InvoiceIssued():
            if _change(
                state,
                event.invoice,
                None,
                request=event.request,
                payment_hash=event.payment_hash,
                payee=event.payee,
                expires_us=event.expires_us,
            ):
                state.hashes[event.payment_hash] = event.invoice
        case InvoiceSettled():
            _change(
                state,
                event.invoice,
                InvoiceState.SETTLED,
                received_msat=event.received_msat,
                preimage=event.preimage,
                ended_us=event.settled_us,
            )
        case InvoiceFailed():
            _change(state, event.invoice, InvoiceState.FAILED, reason=event.reason, ended_us=event.failed_us)
        case InvoiceExpired():
            _change(state, event.invoice, InvoiceState.EXPIRED, ended_us=event.expired_us)
        case _:
            pass


def _apply_requested(state: Invoices, event: InvoiceRequested) -> None:
    state.items[event.invoice] = InvoiceView(
        invoice=event.invoice,
        state=InvoiceState.PENDING,
        account=event.account,
        amount_msat=event.amount_msat,
        description=event.description,
        backend=event.backend,
        is_simulated=event.backend == SIMULATED,
        created_us=event.created_us,
    )
    state.pending[event.invoice] = event.created_us
    idempotency.remember(state.keys, event.idempotency_key, event.invoice, event.created_us)


def _change(state: Invoices, invoice: InvoiceId, to: InvoiceState | None, **fields: str | int) -> bool:
    item = state.items.get(invoice)
    if item is None or item.state is not InvoiceState.PENDING:
        return False
    if to is None:
        state.items[invoice] = msgspec.structs.replace(item, **fields)
    else:
        state.items[invoice] = msgspec.structs.replace(item, state=to, **fields)
        state.pending.pop(invoice, None)
    return True
