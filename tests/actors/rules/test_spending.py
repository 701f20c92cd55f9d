"""Money: prices, reservations, budgets; then any history of calls against a recount."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actors.rules.spending import (
    DAY_US,
    RUN,
    Budget,
    Limits,
    Price,
    Spending,
    apply,
    budgets,
    cost,
    estimate_prompt,
    estimate_tokens,
    is_exhausted,
    is_shared,
    parse_price,
    reconcile,
    refusal,
    reopened,
    run_limit,
    today,
    unknown,
    warnings,
)
from bus.messages.base import AgentId, CompletionId, Event, TaskId
from bus.messages.completions import (
    BudgetRaised,
    BudgetReopened,
    BudgetSpent,
    BudgetWarned,
    ChatMessage,
    CompletionAttemptFailed,
    CompletionCompleted,
    CompletionFailed,
    CompletionRequested,
    CompletionUnknown,
)
from bus.messages.routing import AllowanceDrawn, AllowanceLost, CompletionsNumbered, ReconcileSpending
from bus.refusals import BudgetExhausted, Overloaded

SCOUT, EDITOR = AgentId("scout"), AgentId("editor")
TASK = TaskId("t-1")
NOON = DAY_US * 20_000 + DAY_US // 2


def requested(completion: str, reserved: int, agent: AgentId = SCOUT, now_us: int = NOON) -> CompletionRequested:
    return CompletionRequested(CompletionId(completion), agent, TASK, 1, 1, reserved, now_us)


def attempt_failed(completion: str, amount: int, agent: AgentId = SCOUT) -> CompletionAttemptFailed:
    return CompletionAttemptFailed(CompletionId(completion), agent, TASK, "a", "timeout", "", 1.0, amount)


def completed(completion: str, amount: int, agent: AgentId = SCOUT, now_us: int = NOON) -> CompletionCompleted:
    return CompletionCompleted(CompletionId(completion), agent, TASK, "a", "m", 1, 1, amount, "stop", 1.0, now_us)


def failed(completion: str, amount: int, agent: AgentId = SCOUT, now_us: int = NOON) -> CompletionFailed:
    return CompletionFailed(CompletionId(completion), agent, TASK, "timeout", "", amount, now_us)


def books(*events: Event) -> Spending:
    spending = Spending()
    for event in events:
        apply(spending, event)
    return spending


@pytest.mark.parametrize(("text", "micros"), [("0", 0), ("0.15", 150_000), ("75", 75_000_000), ("0.000001", 1)])
def test_a_price_is_read_exactly(text: str, micros: int) -> None:
    assert parse_price(Decimal(text)) == micros


@pytest.mark.parametrize("text", ["-1", "NaN", "Infinity", "0.0000001"])
def test_a_price_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a price is"):
        parse_price(Decimal(text))


def test_a_cost_is_rounded_upwards() -> None:
    price = Price(150_000, 600_000)
    assert [cost(price, *tokens) for tokens in ((0, 0), (1, 0), (1_000, 1_000), (1_000_000, 0))] == [0, 1, 750, 150_000]


def test_a_prompt_is_rather_estimated_too_long() -> None:
    assert (estimate_tokens(""), estimate_tokens("four"), estimate_tokens("語")) == (0, 2, 1)
    assert estimate_prompt((ChatMessage("system", "abc"), ChatMessage("user", "abcdef"))) == 3 + 2 * 4


def test_the_reservation_is_settled_and_the_rest_released() -> None:
    spending = books(requested("m-1", 100), requested("m-2", 50, EDITOR), completed("m-1", 30))
    assert (spending.run, spending.reserved, spending.agents) == (30, 50, {SCOUT: 30})
    assert list(spending.open) == ["m-2"]


def test_books_with_intents_of_what_was_free_say_the_same_as_books_without() -> None:
    """Free completions had intents once; journals keep them for good."""
    outcomes = (completed("m-1", 0), attempt_failed("m-2", 0), failed("m-2", 0), completed("m-3", 0, EDITOR))
    before = books(requested("m-1", 0), requested("m-2", 0), requested("m-3", 0, EDITOR), *outcomes)
    assert before == books(CompletionsNumbered(upto=3), *outcomes)
    (left,) = unknown(books(requested("m-4", 0)), NOON)
    assert books(requested("m-4", 0), left) == books(CompletionsNumbered(upto=4), completed("m-4", 0))


def test_what_failed_attempts_may_have_cost_stays_spent_and_is_counted_once() -> None:
    begun = books(requested("m-1", 100), attempt_failed("m-1", 40))
    assert (begun.run, begun.reserved) == (40, 100)
    assert books(requested("m-1", 100), attempt_failed("m-1", 40), completed("m-1", 55)).run == 55
    assert books(requested("m-1", 100), attempt_failed("m-1", 40), failed("m-1", 40)).run == 40


def test_an_intent_without_an_outcome_counts_as_spent_in_full() -> None:
    spending = books(requested("m-1", 100), attempt_failed("m-1", 40), requested("m-2", 7, EDITOR))
    found = unknown(spending, NOON)
    assert found == (
        CompletionUnknown(CompletionId("m-1"), SCOUT, TASK, 140, NOON),
        CompletionUnknown(CompletionId("m-2"), EDITOR, TASK, 7, NOON),
    )
    for event in found:
        apply(spending, event)
    assert (spending.run, spending.reserved, spending.agents) == (147, 0, {SCOUT: 140, EDITOR: 7})
    assert unknown(spending, NOON) == ()


def test_a_call_draws_on_every_budget_that_has_a_limit() -> None:
    spending = books(requested("m-1", 5, EDITOR), requested("m-2", 7), completed("m-2", 3))
    drawn = budgets(spending, Limits(run=10, day=20, agent=30), SCOUT, NOON)
    assert drawn == (Budget("run", 10, 3, 5), Budget("day/20000", 20, 3, 5), Budget("agent/scout", 30, 3, 0))
    assert budgets(spending, Limits(), SCOUT, NOON) == ()
    assert [is_shared(budget.name) for budget in drawn] == [True, True, False]


def test_a_call_that_fits_is_not_refused() -> None:
    assert refusal(Spending(), (Budget(RUN, 100, 60, 20),), 20) == (None, ())


def test_a_call_that_does_not_fit_spends_the_budget_once() -> None:
    spending = books()
    drawn = (Budget(RUN, 100, 90, 0),)
    refused, notes = refusal(spending, drawn, 11)
    assert isinstance(refused, BudgetExhausted)
    assert (refused.budget, refused.left_usd_micros, refused.needed_usd_micros) == ("run", 10, 11)
    assert notes == (BudgetSpent("run", 90, 100),)
    apply(spending, notes[0])
    refused, notes = refusal(spending, drawn, 1)
    assert (type(refused), notes) == (BudgetExhausted, ())


def test_a_call_that_fits_once_others_are_settled_may_come_back() -> None:
    refused, notes = refusal(Spending(), (Budget(RUN, 100, 50, 40),), 20)
    assert (type(refused), notes) == (Overloaded, ())
    assert refusal(Spending(), (Budget(RUN, 100, 50, 40),), 20, already_reserved=20) == (None, ())


def test_a_budget_is_spent_until_its_limit_is_higher() -> None:
    spending = books(BudgetSpent("run", 90, 100))
    assert is_exhausted(spending, Budget(RUN, 100, 90, 0))
    assert not is_exhausted(spending, Budget(RUN, 200, 90, 0))
    apply(spending, BudgetRaised("run", 95))
    assert not is_exhausted(spending, Budget(RUN, 95, 90, 0))
    assert run_limit(spending, Limits(run=100)) == 95


def test_a_lifted_budget_limits_nothing() -> None:
    spending = books(BudgetSpent("run", 90, 100), BudgetRaised("run", 0))
    assert budgets(spending, Limits(run=100), SCOUT, NOON) == ()


def test_at_eighty_percent_each_budget_is_warned_of_once() -> None:
    spending = books()
    drawn = (Budget(RUN, 100, 50, 10), Budget("day/1", 1_000, 50, 10))
    assert warnings(spending, drawn, 19) == ()
    due = warnings(spending, drawn, 20)
    assert due == (BudgetWarned("run", 80, 100),)
    apply(spending, due[0])
    assert warnings(spending, drawn, 30) == ()
    assert warnings(spending, (Budget(RUN, 101, 90, 0),), 0) == (BudgetWarned("run", 90, 101),)


def test_a_new_day_has_its_own_money_and_a_clock_that_was_set_back_gives_none() -> None:
    spending = books(requested("m-1", 10), completed("m-1", 8))
    assert (today(spending, NOON), today(spending, NOON + DAY_US), today(spending, NOON - DAY_US)) == (8, 0, 8)
    for event in (requested("m-2", 10, now_us=NOON + DAY_US), completed("m-2", 3, now_us=NOON + DAY_US)):
        apply(spending, event)
    assert (today(spending, NOON + DAY_US), spending.run) == (3, 11)


def test_what_is_noted_of_days_gone_by_is_forgotten() -> None:
    spending = books(
        *(BudgetSpent(f"day/{n}", 1, 1) for n in range(100)), *(BudgetWarned(f"day/{n}", 1, 1) for n in range(9))
    )
    assert (spending.spent, spending.warned) == ({"day/99": 1}, {"day/8": 1})


def test_a_call_at_a_clock_that_was_set_back_counts_in_the_day_that_there_is() -> None:
    before = NOON - DAY_US
    spending = books(
        *(requested("m-1", 9), completed("m-1", 8)),
        *(requested("m-2", 9, now_us=before), completed("m-2", 3, now_us=before)),
    )
    assert (today(spending, NOON), spending.run) == (11, 11)


def test_what_an_attempt_may_have_cost_counts_on_the_day_of_its_call() -> None:
    tomorrow = NOON + DAY_US
    spending = books(
        *(requested("m-1", 9), completed("m-1", 8)),
        *(requested("m-2", 9, now_us=tomorrow), attempt_failed("m-2", 5), completed("m-2", 7, now_us=tomorrow)),
    )
    assert (today(spending, tomorrow), spending.run) == (7, 15)


def test_what_a_crash_left_of_an_allowance_is_spent_on_the_day_that_finds_it() -> None:
    spending = books(requested("m-1", 9), completed("m-1", 8), AllowanceDrawn(10), AllowanceLost(10, NOON + DAY_US))
    assert (today(spending, NOON + DAY_US), spending.run, spending.unknown) == (10, 18, 10)


def test_what_a_crash_left_counts_once_in_each_agents_budget() -> None:
    lost = CompletionUnknown(CompletionId("m-1"), SCOUT, TASK, 6, NOON)
    spending = books(requested("m-1", 6), AllowanceDrawn(10), lost, AllowanceLost(4, NOON))
    spent = [budgets(spending, Limits(agent=30), agent, NOON)[0].spent for agent in (SCOUT, EDITOR)]
    assert spent == [10, 10]


def test_what_a_failed_completion_may_have_cost_is_unknown_until_a_bill_says() -> None:
    spending = books(requested("m-1", 9), attempt_failed("m-1", 5), failed("m-1", 5))
    assert (spending.unknown, spending.run) == (5, 5)


def test_a_spent_budget_covers_calls_again_by_other_settings_another_day_or_a_bill() -> None:
    books = Spending(day_number=20_000)
    for name in ("run", "day/20000", "agent/scout"):
        apply(books, BudgetSpent(budget=name, spent_usd_micros=90, limit_usd_micros=100))
    assert reopened(books, Limits(100, 100, 100), NOON) == ()
    assert reopened(books, Limits(100, 100, 100), NOON + DAY_US) == (BudgetReopened("day/20000", 100),)
    higher = reopened(books, Limits(run=0, day=101, agent=200), NOON)
    assert higher == (BudgetReopened("run", 0), BudgetReopened("day/20000", 101), BudgetReopened("agent/scout", 200))
    for event in higher:
        apply(books, event)
    assert books.spent == {}
    apply(books, BudgetSpent(budget="run", spent_usd_micros=90, limit_usd_micros=100))
    books.unknown = 20
    bill = reconcile(books, ReconcileSpending(unspent_usd_micros=20), Limits(100), 7)
    assert bill[1:] == (BudgetReopened("run", 100),)


def test_other_events_change_nothing() -> None:
    assert books(Event()) == Spending()


class SpendingMachine(RuleBasedStateMachine):
    """Calls that begin, fail, succeed or are lost in any order; the books beside a plain recount of the same."""

    limits = Limits(run=1_000, day=700, agent=600)

    def __init__(self) -> None:
        super().__init__()
        self.spending = Spending()
        self.now_us = NOON
        self.open: dict[str, tuple[AgentId, int, int]] = {}
        self.paid: list[tuple[AgentId, int]] = []
        self.begun = 0

    @rule(agent=st.sampled_from([SCOUT, EDITOR]), needed=st.integers(0, 300))
    def begin(self, agent: AgentId, needed: int) -> None:
        drawn = budgets(self.spending, self.limits, agent, self.now_us)
        refused, notes = refusal(self.spending, drawn, needed)
        for note in (*notes, *warnings(self.spending, drawn, needed if refused is None else 0)):
            apply(self.spending, note)
        if refused is None:
            self.begun += 1
            name = f"m-{self.begun}"
            apply(self.spending, requested(name, needed, agent, self.now_us))
            self.open[name] = (agent, needed, 0)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def an_attempt_fails(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.open)))
        agent, reserved, lost = self.open[name]
        apply(self.spending, attempt_failed(name, reserved, agent))
        self.open[name] = (agent, reserved, lost + reserved)
        self.paid.append((agent, reserved))
        drawn = budgets(self.spending, self.limits, agent, self.now_us)
        if refusal(self.spending, drawn, reserved, reserved)[0] is not None:
            apply(self.spending, failed(name, lost + reserved, agent, self.now_us))
            del self.open[name]

    @precondition(lambda self: self.open)
    @rule(data=st.data(), is_answered=st.booleans())
    def end(self, data: st.DataObject, is_answered: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.open)))
        agent, reserved, lost = self.open.pop(name)
        actual = data.draw(st.integers(0, reserved)) if is_answered else 0
        make = completed if is_answered else failed
        apply(self.spending, make(name, lost + actual, agent, self.now_us))
        self.paid.append((agent, actual))

    @rule()
    def restart(self) -> None:
        for event in unknown(self.spending, self.now_us):
            apply(self.spending, event)
        self.paid.extend((agent, reserved) for agent, reserved, _ in self.open.values())
        self.open.clear()

    @rule()
    def survive_storage(self) -> None:
        stored = msgspec.json.encode(self.spending)
        assert msgspec.json.decode(stored, type=Spending) == self.spending

    @invariant()
    def the_books_are_the_recount(self) -> None:
        assert self.spending.run == sum(amount for _, amount in self.paid)
        assert self.spending.reserved == sum(reserved for _, reserved, _ in self.open.values())
        for agent in (SCOUT, EDITOR):
            assert self.spending.agents.get(agent, 0) == sum(amount for who, amount in self.paid if who == agent)

    @invariant()
    def no_budget_is_exceeded(self) -> None:
        for agent in (SCOUT, EDITOR):
            for budget in budgets(self.spending, self.limits, agent, self.now_us):
                assert budget.spent + budget.reserved <= budget.limit


TestSpendingMachine = SpendingMachine.TestCase
TestSpendingMachine.settings = settings(stateful_step_count=40)
