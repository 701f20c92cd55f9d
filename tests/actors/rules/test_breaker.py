"""The breaker: tables of cases, then a state machine against a brute-force recount."""

from typing import get_args

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
    effective,
    event_of,
    gate,
    hasten,
    judge,
    of_provider,
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


@pytest.mark.parametrize(
    ("outcome", "how"), [(Outcome.FAILED, "failed"), (Outcome.REFUSED, "was refused"), (Outcome.SLOW, "was slow")]
)
def test_one_bad_probe_opens_it_again_for_twice_as_long(outcome: Outcome, how: str) -> None:
    breaker = opened()
    assert call(breaker, Outcome.OK, 1.0) is None
    assert call(breaker, outcome, 1.0) == Opened(3, f"a probe {how}", 2 * OPTIONS.wait_min_s)


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


def test_a_breaker_that_is_restored_is_the_one_that_was_saved_with_the_rest_of_its_waits() -> None:
    breaker = opened()
    call(breaker, Outcome.FAILED, 5.0)
    gate(breaker, 9.0)
    saved = snapshot(breaker, 6.0)
    again = restore(saved, 1_000.0)
    assert (again.state, again.generation, again.openings) == (BreakerState.OPEN, 3, 2)
    assert (again.reopens_s, again.gated_until_s) == (1_001.0, 1_003.0)
    assert snapshot(again, 1_000.0) == saved


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


def test_an_outcome_that_is_exactly_as_old_as_the_window_no_longer_counts() -> None:
    options = BreakerOptions(window_s=10.0)
    breaker = Breaker()
    for now_s in (0.0, 9.5, 10.0):
        permit, _ = acquire(breaker, options, now_s)
        assert permit is not None
        record(breaker, options, permit, Outcome.FAILED, now_s, 0.0)
    assert breaker.times_s == [9.5, 10.0]


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


@pytest.mark.parametrize(
    ("shared", "own", "of_a_model", "of_who_quotes"),
    [
        ("enforced", "", "enforced", "enforced"),
        ("forced_open", "", "forced_open", "enforced"),  # nobody is called, and the work goes on
        ("forced_open", "enforced", "enforced", "enforced"),
        ("enforced", "forced_open", "forced_open", "forced_open"),
        ("forced_open", "forced_open", "forced_open", "forced_open"),
        ("metrics_only", "", "metrics_only", "metrics_only"),
        ("disabled", "metrics_only", "metrics_only", "metrics_only"),
    ],
)
def test_a_provider_goes_by_its_own_mode_or_else_by_that_of_all(
    shared: Mode, own: Mode, of_a_model: Mode, of_who_quotes: Mode
) -> None:
    options = msgspec.structs.replace(OPTIONS, mode=shared)
    for is_last_resort, mode in ((False, of_a_model), (True, of_who_quotes)):
        expected = msgspec.structs.replace(OPTIONS, mode=mode)
        assert of_provider(options, own, is_last_resort=is_last_resort) == expected


@pytest.mark.parametrize("mode", ["metrics_only", "disabled", "forced_open"])
@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_probe_that_ends_under_another_mode_changes_no_state_and_gives_its_place_back(
    mode: Mode, outcome: Outcome
) -> None:
    breaker = opened()
    probes = [acquire(breaker, OPTIONS, 1.0)[0] for _ in range(OPTIONS.probes)]
    other = msgspec.structs.replace(OPTIONS, mode=mode)
    for probe in probes:
        assert probe is not None
        assert record(breaker, other, probe, outcome, 1.0, 0.0) is None
    assert (breaker.state, breaker.openings) == (BreakerState.HALF_OPEN, 1)
    assert [call(breaker, Outcome.OK, 1.0) for _ in probes] == [None, Closed(3, "2 of 2 probes succeeded")]


def test_a_call_that_a_mode_let_through_past_an_open_breaker_decides_nothing_about_it() -> None:
    breaker, watching = opened(), msgspec.structs.replace(OPTIONS, mode="metrics_only")
    passed = [acquire(breaker, watching, 0.0)[0] for _ in range(9)]
    for permit in passed:
        assert permit is not None
        assert not permit.is_probe
        assert record(breaker, OPTIONS, permit, Outcome.REFUSED, 0.5, 0.0) is None
    assert (breaker.state, breaker.openings, breaker.reopens_s) == (BreakerState.OPEN, 1, OPTIONS.wait_min_s)


def test_with_fewer_probes_than_were_already_good_one_more_closes_it() -> None:
    options = msgspec.structs.replace(OPTIONS, probes=3)
    breaker = opened()
    for _ in range(2):
        permit, _ = acquire(breaker, options, 1.0)
        assert permit is not None
        assert record(breaker, options, permit, Outcome.OK, 1.0, 0.0) is None
    fewer = msgspec.structs.replace(OPTIONS, probes=1)
    permits = [acquire(breaker, fewer, 1.0)[0] for _ in range(5)]
    assert [permit is not None for permit in permits] == [True, False, False, False, False]
    assert permits[0] is not None
    assert record(breaker, fewer, permits[0], Outcome.OK, 1.0, 0.0) == Closed(3, "1 of 1 probes succeeded")


@pytest.mark.parametrize(
    ("mode", "shown"),
    [
        ("enforced", BreakerState.HALF_OPEN),
        ("forced_open", BreakerState.OPEN),
        ("metrics_only", BreakerState.CLOSED),
        ("disabled", BreakerState.CLOSED),
    ],
)
def test_how_it_stands_is_what_the_mode_makes_of_it(mode: Mode, shown: BreakerState) -> None:
    breaker = Breaker(state=BreakerState.HALF_OPEN)
    assert effective(breaker, msgspec.structs.replace(OPTIONS, mode=mode)) is shown


def test_a_provider_that_was_open_is_asked_again_once_its_breaker_is_disabled() -> None:
    breaker = Breaker(state=BreakerState.OPEN, reopens_s=1e9)
    options = BreakerOptions(mode="disabled")
    assert acquire(breaker, options, 0.0) == (Permit(0, is_probe=False), None)


class BreakerMachine(RuleBasedStateMachine):
    """Calls of all kinds in any interleaving, on a clock that jumps; a recount from scratch stands beside it."""

    options = OPTIONS

    def __init__(self) -> None:
        super().__init__()
        self.options = type(self).options
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
        is_first_probe = expected and was is BreakerState.OPEN and self.options.mode == "enforced"
        assert (transition is not None) is is_first_probe
        if transition is not None:
            self.probes_out = self.probes_good = 0
        if permit is not None:
            assert permit.is_probe is (was is not BreakerState.CLOSED and self.options.mode == "enforced")
            self.probes_out += permit.is_probe
            self.out.append(permit)

    @precondition(lambda self: self.out)
    @rule(
        data=st.data(),
        outcome=st.sampled_from([*Outcome, Outcome.OK, Outcome.FAILED]),
        jitter=st.floats(0, 1, exclude_max=True),
    )
    def end(self, data: st.DataObject, outcome: Outcome, jitter: float) -> None:
        self._end(data.draw(st.integers(0, len(self.out) - 1)), outcome, jitter)

    @rule(
        outcomes=st.sampled_from(
            [(Outcome.REFUSED,) * 2, (Outcome.FAILED,) * 4, (Outcome.OK,) * 3, (Outcome.SLOW,) * 4, (Outcome.OK,)]
        ),
        apart_s=st.sampled_from([0.0, 1.0, 1.75]),
    )
    def calls_one_after_the_other(self, outcomes: tuple[Outcome, ...], apart_s: float) -> None:
        """A run of equal outcomes, which chance alone seldom makes: it opens, closes or fills the window."""
        for outcome in outcomes:
            self.now_s += apart_s
            before = len(self.out)
            self.begin()
            if len(self.out) > before:
                self._end(before, outcome, 0.0)

    def _end(self, number: int, outcome: Outcome, jitter: float) -> None:
        permit = self.out.pop(number)
        was, generation = self.breaker.state, self.breaker.generation
        transition = record(self.breaker, self.options, permit, outcome, self.now_s, jitter)
        if permit.generation != generation:
            assert transition is None
        elif self.options.mode != "enforced":
            self._ended_unheeded(permit, outcome, transition)
        elif was is not BreakerState.CLOSED and not permit.is_probe:
            assert transition is None, "a mode had let it through"
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

    @rule(mode=st.sampled_from([*get_args(Mode), "enforced"]), probes=st.integers(1, 3))
    def settings_change(self, mode: Mode, probes: int) -> None:
        """Other settings count from now on; the breaker stays as it stands, and so do the calls under way."""
        before = msgspec.json.encode(self.breaker)
        self.options = msgspec.structs.replace(self.options, mode=mode, probes=probes)
        assert msgspec.json.encode(self.breaker) == before

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
            probing = sum(permit.is_probe for permit in alive)
            assert self.breaker.probes_started == probing + self.breaker.probes_succeeded
            assert self.breaker.probes_started == self.probes_out
        assert self.breaker.openings == self.openings

    def teardown(self) -> None:
        """Liveness: whatever has happened, once all calls and all waits are over, probes that succeed close it."""
        for permit in self.out:
            record(self.breaker, self.options, permit, Outcome.NEUTRAL, self.now_s, 0.0)
        self.options = msgspec.structs.replace(self.options, mode="enforced")
        self.now_s += self.options.wait_max_s + 2.0
        for _ in range(self.options.probes):
            assert admits(self.breaker, self.options, self.now_s), "nobody is kept out for ever"
            if self.breaker.state is not BreakerState.CLOSED:
                permit_or_none, _ = acquire(self.breaker, self.options, self.now_s)
                assert permit_or_none is not None
                record(self.breaker, self.options, permit_or_none, Outcome.OK, self.now_s, 0.0)
        assert self.breaker.state is BreakerState.CLOSED

    @rule()
    def seen_again(self) -> None:
        """A look finds it there again: its wait is over, and its probes are as many as ever."""
        hasten(self.breaker, self.now_s)

    def _is_free(self) -> bool:
        if self.now_s < self.breaker.gated_until_s or self.options.mode == "forced_open":
            return False
        if self.options.mode != "enforced":
            return True
        match self.breaker.state:
            case BreakerState.CLOSED:
                return True
            case BreakerState.OPEN:
                return self.now_s >= self.breaker.reopens_s
            case BreakerState.HALF_OPEN:
                is_nobody_out = self.probes_out == self.probes_good
                return self.probes_out < self.options.probes or is_nobody_out

    def _ended_closed(self, outcome: Outcome, transition: Opened | Closed | None) -> None:
        if outcome is Outcome.NEUTRAL:
            assert transition is None
            return
        self._watch(outcome)
        outcomes = [one for one, _ in self.window]
        size = len(outcomes)
        bad = sum(one in FAILURES for one in outcomes)
        slow = outcomes.count(Outcome.SLOW)
        options = self.options
        is_failing = bad >= size * options.failure_rate or slow >= size * options.slow_rate
        is_sick = size >= options.calls_min and is_failing
        is_dead = self.streak >= self.options.refusals_max
        assert isinstance(transition, Opened) is (is_sick or is_dead)

    def _ended_unheeded(self, permit: Permit, outcome: Outcome, transition: Opened | Closed | None) -> None:
        """Whatever comes of it, only an enforced breaker opens or closes."""
        assert transition is None
        self.probes_out -= permit.is_probe
        if outcome is not Outcome.NEUTRAL and self.options.mode != "disabled":
            self._watch(outcome)

    def _watch(self, outcome: Outcome) -> None:
        self.streak = (self.streak + 1) if outcome is Outcome.REFUSED else 0
        span_s = self.options.window_s or 1e9
        kept = [one for one in self.window if self.now_s - one[1] < span_s]
        self.window = [*kept, (outcome, self.now_s)][-self.options.window :]

    def _ended_probe(self, outcome: Outcome, transition: Opened | Closed | None) -> None:
        if outcome is Outcome.NEUTRAL:
            self.probes_out -= 1
        elif outcome is Outcome.OK:
            self.probes_good += 1
        is_closing = outcome is Outcome.OK and self.probes_good >= self.options.probes
        assert isinstance(transition, Opened) is (outcome not in (Outcome.OK, Outcome.NEUTRAL))
        assert isinstance(transition, Closed) is is_closing
        if is_closing:
            self.openings = 0


class TimedBreakerMachine(BreakerMachine):
    """The same with a window in seconds as well."""

    options = msgspec.structs.replace(OPTIONS, window_s=3.5)


TestBreakerMachine = BreakerMachine.TestCase
TestTimedBreakerMachine = TimedBreakerMachine.TestCase
TestTimedBreakerMachine.settings = settings(max_examples=150, stateful_step_count=50)
TestBreakerMachine.settings = settings(max_examples=150, stateful_step_count=50)
