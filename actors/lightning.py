"""Lightning: it has invoices made, asks what became of them, and says when one was paid.

Its state is the invoices (`actors.rules.invoices`), a fold of its own events; what speaks to a backend is in
`actors.nodes`. The ledger hears of a settled invoice as a fact and moves the money; nothing here does.

Rules: the backend is asked once the intent is on disk, and the text is shown once it is on disk. Whether an invoice
was paid is asked every few seconds, at once on a webhook, and again after its time; a webhook is a hint and is never
believed. A settlement counts only with the preimage, whoever says it. A simulated invoice is never asked for: it
settles when told, and says everywhere that it is simulated. Invoices of a backend that is no longer configured wait.
"""

from typing import ClassVar

import anyio
import anyio.to_thread

from actors.nodes import LightningOptions, Look, LookState, Node, NodeFault, SimulatedNode, Wish
from actors.nodes.bolt11_text import BadInvoice, read
from actors.nodes.simulated import NETWORK, preimage_of
from actors.rules import invoices as rules
from actors.rules.invoices import Invoices, Made
from actors.runtime import Deferred, Job, PersistentActor
from bus.messages.base import Done, Event, Message
from bus.messages.lightning import (
    CreateInvoice,
    InvoiceId,
    InvoiceIssued,
    InvoicePage,
    InvoiceView,
    ListInvoices,
    LookAtInvoice,
    ReadInvoice,
    SimulatePayment,
)
from bus.refusals import NodeFailed, NotPermitted, WrongPreimage

POLL = "poll"
LOOKS_MAX = 8
"""Invoices that are asked for at once."""


class InvoiceMade(Message, frozen=True):
    """Told to oneself by the job that had an invoice made; without `made`, `reason` says why there is none."""

    wire_name = "invoice.made"

    invoice: InvoiceId
    made: Made | None
    reason: str = ""


class InvoiceLooked(Message, frozen=True):
    """Told to oneself by the job that asked what became of an invoice; without `look` nobody could tell."""

    wire_name = "invoice.looked"

    invoice: InvoiceId
    look: Look | None


class PollDue(Message, frozen=True):
    """Told to oneself when it is time to look at what is pending."""

    wire_name = "invoice.poll"


class Lightning(PersistentActor[Invoices]):
    """The one actor that knows of invoices."""

    state_type: ClassVar[type[Invoices]] = Invoices

    def __init__(self, options: LightningOptions, node: Node) -> None:
        self._options = options
        self._node = node
        self._is_simulated = isinstance(node, SimulatedNode)
        self._network = NETWORK if self._is_simulated else options.network
        self._waiting: dict[InvoiceId, Deferred[InvoiceView]] = {}
        self._looking: set[InvoiceId] = set()

    def initial(self) -> Invoices:
        return Invoices()

    def apply(self, event: Event) -> None:
        rules.apply(self.state, event)

    async def on_stop(self) -> None:
        await self._node.close()

    def on_recovered(self) -> None:
        self._record(rules.decide_unfinished(self.state, self.now_us))
        self._look_at(self._own_pending())

    # Commands

    def on_create_invoice(self, command: CreateInvoice) -> InvoiceView | None:
        known = rules.repeated(self.state, command, self.now_us)
        events = rules.decide_create(
            self.state,
            command,
            backend=self._node.name,
            expiry_s=self._options.expiry_s,
            now_us=self.now_us,
        )
        if not events:
            assert known is not None, "nothing is to be done only for a repeat"
            return rules.invoice_of(self.state, known)
        [event] = events
        self._record(events)
        self._waiting[event.invoice] = self.defer()
        wish = Wish(event.invoice, event.amount_msat, event.description, event.expiry_s, event.created_us)
        self.perform(_issue, self, self._node, wish, self._network)
        return None

    def on_simulate_payment(self, command: SimulatePayment) -> InvoiceView:
        item = rules.invoice_of(self.state, command.invoice)
        if not item.is_simulated:
            raise NotPermitted(f"invoice {item.invoice} is real: only a payment settles it")
        preimage = command.preimage or preimage_of(item.invoice, item.created_us).hex()
        self._record(rules.decide_settle(self.state, item.invoice, preimage, item.amount_msat, self.now_us))
        return rules.invoice_of(self.state, command.invoice)

    def on_look_at_invoice(self, command: LookAtInvoice) -> Done:
        if command.backend == self._node.name:
            hinted = self.state.hashes.get(command.payment_hash)
            pending = self._own_pending()
            self._look_at(pending if not command.payment_hash else [one for one in pending if one == hinted])
        return Done()

    # Queries

    def on_read_invoice(self, query: ReadInvoice) -> InvoiceView:
        return rules.invoice_of(self.state, query.invoice)

    def on_list_invoices(self, query: ListInvoices) -> InvoicePage:
        return InvoicePage(rules.page(self.state, query), self._node.name, self._is_simulated)

    # What jobs and timers say

    def on_invoice_made(self, message: InvoiceMade) -> None:
        if message.made is not None:
            events = rules.decide_issue(self.state, message.invoice, message.made, self.now_us)
        else:
            events = rules.decide_fail(self.state, message.invoice, message.reason, self.now_us)
        self._record(events)
        waiting = self._waiting.pop(message.invoice, None)
        item = rules.invoice_of(self.state, message.invoice)
        if waiting is None or not waiting.is_open:
            return
        if item.request:
            waiting.answer(item)
        else:
            waiting.refuse(NodeFailed(self._node.name, item.reason))

    def on_invoice_looked(self, message: InvoiceLooked) -> None:
        self._looking.discard(message.invoice)
        item = rules.invoice_of(self.state, message.invoice)
        if message.look is not None:
            self._record(self._ended(item, message.look))
        self._await_poll()

    def on_poll_due(self, message: PollDue) -> None:
        self._look_at(self._own_pending())

    # Private

    def _ended(self, item: InvoiceView, look: Look) -> tuple[Event, ...]:
        match look.state:
            case LookState.SETTLED:
                if item.ended_us and not item.preimage:
                    return ()  # it has failed or expired here: the backend's own books show what came too late
                try:
                    return rules.decide_settle(self.state, item.invoice, look.preimage, look.received_msat, self.now_us)
                except WrongPreimage:
                    return ()  # a claim without its proof changes nothing; it is asked for again
            case LookState.CANCELLED if not self._is_over(item):
                return rules.decide_fail(self.state, item.invoice, "it was cancelled at the backend", self.now_us)
            case LookState.OPEN | LookState.CANCELLED | LookState.UNKNOWN:
                return rules.decide_expire(self.state, item.invoice, self.now_us) if self._is_over(item) else ()

    def _is_over(self, item: InvoiceView) -> bool:
        grace_us = 0 if item.is_simulated else round(self._options.grace_s * 1_000_000)
        return self.now_us >= item.expires_us + grace_us

    def _own_pending(self) -> list[InvoiceId]:
        """The invoices that wait and can be asked for: those of this backend that have their text."""
        found = (self.state.items[invoice] for invoice in self.state.pending)
        return [item.invoice for item in found if item.request and item.backend == self._node.name]

    def _look_at(self, wanted: list[InvoiceId]) -> None:
        """Ask for some invoices, unless they are being asked for already."""
        due = [invoice for invoice in wanted if invoice not in self._looking]
        if self._is_simulated:
            for invoice in due:
                self._record(self._ended(self.state.items[invoice], Look(LookState.OPEN)))
        elif due:
            self._looking.update(due)
            pairs = [(invoice, self.state.items[invoice].payment_hash) for invoice in due]
            self.perform(_look, self, self._node, pairs)
        self._await_poll()

    def _await_poll(self) -> None:
        pending = self._own_pending()
        if not pending:
            self.cancel_timer(POLL)
        elif self._is_simulated:
            next_us = min(self.state.items[invoice].expires_us for invoice in pending)
            self.start_timer(POLL, max(0.0, (next_us - self.now_us) / 1_000_000), PollDue())
        elif not self._looking:
            self.start_timer(POLL, self._options.poll_s, PollDue())

    def _record(self, events: tuple[Event, ...]) -> None:
        if events:
            self.persist(*events)
            if any(isinstance(event, InvoiceIssued) for event in events):
                self._await_poll()


async def _issue(job: Job, actor: Lightning, node: Node, wish: Wish, network: str) -> None:
    """Have an invoice made; what is no invoice at all has failed too."""
    try:
        issued = await node.issue(wish)
        # Reading one takes milliseconds, which are not the loop's.
        text = await anyio.to_thread.run_sync(read, issued.request, network)
        made = InvoiceMade(InvoiceId(wish.invoice), text)
    except NodeFault as fault:
        made = InvoiceMade(InvoiceId(wish.invoice), None, str(fault))
    except BadInvoice as bad:
        made = InvoiceMade(InvoiceId(wish.invoice), None, f"the backend's invoice cannot be used: {bad}")
    job.tell(actor.address, made)


async def _look(job: Job, actor: Lightning, node: Node, pairs: list[tuple[InvoiceId, str]]) -> None:
    """Ask for invoices, a few at a time; each answer is told at once."""
    limiter = anyio.CapacityLimiter(LOOKS_MAX)

    async def ask(invoice: InvoiceId, payment_hash: str) -> None:
        look: Look | None = None
        async with limiter:
            try:
                look = await node.look(payment_hash)
            except NodeFault:
                look = None  # nobody could tell: it is asked for again, and does not expire meanwhile
        job.tell(actor.address, InvoiceLooked(invoice, look))

    async with anyio.create_task_group() as tasks:
        for invoice, payment_hash in pairs:
            tasks.start_soon(ask, invoice, payment_hash)
