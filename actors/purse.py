"""The router's money in hand: an allowance that is drawn in slices, so that no paid call waits for the disk.

A slice is a transfer in the ledger, from the account that pays for models to the router's own, under an id that is
recorded before it is asked for: asked twice it is drawn once. Calls run on it once all of that is committed. What they
cost goes from there to whom it is owed (`actors.rules.settlement`); what no call has needed for a while goes back; what
a crash leaves counts as spent until somebody reconciles it with the bill. Until a slice is there, and where there is
none, each paid call waits for the commit of its own intent instead.
"""

import msgspec

from actors.providers.register import AllowanceIdle
from actors.providers.settings import RouterOptions
from actors.rules import allowance, spending
from actors.rules.routing import RouterState
from actors.rules.spending import Limits
from actors.runtime import Job, PersistentActor
from bus.address import Address
from bus.errors import AgoraError
from bus.messages.base import AgentId, CompletionId, Event, Message, Position
from bus.messages.completions import BudgetSpent
from bus.messages.ledger import TransferState
from bus.messages.routing import (
    AllowanceAsked,
    AllowanceDrawn,
    AllowanceRefused,
    AllowanceReturned,
    CompletionsNumbered,
)
from bus.messages.system import JOURNAL, SaveCheckpoint

ALLOWANCE_KEY = "allowance"
ALLOWANCE_IDLE_S = 0.5
"""Long enough that a busy router draws seldom; what is left is at stake only so long."""
LEDGER_TIMEOUT_S = 5.0
"""The ledger answers within microseconds; one that is being restarted, within seconds."""
NUMBERS = 100
"""How many numbers of completions are taken at once."""
REFUSED_PAUSE_S = 30.0
"""Before the ledger is asked again when it has given nothing."""


class SliceAnswered(Message, frozen=True):
    """Told to oneself by the job that asked the ledger for a slice. No reason means that it was given."""

    wire_name = "router.slice_answered"

    number: int
    amount_usd_micros: int
    reason: str


class Neighbours(msgspec.Struct, frozen=True):
    """Whom the router turns to, where they are there."""

    ledger: Address | None = None
    """Where allowances are drawn; without one the router's own books are all there is."""
    log: Address | None = None
    """Who keeps completions in full."""
    audience: Address | None = None
    """Who shows words as they are said."""


class Purse(PersistentActor[RouterState]):
    """The half of the router that holds money."""

    def __init__(self, options: RouterOptions, neighbours: Neighbours) -> None:
        self._options = options
        self._limits = Limits(
            options.budget_run_usd_micros, options.budget_day_usd_micros, options.budget_agent_usd_micros
        )
        self._neighbours = neighbours
        self._ledger = neighbours.ledger
        self._drawn_at = Position(0)
        """Where the last draw of an allowance stands in the journal."""
        self._uses = 0
        """How many paid calls have begun on it."""
        self._uses_seen = -1
        """How many of them the timer has seen; -1 while none runs."""
        self._asks_again_s = 0.0
        self._number = 0
        """The last completion's."""

    def on_slice_answered(self, answered: SliceAnswered) -> None:
        """Take a slice into the purse, or note that there is none."""
        if answered.number != self.state.spending.slices or not self.state.spending.asked:
            return  # it was asked for before a restart, and again since
        if answered.reason:
            self._asks_again_s = self.monotonic_s + REFUSED_PAUSE_S
            refused = AllowanceRefused(answered.number, answered.amount_usd_micros, answered.reason)
            self.persist(refused)
        else:
            self._drawn_at = self.persist(AllowanceDrawn(amount_usd_micros=answered.amount_usd_micros))
            self._watch_idle()

    def on_allowance_idle(self, _: AllowanceIdle) -> None:
        """Give back what no call has needed for a while."""
        books = self.state.spending
        was_used, self._uses_seen = self._uses != self._uses_seen, -1
        if books.reserved or was_used:
            self._watch_idle()
        elif books.allowance:
            self.persist(AllowanceReturned(amount_usd_micros=books.allowance))

    def _next_number(self) -> CompletionId:
        """The id of the next completion. Numbers are taken many at a time, so that a crash gives none of them twice."""
        self._number += 1
        if self._number > self.state.spending.requested:
            self.persist(CompletionsNumbered(upto=self._number + NUMBERS - 1))
        return CompletionId(f"{spending.NUMBERED}{self._number}")

    def _reopen(self) -> None:
        """Say of which budgets there is more than when they were found spent."""
        if self.state.spending.spent and (events := spending.reopened(self.state.spending, self._limits, self.now_us)):
            self.persist(*events)

    def _own_up(self) -> None:
        """After a restart: what is open counts as spent, and a slice that was asked for is asked for again."""
        self._number = self.state.spending.requested
        if events := spending.unknown(self.state.spending, self.now_us):
            self.persist(*events)
        if lost := spending.lost_allowance(self.state.spending, self.now_us):
            self.persist(*lost)
        self._reopen()
        books = self.state.spending
        if books.asked:
            self.perform_at_once(self._ask_ledger, books.slices, books.asked)

    def _is_covered(self, agent: AgentId) -> bool:
        """Whether all that paid calls may cost was drawn in advance and is committed. Draws what is missing for one."""
        self._reopen()  # the day's, once another has begun
        if not self._options.allowance_usd_micros:
            return False
        books = self.state.spending
        budgets = spending.budgets(books, self._limits, agent, self.now_us)
        if amount := allowance.to_draw(books, budgets, self._options.allowance_usd_micros):
            self._draw(amount)
        self._uses += 1
        self._watch_idle()
        return books.reserved <= books.allowance and self._context.core.log.watermark >= self._drawn_at

    def _draw(self, amount: int) -> None:
        books = self.state.spending
        if self._ledger is None:
            self._drawn_at = self.persist(AllowanceDrawn(amount_usd_micros=amount))
        elif not books.asked and self.monotonic_s >= self._asks_again_s:
            self.persist(AllowanceAsked(slice=books.slices + 1, amount_usd_micros=amount))
            self.perform_at_once(self._ask_ledger, books.slices, amount)

    async def _ask_ledger(self, job: Job, number: int, amount: int) -> None:
        assert self._ledger is not None, "a router without a ledger asks nobody"
        command = allowance.slice_transfer(number, amount)
        reason = ""
        try:
            drawn = await job.ask(self._ledger, command, timeout_s=LEDGER_TIMEOUT_S, is_edge=False)
            if drawn.state is not TransferState.POSTED:
                reason = drawn.reason or str(drawn.state)
        except AgoraError as error:
            reason = str(error)
        job.tell(self.address, SliceAnswered(number, amount, reason))

    def _watch_idle(self) -> None:
        if self._uses_seen < 0:
            self._uses_seen = self._uses
            self.start_timer(ALLOWANCE_KEY, ALLOWANCE_IDLE_S, AllowanceIdle())

    def _note(self, notes: tuple[Event, ...]) -> None:
        """Record that a budget is spent; if it is everybody's, keep a checkpoint to go on from."""
        if notes:
            self.persist(*notes)
        if any(isinstance(note, BudgetSpent) and spending.is_shared(note.budget) for note in notes):
            self.tell(JOURNAL, SaveCheckpoint(reason="budget_exhausted"))
