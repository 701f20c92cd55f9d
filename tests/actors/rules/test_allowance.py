"""Money that is drawn in advance: whatever a crash forgets, no budget is exceeded."""

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from actors.rules import spending
from actors.rules.allowance import ROOM_SHARE, to_draw
from actors.rules.spending import Limits, Spending
from bus.messages.base import AgentId, CompletionId, Event, TaskId
from bus.messages.completions import CompletionCompleted, CompletionRequested
from bus.messages.routing import AllowanceDrawn, AllowanceReturned

LIMIT = 1_000
SLICE = 200
AGENT = AgentId("a")


@pytest.mark.parametrize(
    ("reserved", "allowance", "spent", "expected"),
    [
        (0, 0, 0, 0),
        (50, 50, 0, 0),
        (10, 0, 0, LIMIT // ROOM_SHARE),
        (300, 100, 0, 200),
        (10, 0, 920, 10),
        (100, 0, 900, 100),
    ],
)
def test_a_draw_is_what_is_missing_or_a_slice_of_what_the_budget_has_left(
    reserved: int, allowance: int, spent: int, expected: int
) -> None:
    books = Spending(reserved=reserved, allowance=allowance, run=spent)
    assert to_draw(books, spending.shared_budgets(books, Limits(run=LIMIT), 0), SLICE) == expected


def test_without_a_budget_a_draw_is_a_slice() -> None:
    assert to_draw(Spending(reserved=10), (), SLICE) == SLICE


class Crashes(RuleBasedStateMachine):
    """Calls on an allowance, over a journal whose tail a crash forgets. Only what is committed may be relied on."""

    def __init__(self) -> None:
        super().__init__()
        self.books = Spending()
        self.events: list[Event] = []
        self.committed = 0
        self.charged = 0
        """What the providers have really charged."""
        self.at_risk: dict[CompletionId, int] = {}
        """Calls that were sent: what each may charge at most."""
        self.waiting: list[CompletionId] = []
        """Calls that wait for the commit of their draw."""
        self.number = 0

    def record(self, event: Event) -> None:
        self.events.append(event)
        spending.apply(self.books, event)

    @rule(needed=st.integers(1, 150))
    def begin(self, needed: int) -> None:
        drawn = spending.budgets(self.books, Limits(run=LIMIT), AGENT, 0)
        if spending.refusal(self.books, drawn, needed)[0] is not None:
            return
        self.number += 1
        name = CompletionId(f"m-{self.number}")
        self.record(CompletionRequested(name, AGENT, TaskId(""), 1, 1, needed, 0))
        amount = to_draw(self.books, spending.shared_budgets(self.books, Limits(run=LIMIT), 0), SLICE)
        if amount:
            self.record(AllowanceDrawn(amount_usd_micros=amount))
        if any(isinstance(event, AllowanceDrawn) for event in self.events[self.committed :]):
            self.waiting.append(name)
        else:
            self.at_risk[name] = needed

    @rule(share=st.floats(0.0, 1.0))
    def answer(self, share: float) -> None:
        if not self.at_risk:
            return
        name, most = self.at_risk.popitem()
        cost = int(most * share)
        self.charged += cost
        self.record(
            CompletionCompleted(
                name, AGENT, TaskId(""), "p", "m", 1, 1, cost, "stop", 0.1, 0, answer_cost_usd_micros=cost
            )
        )

    @rule(share=st.floats(0.0, 1.0))
    def commit(self, share: float) -> None:
        self.committed += round((len(self.events) - self.committed) * share)
        if self.committed == len(self.events):
            self.at_risk |= {name: self.books.open[name].reserved for name in self.waiting}
            self.waiting.clear()

    @rule()
    def rest(self) -> None:
        if not self.books.reserved and self.books.allowance:
            self.record(AllowanceReturned(amount_usd_micros=self.books.allowance))

    @rule(charged=st.floats(0.0, 1.0))
    def crash(self, charged: float) -> None:
        """The tail is gone; the calls under way were made all the same, and charged for."""
        self.charged += sum(int(most * charged) for most in self.at_risk.values())
        self.at_risk.clear()
        self.waiting.clear()
        del self.events[self.committed :]
        self.books = Spending()
        for event in self.events:
            spending.apply(self.books, event)
        for lost in spending.unknown(self.books, 0):
            self.record(lost)
        for forgotten in spending.lost_allowance(self.books, 0):
            self.record(forgotten)
        assert (self.books.reserved, self.books.allowance) == (0, 0)
        assert self.charged <= self.books.run <= LIMIT

    @invariant()
    def no_budget_is_exceeded(self) -> None:
        assert self.books.run + self.books.allowance <= LIMIT
        assert self.charged + sum(self.at_risk.values()) <= LIMIT
        assert self.books.reserved <= self.books.allowance

    @invariant()
    def the_fold_is_the_live_state(self) -> None:
        folded = Spending()
        for event in self.events:
            spending.apply(folded, event)
        assert msgspec.json.encode(folded) == msgspec.json.encode(self.books)


Crashes.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestCrashes = Crashes.TestCase
