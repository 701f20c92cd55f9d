"""The choice of the next provider, and the table of what follows from each failure."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.rules.cascade import (
    CONSEQUENCES,
    Attempted,
    Candidate,
    CascadeOptions,
    ErrorClass,
    GiveUp,
    Next,
    NextRound,
    Policy,
    Queue,
    Try,
    choose,
    choose_hedge,
    in_order,
    throttled_s,
    why_skipped,
)

OPTIONS = CascadeOptions()
QUICKEST = CascadeOptions(policy="latency")
A, B = Candidate("a", needed_s=2.0), Candidate("b", needed_s=0.5)


def test_the_error_table() -> None:
    """One row per class: what the breaker hears, where it goes on, and what else follows."""
    rows = {
        error.value: " ".join(
            [
                row.outcome,
                row.next,
                *(name for name in ("disables", "gates", "is_retryable", "may_cost") if getattr(row, name)),
            ]
        )
        for error, row in CONSEQUENCES.items()
    }
    assert rows == {
        "refused": "refused provider is_retryable",
        "connect": "failed provider is_retryable",
        "server": "failed provider is_retryable",
        "timeout": "failed provider is_retryable may_cost",
        "truncated": "failed provider is_retryable may_cost",
        "garbage": "failed provider is_retryable may_cost",
        "too_large": "failed provider may_cost",
        "empty": "failed provider is_retryable may_cost",
        "filtered": "neutral provider may_cost",
        "overflow": "neutral provider",
        "rejected": "neutral stop",
        "unauthorised": "neutral provider disables",
        "unknown_model": "neutral provider disables",
        "throttled": "neutral provider gates is_retryable",
        "late": "neutral provider",
        "cancelled": "neutral stop may_cost",
        "outrun": "neutral provider is_retryable may_cost",
        "unrecorded": "neutral stop",
        "invalid": "neutral provider may_cost",
        "stalled": "failed provider is_retryable may_cost",
    }


def test_every_class_of_error_has_a_row() -> None:
    assert set(CONSEQUENCES) == set(ErrorClass)


@pytest.mark.parametrize(
    ("candidates", "attempted", "chosen"),
    [
        ((A, B), (), "a"),
        ((A, B), (Attempted("a", ErrorClass.SERVER),), "b"),
        ((msgspec.structs.replace(A, is_enabled=False), B), (), "b"),
        ((msgspec.structs.replace(A, is_admitted=False), B), (), "b"),
        ((msgspec.structs.replace(A, is_admitted=False, gate_left_s=3.0), B), (), "b"),
    ],
)
def test_the_first_provider_that_may_be_called_and_was_not_is_next(
    candidates: tuple[Candidate, ...], attempted: tuple[Attempted, ...], chosen: str
) -> None:
    choice = choose(candidates, attempted, 0, 10.0, OPTIONS, 0.0)
    assert isinstance(choice, Try)
    assert choice.provider == chosen


@pytest.mark.parametrize(
    ("time_left_s", "limit_s"),
    [(100.0, 60.0), (10.0, 9.5), (0.5, 0.25)],
)
def test_an_attempt_leaves_time_for_those_that_may_have_to_follow(time_left_s: float, limit_s: float) -> None:
    assert choose((A, B), (), 0, time_left_s, OPTIONS, 0.0) == Try("a", limit_s)


def test_the_last_provider_gets_all_the_time_there_is() -> None:
    assert choose((A, B), (Attempted("a", ErrorClass.TIMEOUT),), 0, 3.0, OPTIONS, 0.0) == Try("b", 3.0)


def test_no_attempt_starts_without_time_to_finish() -> None:
    choice = choose((A,), (), 0, 0.049, OPTIONS, 0.0)
    assert isinstance(choice, GiveUp)
    assert choice.is_late
    assert choose((A,), (), 0, 0.05, OPTIONS, 0.0) == Try("a", 0.05)


def test_a_busy_provider_is_waited_for_rather_than_passed_over() -> None:
    busy = msgspec.structs.replace(A, is_busy=True)
    assert choose((busy, B), (), 0, 1.0, OPTIONS, 0.0) == Queue("a", 1.0 - OPTIONS.attempt_min_s)


def test_when_all_failed_in_a_way_that_may_pass_another_round_begins_after_a_jittered_wait() -> None:
    failed = (Attempted("a", ErrorClass.SERVER), Attempted("b", ErrorClass.TIMEOUT))
    assert choose((A, B), failed, 0, 10.0, OPTIONS, 0.0) == NextRound(0.25)
    assert choose((A, B), failed, 0, 10.0, OPTIONS, 0.5) == NextRound(0.3125)
    assert choose((A, B), failed, 1, 10.0, OPTIONS, 0.0) == Try("a", 9.5)


def test_rounds_have_an_end() -> None:
    failed = tuple(Attempted("a", ErrorClass.SERVER, n) for n in range(2))
    choice = choose((A,), failed, 1, 10.0, OPTIONS, 0.0)
    assert isinstance(choice, GiveUp)
    assert not choice.is_late


def test_no_round_begins_that_could_not_end_in_time() -> None:
    assert isinstance(choose((A,), (Attempted("a", ErrorClass.SERVER),), 0, 0.29, OPTIONS, 0.0), GiveUp)


@pytest.mark.parametrize("error", [error for error in ErrorClass if not CONSEQUENCES[error].is_retryable])
def test_what_cannot_pass_is_not_tried_again(error: ErrorClass) -> None:
    assert isinstance(choose((A,), (Attempted("a", error),), 0, 10.0, OPTIONS, 0.0), GiveUp)


def test_a_throttled_provider_is_waited_for_until_it_said_if_that_is_in_time() -> None:
    gated = msgspec.structs.replace(A, is_admitted=False, gate_left_s=3.0)
    assert choose((gated,), (Attempted("a", ErrorClass.THROTTLED),), 0, 10.0, OPTIONS, 0.0) == NextRound(3.0)
    assert choose((gated,), (), 0, 10.0, OPTIONS, 0.0) == NextRound(3.0)
    assert isinstance(choose((gated,), (), 0, 3.0, OPTIONS, 0.0), GiveUp)


def test_nobody_waits_for_an_open_breaker() -> None:
    shut = msgspec.structs.replace(A, is_admitted=False)
    assert isinstance(choose((shut,), (), 0, 10.0, OPTIONS, 0.0), GiveUp)
    assert isinstance(choose((), (), 0, 10.0, OPTIONS, 0.0), GiveUp)


@given(
    candidates=st.lists(
        st.builds(
            Candidate,
            name=st.sampled_from("abcd"),
            is_enabled=st.booleans(),
            is_admitted=st.booleans(),
            gate_left_s=st.sampled_from([0.0, 0.3]),
            timeout_s=st.sampled_from([0.5, 60.0]),
            needed_s=st.sampled_from([0.1, 5.0]),
        ),
        unique_by=lambda candidate: candidate.name,
    ),
    errors=st.lists(st.sampled_from(ErrorClass), min_size=20, max_size=20),
    time_left_s=st.floats(0.0, 20.0),
)
def test_a_cascade_of_failures_ends_in_time_and_in_bounded_attempts(
    candidates: list[Candidate], errors: list[ErrorClass], time_left_s: float
) -> None:
    attempted: list[Attempted] = []
    round_ = 0
    while True:
        choice = choose(candidates, attempted, round_, time_left_s, OPTIONS, 0.5)
        match choice:
            case Try(provider, limit_s):
                assert 0.0 < limit_s <= time_left_s
                error = errors[len(attempted)]
                attempted.append(Attempted(provider, error, round_))
                time_left_s -= limit_s
                if CONSEQUENCES[error].next is Next.STOP:
                    break
            case NextRound(delay_s):
                assert delay_s + OPTIONS.attempt_min_s <= time_left_s
                time_left_s -= delay_s
                round_ += 1
            case _:
                break
    assert len(attempted) <= OPTIONS.rounds_max * len(candidates)
    assert len({(past.provider, past.round) for past in attempted}) == len(attempted)
    callable_ = {one.name for one in candidates if one.is_enabled and one.is_admitted}
    assert {past.provider for past in attempted} <= callable_


@pytest.mark.parametrize(
    ("policy", "order"),
    [("ordered", ["a", "b", "c"]), ("latency", ["b", "c", "a"]), ("cost", ["c", "a", "b"])],
)
def test_a_policy_puts_the_candidates_in_its_order(policy: Policy, order: list[str]) -> None:
    candidates = (
        Candidate("a", latency_s=3.0, cost=2),
        Candidate("b", latency_s=1.0, cost=3),
        Candidate("c", latency_s=2.0, cost=1),
    )
    assert [one.name for one in in_order(candidates, policy, (), 0.5)] == order


@pytest.mark.parametrize(
    ("jitter", "attempted", "first"),
    [(0.0, (), "a"), (0.24, (), "a"), (0.26, (), "b"), (0.99, (), "b"), (0.0, ("a",), "b"), (0.9, ("a", "b"), "a")],
)
def test_the_weighted_policy_draws_who_comes_first_by_weight(
    jitter: float, attempted: tuple[str, ...], first: str
) -> None:
    candidates = Candidate("a", weight=1.0), Candidate("b", weight=3.0), Candidate("c", is_enabled=False, weight=9.0)
    past = [Attempted(name, ErrorClass.SERVER) for name in attempted]
    assert in_order(candidates, "weighted", past, jitter)[0].name == first


@pytest.mark.parametrize("policy", ["latency", "cost", "weighted"])
@given(jitter=st.floats(0, 1, exclude_max=True), place=st.integers(0, 2))
def test_who_only_quotes_comes_last_however_quick_and_cheap_it_is(policy: Policy, jitter: float, place: int) -> None:
    candidates = [Candidate("a", latency_s=3.0, cost=2), Candidate("b", latency_s=1.0, cost=3)]
    candidates.insert(place, Candidate("quotes", weight=99.0, is_last_resort=True))
    assert in_order(candidates, policy, (), jitter)[-1].name == "quotes"
    assert in_order(candidates, "ordered", (), jitter)[place].name == "quotes"


@pytest.mark.parametrize(
    ("unasked_s", "trial_after_s", "order"),
    [
        ((0.0, 0.0, 0.0), 60.0, "bca"),
        ((60.0, 0.0, 59.0), 60.0, "abc"),
        ((60.0, 99.0, 61.0), 60.0, "bca"),  # the quickest was not asked for longest
        ((99.0, 99.0, 99.0), math.inf, "bca"),
        ((99.0, 99.0, 99.0), None, "bca"),
    ],
)
def test_who_was_not_asked_for_long_is_asked_before_the_quickest(
    unasked_s: tuple[float, float, float], trial_after_s: float | None, order: str
) -> None:
    known = zip("abc", (3.0, 1.0, 2.0), unasked_s, strict=True)
    candidates = [Candidate(name, latency_s=latency_s, unasked_s=age_s) for name, latency_s, age_s in known]
    assert "".join(one.name for one in in_order(candidates, "latency", (), 0.5, trial_after_s)) == order
    past = [Attempted("b", ErrorClass.SERVER)]
    assert in_order(candidates, "latency", past, 0.5, trial_after_s)[0].name == "b", "a second try finds nothing out"


def test_of_whom_nobody_knows_is_asked_once_and_then_comes_after_those_who_have_answered() -> None:
    known, never, failing = Candidate("known", latency_s=9.0), Candidate("never", unasked_s=math.inf), Candidate("new")
    assert [one.name for one in in_order((known, failing, never), "latency", (), 0.5, math.inf)] == [
        "never",
        "known",
        "new",
    ]
    assert choose((known, never), (), 0, 60.0, QUICKEST, 0.5, trial_after_s=math.inf) == Try("never", 58.0)


def test_a_trial_leaves_half_of_the_time_to_those_who_are_known_to_answer() -> None:
    slow, quick = Candidate("slow", latency_s=9.0, unasked_s=61.0), Candidate("quick", latency_s=1.0)
    assert choose((slow, quick), (), 0, 60.0, QUICKEST, 0.5, trial_after_s=60.0) == Try("slow", 30.0, is_trial=True)
    assert choose((slow,), (), 0, 60.0, QUICKEST, 0.5, trial_after_s=60.0) == Try("slow", 60.0, is_trial=True)


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=5), st.floats(0.1, 1e3), st.integers(1, 4))
def test_a_hedge_never_finds_anything_out(unasked_s: list[float], left_s: float, known: int) -> None:
    rested = [Candidate(f"p{number}", unasked_s=age_s, latency_s=1.0) for number, age_s in enumerate(unasked_s)]
    choice = choose_hedge(rested, (), [f"p{known}"], 0, left_s, QUICKEST, 0.5)
    assert choice is None or not choice.is_trial


def test_under_no_other_policy_is_anybody_tried() -> None:
    rested = Candidate("a"), Candidate("b", unasked_s=math.inf)
    for policy in ("ordered", "cost"):
        options = CascadeOptions(policy=policy)
        assert choose(rested, (), 0, 60.0, options, 0.5, trial_after_s=0.1) == Try("a", 58.0)


@given(
    st.sampled_from(["ordered", "latency", "cost", "weighted"]),
    st.lists(st.sampled_from(["not local", ""]), min_size=1, max_size=5),
    st.floats(0, 1, exclude_max=True),
)
def test_no_policy_ever_tries_who_is_unfit(policy: Policy, unfit: list[str], jitter: float) -> None:
    candidates = [Candidate(f"p{number}", unfit=reason) for number, reason in enumerate(unfit)]
    choice = choose(candidates, (), 0, 60.0, CascadeOptions(policy=policy), jitter)
    fit = {one.name for one in candidates if not one.unfit}
    assert choice.provider in fit if isinstance(choice, Try) else not fit


@pytest.mark.parametrize(
    ("candidates", "attempted", "wait_s"),
    [
        ([(False, 9.0), (False, 4.0)], [], 4.0),
        ([(False, 9.0), (False, 4.0)], [Attempted("p0", ErrorClass.THROTTLED)], 4.0),
        ([(False, 9.0), (False, 0.0)], [], 9.0),  # the breaker of the other is open
        ([(True, 0.0)], [Attempted("p0", ErrorClass.THROTTLED)], 1.0),  # it said to come at once, and said no again
        ([(False, 9.0)], [Attempted("p1", ErrorClass.SERVER)], 0.0),
        ([(False, 9.0), (True, 0.0)], [], 0.0),
        ([(False, 0.0)], [], 0.0),
        ([], [], 0.0),
    ],
)
def test_all_are_throttled_where_nothing_else_keeps_anybody_from_answering(
    candidates: list[tuple[bool, float]], attempted: list[Attempted], wait_s: float
) -> None:
    seen = [Candidate(f"p{at}", is_admitted=one, gate_left_s=left) for at, (one, left) in enumerate(candidates)]
    out = [Candidate("x", unfit="not local"), Candidate("y", is_enabled=False)]
    assert throttled_s([*seen, *out], attempted) == wait_s


def test_who_was_passed_over_is_told_why() -> None:
    replace = msgspec.structs.replace
    assert why_skipped(replace(A, is_enabled=False)) == "a: disabled"
    assert why_skipped(replace(A, is_admitted=False)) == "a: its breaker is open"
    assert why_skipped(replace(A, gate_left_s=1.26, is_admitted=False)) == "a: throttled for another 1.3 s"
    assert why_skipped(replace(A, is_forced_open=True, is_admitted=False)) == "a: its breaker is forced open"
    assert why_skipped(A) == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempt_min_s": 0},
        {"round_delay_s": 0},
        {"rounds_max": 0},
        {"rounds_max": 6},
        {"latency_stale_s": 0},
        {"latency_trials": 1.1},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(wrong))):
        msgspec.convert(wrong, CascadeOptions)
