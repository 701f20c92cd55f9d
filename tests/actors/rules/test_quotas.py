"""How much an agent may use, counted again by hand."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors.rules import quotas as rules
from actors.rules.quotas import BUCKETS, Quota, QuotasOptions, Usage
from bus.messages.base import AgentId, Event
from bus.messages.quotas import (
    QuotaReserved,
    QuotaSettled,
    QuotaSpent,
    QuotaWarned,
    ReserveQuota,
    SettleQuota,
)
from bus.refusals import QuotaExhausted

NOW_US = 1_800_000_000_000_000
SECOND = 1_000_000
SCOUT, EDITOR = AgentId("scout"), AgentId("editor")
HOUR = QuotasOptions(window_s=3_600, calls=10, tokens=1_000)


def wish(tokens: int = 0, calls: int = 1, agent: AgentId = SCOUT, disk_bytes: int = 0) -> ReserveQuota:
    return ReserveQuota(agent, calls, tokens, disk_bytes)


def reserve(
    usage: Usage, command: ReserveQuota, options: QuotasOptions = HOUR, now_us: int = NOW_US
) -> tuple[tuple[Event, ...], QuotaExhausted | None]:
    events, refusal = rules.decide_reserve(usage, command, options, now_us)
    for event in events:
        rules.apply(usage, event)
    return events, refusal


def settle(usage: Usage, use: int, *, calls: int = 1, tokens: int = 0) -> None:
    for event in rules.decide_settle(usage, SettleQuota(use, calls, tokens)):
        rules.apply(usage, event)


def tokens(usage: Usage, now_us: int = NOW_US, options: QuotasOptions = HOUR) -> int:
    return rules.used(usage, SCOUT, "tokens", now_us, rules.window_us(options))


def test_without_a_quota_nothing_is_recorded_and_nothing_refused() -> None:
    assert rules.decide_reserve(Usage(), wish(10**9), QuotasOptions(), NOW_US) == ((), None)
    assert not rules.has_limits(QuotasOptions())
    assert rules.has_limits(HOUR)
    assert rules.has_limits(QuotasOptions(agents=(Quota("scout", disk_bytes=1),)))


def test_an_agent_with_a_quota_of_its_own_has_that_alone() -> None:
    options = QuotasOptions(calls=1, agents=(Quota("scout", tokens=5),))
    assert rules.limits_of(options, SCOUT) == {"tokens": 5}
    assert rules.limits_of(options, EDITOR) == {"calls": 1}


def test_what_would_go_over_is_refused_and_uses_nothing() -> None:
    usage = Usage()
    reserve(usage, wish(900))
    events, refusal = reserve(usage, wish(101))
    assert [type(event) for event in events] == [QuotaSpent]
    assert refusal is not None
    assert (refusal.resource, refusal.used, refusal.limit, refusal.wanted) == ("tokens", 900, 1_000, 101)
    assert tokens(usage) == 900
    assert reserve(usage, wish(100))[1] is None


def test_the_refusal_says_when_there_is_room_and_there_is_then() -> None:
    usage = Usage()
    reserve(usage, wish(600))
    reserve(usage, wish(400), now_us=NOW_US + 600 * SECOND)
    _, refusal = reserve(usage, wish(500), now_us=NOW_US + 700 * SECOND)
    assert refusal is not None
    assert 2_900 <= refusal.retry_after_s <= 2_960
    later = NOW_US + 700 * SECOND + round(refusal.retry_after_s * SECOND)
    assert reserve(usage, wish(500), now_us=later)[1] is None


def test_what_is_more_than_the_quota_itself_never_fits() -> None:
    _, refusal = reserve(Usage(), wish(1_001))
    assert refusal is not None
    assert refusal.retry_after_s == 0
    assert "there is room" not in str(refusal)


def test_what_was_not_used_after_all_is_free_again_and_a_second_settlement_changes_nothing() -> None:
    usage = Usage()
    reserve(usage, wish(1_000))
    settle(usage, 1, tokens=300)
    settle(usage, 1, tokens=0)
    assert tokens(usage) == 300
    settle(usage, 99)
    assert tokens(usage) == 300


def test_what_a_provider_took_beyond_its_estimate_counts() -> None:
    usage = Usage()
    reserve(usage, wish(100))
    settle(usage, 1, tokens=1_200)
    assert tokens(usage) == 1_200
    assert reserve(usage, wish(1))[1] is not None


def test_a_warning_comes_at_80_percent_once_in_a_window() -> None:
    usage = Usage()
    assert [type(event) for event in reserve(usage, wish(799))[0]] == [QuotaReserved]
    events, _ = reserve(usage, wish(1))
    assert [type(event) for event in events] == [QuotaReserved, QuotaWarned]
    assert [type(event) for event in reserve(usage, wish(1))[0]] == [QuotaReserved]
    later = NOW_US + 2 * 3_600 * SECOND
    assert [type(event) for event in reserve(usage, wish(800), now_us=later)[0]] == [QuotaReserved, QuotaWarned]


def test_a_spent_quota_is_noted_once_until_something_was_granted_again() -> None:
    usage = Usage()
    reserve(usage, wish(1_000))
    assert [type(event) for event in reserve(usage, wish(1))[0]] == [QuotaSpent]
    assert reserve(usage, wish(1))[0] == ()
    later = NOW_US + 4_000 * SECOND
    reserve(usage, wish(1_000), now_us=later)
    assert [type(event) for event in reserve(usage, wish(1), now_us=later)[0]] == [QuotaSpent]


def test_agents_and_resources_do_not_touch_each_other() -> None:
    usage = Usage()
    reserve(usage, wish(1_000))
    assert reserve(usage, wish(1_000, agent=EDITOR))[1] is None
    assert reserve(usage, wish(0, calls=9))[1] is None
    _, refusal = reserve(usage, wish(0, calls=1))
    assert refusal is not None
    assert refusal.resource == "calls"


def test_another_window_takes_over_what_was_used() -> None:
    usage = Usage()
    reserve(usage, wish(700))
    day = msgspec.structs.replace(HOUR, window_s=86_400)
    assert tokens(usage, NOW_US + 3_000 * SECOND, day) == 700
    reserve(usage, wish(100), day, NOW_US + 10 * SECOND)
    assert tokens(usage, NOW_US + 80_000 * SECOND, day) == 800
    settle(usage, 1, tokens=0)
    assert tokens(usage, NOW_US + 80_000 * SECOND, day) == 100


def test_the_page_shows_what_is_used_and_when_the_first_of_it_is_free() -> None:
    usage = Usage()
    reserve(usage, wish(700))
    calls, used = rules.uses(usage, HOUR, NOW_US, AgentId(""))
    assert (calls.resource, calls.used, calls.limit) == ("calls", 1, 10)
    assert (used.resource, used.used, used.limit, used.window_s) == ("tokens", 700, 1_000, 3_600)
    assert NOW_US + 3_600 * SECOND < used.free_us <= NOW_US + 3_660 * SECOND
    assert rules.uses(usage, HOUR, NOW_US, EDITOR) == ()
    assert [one.used for one in rules.uses(usage, HOUR, NOW_US + 7_300 * SECOND, SCOUT)] == [0, 0]


def test_uses_that_are_never_settled_are_bounded() -> None:
    usage = Usage()
    options = QuotasOptions(calls=10**9)
    for _ in range(rules.OPEN_MAX + 10):
        reserve(usage, wish(), options)
    assert len(usage.open) == rules.OPEN_MAX


Step = tuple[int, int]
"""Milliseconds that pass, and what is wished for then."""


@given(st.lists(st.tuples(st.integers(0, 700), st.integers(1, 60)), max_size=120), st.integers(1, 5))
@settings(max_examples=200)
def test_no_window_ever_holds_more_than_the_limit_counted_again_by_hand(steps: list[Step], window_s: int) -> None:
    options = QuotasOptions(window_s=window_s, tokens=100)
    usage, granted, now_us = Usage(), list[tuple[int, int]](), NOW_US
    window = window_s * SECOND
    for passed_ms, wanted in steps:
        now_us += passed_ms * 1_000
        exact = sum(amount for at, amount in granted if at > now_us - window)
        counted = tokens(usage, now_us, options)
        loose = sum(amount for at, amount in granted if at > now_us - window - window // BUCKETS - 1)
        assert exact <= counted <= loose
        _, refusal = reserve(usage, wish(wanted, calls=0), options, now_us)
        if refusal is None:
            granted.append((now_us, wanted))
        else:
            assert counted + wanted > 100
        assert len(usage.buckets.get(SCOUT, {})) <= BUCKETS + 2
    for at, _ in granted:
        assert sum(amount for other, amount in granted if at - window < other <= at) <= 100


class Counting(RuleBasedStateMachine):
    """Reservations, settlements, restarts and time, in any order, against a recount of the events."""

    def __init__(self) -> None:
        super().__init__()
        self.usage = Usage()
        self.events: list[Event] = []
        self.now_us = NOW_US
        self.options = HOUR

    @initialize(window_s=st.sampled_from([1, 60, 3_600]))
    def begin(self, window_s: int) -> None:
        self.options = QuotasOptions(window_s=window_s, tokens=100, calls=7)

    @rule(wanted=st.integers(0, 120), agent=st.sampled_from([SCOUT, EDITOR]))
    def ask(self, wanted: int, agent: AgentId) -> None:
        events, refusal = reserve(self.usage, wish(wanted, agent=agent), self.options, self.now_us)
        assert (refusal is None) == any(isinstance(event, QuotaReserved) for event in events)
        self.events += events

    @rule(use=st.integers(1, 20), came_to=st.integers(0, 60))
    def tell(self, use: int, came_to: int) -> None:
        for event in rules.decide_settle(self.usage, SettleQuota(use, 1, came_to)):
            rules.apply(self.usage, event)
            self.events.append(event)

    @rule(seconds=st.floats(0, 4_000))
    def wait(self, seconds: float) -> None:
        self.now_us += round(seconds * SECOND)

    @rule()
    def restart(self) -> None:
        self.usage = msgspec.json.decode(msgspec.json.encode(self.usage), type=Usage)

    @invariant()
    def the_state_is_the_fold_of_the_events(self) -> None:
        again = Usage()
        for event in self.events:
            rules.apply(again, event)
        assert again == self.usage

    @invariant()
    def the_count_is_never_below_what_the_events_say(self) -> None:
        window = rules.window_us(self.options)
        settled = {event.use: event for event in self.events if isinstance(event, QuotaSettled)}
        for agent in (SCOUT, EDITOR):
            exact = 0
            for event in self.events:
                if isinstance(event, QuotaReserved) and event.agent == agent:
                    is_counted = event.reserved_us > self.now_us - window
                    exact += settled.get(event.use, event).tokens if is_counted else 0
            assert exact <= rules.used(self.usage, agent, "tokens", self.now_us, window)


TestCounting = Counting.TestCase
TestCounting.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("said", [{"window_s": 0}, {"calls": -1}, {"policy": "steal"}, {"agents": [{"calls": 1}]}])
def test_settings_that_make_no_sense_are_refused(said: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(said, QuotasOptions)
