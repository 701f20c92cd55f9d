"""What the events of providers add up to."""

from actors.rules.breaker import Snapshot
from actors.rules.records import Cascade, Standing, apply, breaker_snapshot, standing
from bus.messages.base import AgentId, CompletionId, Event, TaskId
from bus.messages.completions import (
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    BreakerState,
    CompletionAttemptFailed,
    CompletionCompleted,
    ProviderDisabled,
    ProviderEnabled,
)


def test_the_record_of_a_breaker_is_its_last_event() -> None:
    state = Cascade()
    fold(state, BreakerOpened("a", "why", 2.0, 7_000_000, 1), BreakerHalfOpened("a", 2))
    fold(state, BreakerOpened("a", "why", 4.0, 13_000_000, 3))
    record = standing(state, "a")
    assert (record.breaker, record.openings, record.generation) == (BreakerState.OPEN, 2, 3)
    assert breaker_snapshot(record, 10_000_000) == Snapshot(BreakerState.OPEN, 3, 2, wait_left_s=3.0)
    assert breaker_snapshot(record, 99_000_000).wait_left_s == 0.0
    fold(state, BreakerClosed("a", "probes", 4))
    assert breaker_snapshot(standing(state, "a"), 0) == Snapshot(BreakerState.CLOSED, 4)


def test_a_clock_that_was_set_back_does_not_lengthen_a_wait() -> None:
    record = Standing(breaker=BreakerState.OPEN, wait_s=2.0, reopens_us=1_000_000_000)
    assert breaker_snapshot(record, 0).wait_left_s == 2.0


def test_the_record_tells_who_disabled_a_provider() -> None:
    state = Cascade()
    fold(state, ProviderDisabled("a", "no key", is_automatic=True))
    assert (standing(state, "a").is_enabled, standing(state, "a").is_disabled_by_router) == (False, True)
    fold(state, ProviderDisabled("a", "by an operator"))
    assert (standing(state, "a").is_disabled_by_router, standing(state, "a").disabled_reason) == (
        False,
        "by an operator",
    )
    fold(state, ProviderEnabled("a"))
    assert standing(state, "a") == Standing()


def test_the_record_counts_answers_failures_and_money() -> None:
    state = Cascade()
    ids = CompletionId("m-1"), AgentId("scout"), TaskId("t-1")
    fold(state, CompletionAttemptFailed(*ids, "a", "timeout", "no reply", 1.0, cost_usd_micros=4))
    fold(state, CompletionCompleted(*ids, "b", "m", 1, 1, 7, "stop", 1.0, 0, answer_cost_usd_micros=3))
    assert standing(state, "a") == Standing(failed=1, spent_usd_micros=4, last_error="timeout: no reply")
    assert standing(state, "b") == Standing(completed=1, spent_usd_micros=3)
    assert standing(state, "c") == Standing()


def test_other_events_change_nothing() -> None:
    state = Cascade()
    fold(state, Event())
    assert state == Cascade()


def fold(state: Cascade, *events: Event) -> None:
    for event in events:
        apply(state, event)
