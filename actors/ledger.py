"""The ledger: the one actor that knows who has what.

Its state is the books (`actors.rules.books`), a fold of its own events; what may move is decided in
`actors.rules.ledger`, and what facts demand in `actors.rules.settlement`.

Rules: at its first start it opens the declared accounts and makes the one genesis transfer. At each start it proves
that the books add up, and does not start on books that do not. A command that is refused for want of money, or because
a hold has ended, is answered with a refused transfer that sticks to its id; a malformed one is refused without a trace.
"""

from itertools import islice
from typing import Annotated, ClassVar

import msgspec

from actors.rules import batches, books, ledger, model_money, settlement
from actors.rules.books import Books
from actors.rules.fields import check_integer
from actors.runtime import PersistentActor, Subscription
from bus.errors import ConservationBroken
from bus.messages.base import Event, Message, TransferId
from bus.messages.completions import CompletionCompleted, CompletionFailed, CompletionUnknown
from bus.messages.ledger import (
    Balance,
    Balances,
    CheckConservation,
    Conservation,
    CreateTransfers,
    HoldPage,
    HoldTransfer,
    ListHolds,
    PostTransfer,
    ReadBalances,
    ReadTransfer,
    SetCredit,
    Transfer,
    TransferBatch,
    TransferExpired,
    TransferHeld,
    TransferPosted,
    TransferView,
    TransferVoided,
    VoidTransfer,
)
from bus.messages.lightning import InvoiceSettled
from bus.messages.routing import AllowanceLost, AllowanceReturned, SpendingReconciled
from bus.messages.tasks import TaskCancelled, TaskCompleted, TaskCreated, TaskExpired, TaskFailed

HOLDS_MAX = 1_000
"""Open holds of one page."""


class LedgerOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where money comes from."""

    genesis_msat: Annotated[int, msgspec.Meta(ge=0, le=books.AMOUNT_MAX)] = 1_000_000_000
    """What the treasury gets at the very first start, in msat; a later change has no effect."""


class HoldDue(Message, frozen=True):
    """Told to oneself when a hold's time is over."""

    wire_name = "hold.due"

    hold: TransferId


class Ledger(PersistentActor[Books]):
    """The one actor that moves money."""

    state_type: ClassVar[type[Books]] = Books

    def __init__(self, options: LedgerOptions) -> None:
        self._options = options

        self._open: dict[TransferId, None] = {}
        """The open holds in the order in which they were made; it follows from the books."""

    def initial(self) -> Books:
        return Books()

    def subscriptions(self) -> tuple[Subscription, ...]:
        ends = ("task.completed", "task.failed", "task.cancelled", "task.expired")
        costs = ("completion.completed", "completion.failed", "completion.unknown")
        drawn = ("allowance.returned", "allowance.lost", "spending.reconciled")
        return tuple(Subscription(topic) for topic in ("task.created", *ends, *costs, *drawn, "invoice.settled"))

    def apply(self, event: Event) -> None:
        books.apply(self.state, event)

    def on_recovered(self) -> None:
        """Raises `ConservationBroken` for books that do not add up: nothing may be moved on them."""
        proof = books.prove(self.state)
        if not proof.is_conserved:
            raise ConservationBroken(proof.problems)
        self._open = dict.fromkeys(books.open_holds(self.state))
        self._record(ledger.decide_genesis(self.state, self._options.genesis_msat))
        for hold in self.state.expiring:
            self._await_expiry(hold)

    # Facts

    def on_task_fact(self, fact: TaskCreated | TaskCompleted | TaskFailed | TaskCancelled | TaskExpired) -> None:
        self._record(settlement.decide_settlement(self.state, fact, self.now_us))

    def on_completion_fact(self, fact: CompletionCompleted | CompletionFailed | CompletionUnknown) -> None:
        self._record(settlement.decide_settlement(self.state, fact, self.now_us))

    def on_allowance_fact(self, fact: AllowanceReturned | AllowanceLost | SpendingReconciled) -> None:
        self._record(model_money.decide_allowance(self.state, fact, self.delivers_position, self.now_us))

    def on_invoice_settled(self, fact: InvoiceSettled) -> None:
        self._record(settlement.decide_income(self.state, fact))

    # Commands

    def on_money_command(self, command: Transfer | HoldTransfer | PostTransfer | VoidTransfer) -> TransferView:
        ledger.check_command(command)
        self._record(ledger.decide(self.state, command, self.now_us))
        return ledger.first_result(self.state, command)

    def on_create_transfers(self, command: CreateTransfers) -> TransferBatch:
        batches.check_batch(command)
        decided = batches.decide_batch(self.state, command, self.now_us)
        self._record(decided.events)
        return TransferBatch(decided.views)

    def on_set_credit(self, command: SetCredit) -> Balance:
        self._record(ledger.decide_credit(self.state, command))
        return books.balances(self.state, command.account, command.currency)[0]

    def on_hold_due(self, message: HoldDue) -> None:
        self._record(ledger.decide_expiry(self.state, message.hold, self.now_us))
        self._await_expiry(message.hold)  # again, should the wall clock have been set back

    # Queries

    def on_read_balances(self, query: ReadBalances) -> Balances:
        return Balances(books.balances(self.state, query.account, query.currency))

    def on_list_holds(self, query: ListHolds) -> HoldPage:
        check_integer("limit", query.limit, 1, HOLDS_MAX)
        newest = islice(reversed(self._open), query.limit)
        return HoldPage(tuple(books.view(self.state, hold) for hold in newest), len(self._open))

    def on_read_transfer(self, query: ReadTransfer) -> TransferView:
        return books.view(self.state, query.transfer)

    def on_check_conservation(self, query: CheckConservation) -> Conservation:
        return books.prove(self.state)

    # Private

    def _record(self, events: tuple[Event, ...]) -> None:
        if not events:
            return
        self.persist(*events)
        for event in events:
            match event:
                case TransferHeld():
                    self._open[event.transfer] = None
                    self._await_expiry(event.transfer)
                case TransferPosted() | TransferVoided():
                    self._open.pop(event.hold, None)
                case TransferExpired():
                    self._open.pop(event.transfer, None)
                case _:
                    pass

    def _await_expiry(self, hold: TransferId) -> None:
        due_us = self.state.expiring.get(hold)
        if due_us is not None:
            left_s = max(0.0, (due_us - self.now_us) / 1_000_000)
            self.start_timer(f"hold/{hold}", left_s, HoldDue(hold))
