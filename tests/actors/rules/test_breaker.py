"""The breaker: tables of cases, then a state machine against a brute-force recount."""

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actors.rules.breaker import (
    FAILURES,
    Breaker,
    BreakerOptions,
    Closed,
    HalfOpened,
    Mode,
    Opened,
    Outcome,
    Permit,
    acquire,
    admits,
    event_of,
    gate,
    hasten,
    judge,
    record,
    reset,
    restore,
    snapshot,
    wait_of,
)
from bus.messages.completions import BreakerClosed, BreakerHalfOpened, BreakerOpened, BreakerState

OPTIONS = BreakerOptions(window=10, calls_min=4, failure_rate=0.5, slow_rate=0.75, refusals_max=2, probes=2)


def call(breaker: Breaker, outcome: Outcome, now_s: float = 0.0) -> Opened | Closed | None:
    permit, _ = acquire(breaker, OPTIONS, now_s)
    assert permit is not None
    return record(breaker, OPTIONS, permit, outcome, now_s, 0.0)


def opened(now_s: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(OPTIONS.calls_min):
        call(breaker, Outcome.FAILED, now_s)
    assert breaker.state is BreakerState.OPEN
    return breaker


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [
        ("ok failed ok failed", "2 of the last 4 calls failed"),
        ("failed failed failed", ""),
        ("failed ok ok ok", ""),
        ("refused refused", "2 connections in a row were refused"),
        ("refused ok refused", ""),
        ("slow slow slow ok", "3 of the last 4 calls were slow"),
        ("slow slow ok ok", ""),
        ("neutral neutral neutral neutral neutral", ""),
    ],
)
def test_it_opens_when_the_window_says_so_and_not_before(outcomes: str, reason: str) -> None:
    breaker = Breaker()
    transitions = [call(breaker, Outcome(outcome)) for outcome in outcomes.split()]
    assert transitions[:-1] == [None] * (len(transitions) - 1)
    last = transitions[-1]
    assert (last.reason if last is not None else "") == reason


def test_outcomes_that_left_the_window_count_no_more() -> None:
    breaker = Breaker()
    for outcome in [Outcome.OK] * 4 + [Outcome.FAILED] * 3 + [Outcome.OK] * 10 + [Outcome.FAILED] * 4:
        assert call(breaker, outcome) is None
    assert len(breaker.outcomes) == OPTIONS.window
    assert call(breaker, Outcome.FAILED) is not None


def test_nobody_gets_through_until_the_wait_is_over() -> None:
    breaker = opened(now_s=100.0)
    assert acquire(breaker, OPTIONS, 100.0 + OPTIONS.wait_min_s - 0.001) == (None, None)
    permit, transition = acquire(breaker, OPTIONS, 100.0 + OPTIONS.wait_min_s)
    assert (permit, transition) == (Permit(2, is_probe=True), HalfOpened(2))


def test_half_open_lets_the_probes_through_and_nobody_else() -> None:
    breaker = opened()
    permits = [acquire(breaker, OPTIONS, 1.0)[0] for _ in range(50)]
    assert [permit is not None for permit in permits] == [True] * OPTIONS.probes + [False] * (50 - OPTIONS.probes)


def test_all_probes_must_succeed_to_close_it() -> None:
    breaker = opened()
    assert [call(breaker, Outcome.OK, 1.0) for _ in range(2)] == [None, Closed(3, "2 of 2 probes succeeded")]
    assert (breaker.state, breaker.openings, breaker.outcomes) == (BreakerState.CLOSED, 0, [])


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REFUSED, Outcome.SLOW])
def test_one_bad_probe_opens_it_again_for_twice_as_long(outcome: Outcome) -> None:
    breaker = opened()
    assert call(breaker, Outcome.OK, 1.0) is None
    assert call(breaker, outcome, 1.0) == Opened(3, f"a probe was {outcome}", 2 * OPTIONS.wait_min_s)


def test_a_cancelled_probe_gives_its_place_to_another() -> None:
    breaker = opened()
    assert call(breaker, Outcome.NEUTRAL, 1.0) is None
    permits = [acquire(breaker, OPTIONS, 1.0)[0] for _ in range(3)]
    assert [permit is not None for permit in permits] == [True, True, False]


def test_an_outcome_of_an_older_generation_changes_nothing() -> None:
    breaker = Breaker()
    late, _ = acquire(breaker, OPTIONS, 0.0)
    assert late is not None
    for _ in range(OPTIONS.calls_min):
        call(breaker, Outcome.FAILED)
    acquire(breaker, OPTIONS, 1.0)
    before = msgspec.json.encode(breaker)
    assert [record(breaker, OPTIONS, late, outcome, 1.0, 0.0) for outcome in Outcome] == [None] * len(Outcome)
    assert msgspec.json.encode(breaker) == before


def test_the_wait_doubles_up_to_its_bound_and_jitter_only_shortens_it() -> None:
    assert [wait_of(OPTIONS, n, 0.0) for n in range(1, 9)] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert [wait_of(OPTIONS, n, 0.99) for n in (1, 4, 10_000)] == pytest.approx([1.0, 6.02, 45.15])


def test_a_gate_keeps_everybody_out_and_counts_as_no_failure() -> None:
    breaker = Breaker()
    gate(breaker, 10.0)
    gate(breaker, 5.0)
    assert (admits(breaker, OPTIONS, 9.9), admits(breaker, OPTIONS, 10.0)) == (False, True)
    assert (breaker.state, breaker.outcomes) == (BreakerState.CLOSED, [])


def test_a_reset_closes_it_lifts_the_gate_and_forgets_calls_under_way() -> None:
    breaker = opened()
    gate(breaker, 99.0)
    assert reset(breaker, "by hand") == Closed(2, "by hand")
    assert admits(breaker, OPTIONS, 0.0)
    assert reset(breaker, "by hand") is None


def test_an_answer_at_the_limit_is_slow() -> None:
    assert [judge(BreakerOptions(slow_call_s=2.0), s) for s in (1.99, 2.0)] == [Outcome.OK, Outcome.SLOW]


def test_each_transition_is_recorded_with_its_generation() -> None:
    assert event_of(Opened(1, "why", 1.5), "x", 1_000_000) == BreakerOpened("x", "why", 1.5, 2_500_000, 1)
    assert event_of(HalfOpened(2), "x", 0) == BreakerHalfOpened("x", 2)
    assert event_of(Closed(3, "why"), "x", 0) == BreakerClosed("x", "why", 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 0},
        {"calls_min": 0},
        {"refusals_max": 0},
        {"probes": 0},
        {"failure_rate": 0.0},
        {"slow_rate": 1.1},
        {"calls_min": 21},
        {"window_s": -1.0},
        {"slow_call_s": 0.0},
        {"wait_min_s": 0.0},
        {"wait_min_s": 61.0},
    ],
)
def test_options_under_which_it_would_never_open_or_never_close_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(wrong))):
        msgspec.convert(wrong, BreakerOptions)


def test_an_outcome_that_is_older_than_the_window_no_longer_counts() -> None:
    options = BreakerOptions(window_s=10.0, calls_min=3)
    breaker = Breaker()
    for now_s in (0.0, 1.0, 12.0, 13.0):
        permit, _ = acquire(breaker, options, now_s)
        assert permit is not None
        assert record(breaker, options, permit, Outcome.FAILED, now_s, 0.0) is None
    permit, _ = acquire(breaker, options, 14.0)
    assert permit is not None
    assert isinstance(record(breaker, options, permit, Outcome.FAILED, 14.0, 0.0), Opened)


@pytest.mark.parametrize(
    ("mode", "admitted", "watched"),
    [("metrics_only", True, 20), ("disabled", True, 0), ("forced_open", False, 0)],
)
def test_a_mode_decides_by_itself(mode: Mode, admitted: bool, watched: int) -> None:
    options = BreakerOptions(mode=mode)
    breaker = Breaker()
    for _ in range(30):
        permit, _ = acquire(breaker, options, 0.0)
        assert (permit is not None) is admitted
        if permit is not None:
            assert record(breaker, options, permit, Outcome.REFUSED, 0.0, 0.0) is None
    assert (breaker.state, len(breaker.outcomes)) == (BreakerState.CLOSED, watched)


def test_a_provider_that_was_open_is_asked_again_once_its_breaker_is_disabled() -> None:
    breaker = Breaker(state=BreakerState.OPEN, reopens_s=1e9)
    options = BreakerOptions(mode="disabled")
    assert acquire(breaker, options, 0.0) == (Permit(0, is_probe=False), None)


class BreakerMachine(RuleBasedStateMachine):
    """Calls of all kinds in any interleaving, on a clock that jumps; a recount from scratch stands beside it."""

    options = OPTIONS

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now_s = 0.0
        self.out: list[Permit] = []
        self.window: list[tuple[Outcome, float]] = []
        self.streak = 0
        """Refused connections in a row."""
        self.probes_out = 0
        self.probes_good = 0
        self.openings = 0

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 3.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(seconds=st.sampled_from([0.5, 2.0]))
    def throttled(self, seconds: float) -> None:
        gate(self.breaker, self.now_s + seconds)

    @rule()
    def begin(self) -> None:
        expected = self._is_free()
        assert admits(self.breaker, self.options, self.now_s) is expected
        was = self.breaker.state
        permit, transition = acquire(self.breaker, self.options, self.now_s)
        assert (permit is not None) is expected
        assert (transition is not None) is (expected and was is BreakerState.OPEN)
        if transition is not None:
            self.probes_out = self.probes_good = 0
        if permit is not None:
            assert permit.is_probe is (was is not BreakerState.CLOSED)
            self.probes_out += permit.is_probe
            self.out.append(permit)

    @precondition(lambda self: self.out)
    @rule(
        data=st.data(),
        outcome=st.sampled_from([*Outcome, Outcome.OK, Outcome.FAILED]),
        jitter=st.floats(0, 1, exclude_max=True),
    )
    def end(self, data: st.DataObject, outcome: Outcome, jitter: float) -> None:
        permit = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        was, generation = self.breaker.state, self.breaker.generation
        transition = record(self.breaker, self.options, permit, outcome, self.now_s, jitter)
        if permit.generation != generation:
            assert transition is None
        elif was is BreakerState.CLOSED:
            self._ended_closed(outcome, transition)
        else:
            self._ended_probe(outcome, transition)
        if isinstance(transition, Opened):
            self.openings += 1
            assert self.options.wait_min_s <= transition.wait_s <= self.options.wait_max_s
            assert self.breaker.reopens_s == self.now_s + transition.wait_s
        if transition is not None:
            self.window.clear()
            self.streak = 0

    @rule()
    def reset_by_hand(self) -> None:
        reset(self.breaker, "by hand")
        self.window.clear()
        self.streak = 0
        self.openings = 0

    @rule(seconds=st.sampled_from([0.0, 1.0, 1_000.0]))
    def restarts_after_a_while(self, seconds: float) -> None:
        """The monotonic clock begins anew, calls under way are lost, and the waits are what was left of them."""
        saved = snapshot(self.breaker, self.now_s)
        assert msgspec.json.decode(msgspec.json.encode(saved), type=type(saved)) == saved
        self.window = [(outcome, time_s - self.now_s + seconds) for outcome, time_s in self.window]
        self.now_s = seconds
        self.breaker = restore(saved, self.now_s)
        assert snapshot(self.breaker, self.now_s) == saved
        self.out.clear()
        self.probes_out = self.probes_good = 0

    @invariant()
    def the_window_is_the_recount(self) -> None:
        if self.breaker.state is BreakerState.CLOSED:
            assert self.breaker.outcomes == [outcome for outcome, _ in self.window]
            assert len(self.breaker.times_s) == len(self.window)
        assert len(self.breaker.outcomes) <= self.options.window

    @invariant()
    def no_permit_leaks(self) -> None:
        alive = [permit for permit in self.out if permit.generation == self.breaker.generation]
        if self.breaker.state is BreakerState.HALF_OPEN:
            assert self.breaker.probes_started == len(alive) + self.breaker.probes_succeeded
            assert self.breaker.probes_started == self.probes_out <= self.options.probes
        assert self.breaker.openings == self.openings

    def teardown(self) -> None:
        """Liveness: whatever has happened, once all calls and all waits are over, probes that succeed close it."""
        for permit in self.out:
            record(self.breaker, self.options, permit, Outcome.NEUTRAL, self.now_s, 0.0)
        self.now_s += self.options.wait_max_s + 2.0
        for _ in range(self.options.probes):
            permit_or_none, _ = acquire(self.breaker, self.options, self.now_s)
            assert permit_or_none is not None, "nobody is kept out for ever"
            record(self.breaker, self.options, permit_or_none, Outcome.OK, self.now_s, 0.0)
        assert self.breaker.state is BreakerState.CLOSED

    @rule()
    def seen_again(self) -> None:
        """A look finds it there again: its wait is over, and its probes are as many as ever."""
        hasten(self.breaker, self.now_s)

    def _is_free(self) -> bool:
        if self.now_s < self.breaker.gated_until_s:
            return False
        match self.breaker.state:
            case BreakerState.CLOSED:
                return True
            case BreakerState.OPEN:
                return self.now_s >= self.breaker.reopens_s
            case BreakerState.HALF_OPEN:
                return self.probes_out < self.options.probes

    def _ended_closed(self, outcome: Outcome, transition: Opened | Closed | None) -> None:
        if outcome is Outcome.NEUTRAL:
            assert transition is None
            return
        self.streak = (self.streak + 1) if outcome is Outcome.REFUSED else 0
        span_s = self.options.window_s or 1e9
        kept = [one for one in self.window if self.now_s - one[1] < span_s]
        self.window = [*kept, (outcome, self.now_s)][-self.options.window :]
        outcomes = [one for one, _ in self.window]
        size = len(outcomes)
        bad = sum(one in FAILURES for one in outcomes)
        slow = outcomes.count(Outcome.SLOW)
        options = self.options
        is_failing = bad >= size * options.failure_rate or slow >= size * options.slow_rate
        is_sick = size >= options.calls_min and is_failing
        is_dead = self.streak >= self.options.refusals_max
        assert isinstance(transition, Opened) is (is_sick or is_dead)

    def _ended_probe(self, outcome: Outcome, transition: Opened | Closed | None) -> None:
        if outcome is Outcome.NEUTRAL:
            self.probes_out -= 1
        elif outcome is Outcome.OK:
            self.probes_good += 1
        is_closing = self.probes_good == self.options.probes
        assert isinstance(transition, Opened) is (outcome not in (Outcome.OK, Outcome.NEUTRAL))
        assert isinstance(transition, Closed) is is_closing
        if is_closing:
            self.openings = 0


class TimedBreakerMachine(BreakerMachine):
    """The same with a window in seconds as well."""

    options = msgspec.structs.replace(OPTIONS, window_s=3.5)


TestBreakerMachine = BreakerMachine.TestCase
TestTimedBreakerMachine = TimedBreakerMachine.TestCase
TestTimedBreakerMachine.settings = settings(stateful_step_count=40)
TestBreakerMachine.settings = settings(stateful_step_count=40)
