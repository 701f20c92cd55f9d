"""What is wrong, told once."""

from actors.rules.monitor import (
    ALERTS_MAX,
    TEXT_MAX,
    Condition,
    Monitored,
    apply,
    decide_fact,
    decide_halt,
    decide_polled,
    decide_resume,
    decide_webhook,
    view,
)
from bus.messages.base import Event, Position
from bus.messages.completions import (
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    BudgetRaised,
    BudgetReopened,
    BudgetSpent,
    ProviderDisabled,
)
from bus.messages.monitor import (
    AlertCleared,
    AlertRaised,
    HaltSystem,
    ResumeSystem,
    SystemHalted,
    SystemResumed,
)
from bus.messages.webhooks import WebhookDelivered, WebhookRemoved, WebhookUndelivered

DISK = Condition("disk", "", "1 MiB are free")
STUCK = Condition("stuck", "router", "a message has waited for 40 s")
OPENED = BreakerOpened("openai", "5 of 10 failed", 30.0, 1, 1)


def after(state: Monitored, *events: Event) -> Monitored:
    for event in events:
        apply(state, event)
    return state


def held(*conditions: Condition) -> dict[str, Condition]:
    return {condition.alert: condition for condition in conditions}


def test_the_switch_is_thrown_once_and_thrown_back_once() -> None:
    state = Monitored()
    events = decide_halt(state, HaltSystem("look first", "ana"))
    assert events == (SystemHalted("look first", "ana"),)
    after(state, *events)
    assert (view(state).is_halted, view(state).reason, view(state).by) == (True, "look first", "ana")
    assert decide_halt(state, HaltSystem("again", "bo")) == ()
    events = decide_resume(state, ResumeSystem("bo"))
    assert events == (SystemResumed("bo"),)
    after(state, *events)
    assert (view(state).is_halted, decide_resume(state, ResumeSystem("bo"))) == (False, ())


def test_a_condition_raises_one_alert_for_as_long_as_it_lasts() -> None:
    state = Monitored()
    events = decide_polled(state, held(DISK, STUCK), 7)
    assert events == (
        AlertRaised("disk", "disk", "1 MiB are free", 7),
        AlertRaised("stuck/router", "stuck", "a message has waited for 40 s", 7),
    )
    after(state, *events)
    assert decide_polled(state, held(DISK, STUCK), 8) == ()
    assert decide_polled(state, held(DISK), 9) == (AlertCleared("stuck/router"),)


def test_a_condition_that_comes_again_is_told_again() -> None:
    state = after(Monitored(), AlertRaised("disk", "disk", "x", 1), AlertCleared("disk"))
    assert decide_polled(state, held(DISK), 9) == (AlertRaised("disk", "disk", "1 MiB are free", 9),)


def test_breakers_and_budgets_raise_and_clear_by_their_facts() -> None:
    state = Monitored()
    events = decide_fact(state, OPENED, 1)
    assert events == (AlertRaised("breaker/openai", "breaker", "5 of 10 failed", 1),)
    after(state, *events)
    assert decide_fact(state, OPENED, 2) == ()
    assert decide_fact(state, BreakerHalfOpened("openai", 1), 2) == ()
    assert decide_fact(state, BreakerClosed("openai", "", 1), 2) == (AlertCleared("breaker/openai"),)
    assert decide_fact(state, ProviderDisabled("openai", "bad key"), 2) == (AlertCleared("breaker/openai"),)
    spent = decide_fact(state, BudgetSpent("run", 9, 10), 3)
    assert spent == (
        AlertRaised(
            "budget/run", "budget", "9 of 10 USD micros are spent; the next call may cost more than is left", 3
        ),
    )
    after(state, *spent)
    assert decide_fact(state, BudgetRaised("run", 20), 4) == (AlertCleared("budget/run"),)
    assert decide_fact(state, BudgetReopened("run", 20), 4) == (AlertCleared("budget/run"),)
    assert decide_fact(state, BudgetRaised("day", 20), 4) == ()


def test_what_is_polled_says_nothing_about_what_facts_tell() -> None:
    state = after(Monitored(), *decide_fact(Monitored(), OPENED, 1))
    assert decide_polled(state, {}, 2) == ()


def test_alerts_and_their_words_are_bounded() -> None:
    state = Monitored()
    many = held(*(Condition("stuck", f"a{number}", "x" * 10_000) for number in range(ALERTS_MAX + 5)))
    events = decide_polled(state, many, 1)
    after(state, *events)
    assert len(state.alerts) == ALERTS_MAX
    assert max(len(alert.cause) for alert in state.alerts.values()) == TEXT_MAX
    assert decide_fact(state, OPENED, 2) == ()


def test_a_webhook_that_does_not_take_what_it_is_told_is_an_alert_until_it_does_or_is_gone() -> None:
    dead = WebhookUndelivered("desk", "7/desk", Position(7), "alert.raised", "HTTP 500", 6)
    state = after(Monitored(), *decide_webhook(Monitored(), dead, 1))
    (alert,) = state.alerts.values()
    assert (alert.alert, alert.cause) == ("dead_letters/desk", "the webhook did not take alert.raised: HTTP 500")
    assert decide_webhook(state, dead, 2) == ()
    assert decide_polled(state, {}, 2) == ()
    for fact in (WebhookDelivered("desk", "8/desk", 1), WebhookRemoved("desk")):
        assert decide_webhook(state, fact, 3) == (AlertCleared("dead_letters/desk"),)


def test_a_clearing_of_what_is_not_there_changes_nothing() -> None:
    assert after(Monitored(), AlertCleared("disk")) == Monitored()
