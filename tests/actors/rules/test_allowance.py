"""Money that is drawn in advance: whatever a crash forgets, no budget is exceeded."""

from collections import Counter

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
from bus.messages.routing import AllowanceDrawn, AllowanceReturned, ReconcileSpending

LIMIT = 1_000
SLICE = 200
AGENTS = (AgentId("a"), AgentId("b"))
BUDGETS = Limits(run=LIMIT, agent=160)


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


def test_a_draw_leaves_most_of_what_the_agent_has_left() -> None:
    books = Spending(reserved=10, agents={AGENTS[0]: 40})
    drawn = spending.budgets(books, BUDGETS, AGENTS[0], 0)
    assert to_draw(books, drawn, SLICE) == 120 // ROOM_SHARE


class Crashes(RuleBasedStateMachine):
    """Calls on an allowance, over a journal whose tail a crash forgets. Only what is committed may be relied on."""

    def __init__(self) -> None:
        super().__init__()
        self.books = Spending()
        self.events: list[Event] = []
        self.committed = 0
        self.charged: Counter[AgentId] = Counter()
        """What the providers have really charged, by who has asked."""
        self.at_risk: dict[CompletionId, tuple[AgentId, int]] = {}
        """Calls that were sent: what each may charge at most."""
        self.waiting: list[CompletionId] = []
        """Calls that wait for the commit of their draw."""
        self.number = 0

    def record(self, event: Event) -> None:
        self.events.append(event)
        spending.apply(self.books, event)

    @rule(agent=st.sampled_from(AGENTS), needed=st.integers(1, 150))
    def begin(self, agent: AgentId, needed: int) -> None:
        drawn = spending.budgets(self.books, BUDGETS, agent, 0)
        if spending.refusal(self.books, drawn, needed)[0] is not None:
            return
        self.number += 1
        name = CompletionId(f"m-{self.number}")
        self.record(CompletionRequested(name, agent, TaskId(""), 1, 1, needed, 0))
        amount = to_draw(self.books, spending.budgets(self.books, BUDGETS, agent, 0), SLICE)
        if amount:
            self.record(AllowanceDrawn(amount_usd_micros=amount))
        if any(isinstance(event, AllowanceDrawn) for event in self.events[self.committed :]):
            self.waiting.append(name)
        else:
            self.at_risk[name] = agent, needed

    @rule(share=st.sampled_from((0.0, 1.0, 0.3)))
    def answer(self, share: float) -> None:
        if not self.at_risk:
            return
        name, (agent, most) = self.at_risk.popitem()
        cost = int(most * share)
        self.charged[agent] += cost
        self.record(
            CompletionCompleted(
                name, agent, TaskId(""), "p", "m", 1, 1, cost, "stop", 0.1, 0, answer_cost_usd_micros=cost
            )
        )

    @rule(share=st.sampled_from((1.0, 0.5, 0.0)))
    def commit(self, share: float) -> None:
        self.committed += round((len(self.events) - self.committed) * share)
        if self.committed == len(self.events):
            intents = [(name, self.books.open[name]) for name in self.waiting]
            self.at_risk |= {name: (intent.agent, intent.reserved) for name, intent in intents}
            self.waiting.clear()

    @rule()
    def rest(self) -> None:
        if not self.books.reserved and self.books.allowance:
            self.record(AllowanceReturned(amount_usd_micros=self.books.allowance))

    @rule(charged=st.sampled_from((1.0, 0.0, 0.3)))
    def crash(self, charged: float) -> None:
        """The tail is gone; the calls under way were made all the same, and charged for."""
        for agent, most in self.at_risk.values():
            self.charged[agent] += int(most * charged)
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
        assert self.charged.total() <= self.books.run <= LIMIT

    @rule(spent=st.floats(0.0, 1.0), unspent=st.floats(0.0, 1.0))
    def reconcile(self, spent: float, unspent: float) -> None:
        """A bill has come, for some of it: what it says is true."""
        hidden = self.charged.total() - (self.books.run - self.books.unknown)
        told = ReconcileSpending("p", int(hidden * spent), int((self.books.unknown - hidden) * unspent))
        for event in spending.reconcile(self.books, told, Limits(), 0):
            self.record(event)

    @invariant()
    def no_budget_is_exceeded(self) -> None:
        assert self.books.run + self.books.allowance <= LIMIT
        assert self.charged.total() + sum(most for _, most in self.at_risk.values()) <= LIMIT
        for agent in AGENTS:
            at_risk = sum(most for whose, most in self.at_risk.values() if whose == agent)
            assert self.charged[agent] + at_risk <= BUDGETS.agent
        assert self.books.reserved <= self.books.allowance

    @invariant()
    def the_fold_is_the_live_state(self) -> None:
        folded = Spending()
        for event in self.events:
            spending.apply(folded, event)
        assert msgspec.json.encode(folded) == msgspec.json.encode(self.books)


Crashes.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestCrashes = Crashes.TestCase


@pytest.mark.parametrize("is_outcome_kept", [True, False])
@pytest.mark.parametrize(
    ("is_charged", "unspent", "may_go_on"), [(1.0, 1.0, False), (0.0, 0.3, False), (0.0, 1.0, True)]
)
def test_what_an_agent_may_have_spent_on_a_slice_counts_in_its_budget_until_a_bill_says_that_it_was_not(
    is_outcome_kept: bool, is_charged: float, unspent: float, may_go_on: bool
) -> None:
    one, other = AGENTS
    run = Crashes()
    run.begin(one, 100)
    run.commit(1.0)
    run.answer(0.0)
    if is_outcome_kept:
        run.commit(1.0)
    run.begin(other, 100)  # on what the first one has left, so without a trace
    assert len(run.at_risk) == 1
    run.crash(is_charged)
    run.begin(other, 100)
    assert run.waiting == []
    run.reconcile(1.0, unspent)
    run.begin(other, 100)
    assert bool(run.waiting) == may_go_on
    run.no_budget_is_exceeded()
