"""When a stored filter or a position makes something happen."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.rules import standing
from actors.rules import triggers as rules
from actors.rules.triggers import Triggers
from bus.address import Address
from bus.envelope import Recorded
from bus.messages.agents import StepStarted
from bus.messages.base import AgentId, Event, Position, TaskId
from bus.messages.system import CheckpointFailed, SystemInfo
from bus.messages.tasks import TaskSpec
from bus.messages.triggers import CancelTrigger, CreateTrigger, TriggerCreated, TriggerFired, TriggerSpec
from bus.refusals import IdempotencyConflict, InvalidField, NotFound, Overloaded

POST = TaskSpec("look after it")
SPEC = TriggerSpec(types=("task.failed",), post=POST, pause_s=2.0)
HEAD = Position(5)


def _made(spec: TriggerSpec = SPEC, key: str = "") -> Triggers:
    state = Triggers()
    for event in rules.decide_create(state, CreateTrigger(spec, key), HEAD, 0):
        rules.apply(state, event)
    return state


def _recorded(event: Event, source: str = "coordinator", position: int = 9) -> Recorded:
    return Recorded(event, Position(position), 0, Address(source), Position(0), "", Position(0))


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        (TriggerSpec(types=("task.*",)), "spec"),
        (TriggerSpec(types=("task.*",), post=POST, wake=Address("a")), "spec"),
        (TriggerSpec(post=POST), "spec"),
        (TriggerSpec(types=("task.*",), at=Position(9), post=POST), "spec"),
        (TriggerSpec(types=("task..x",), post=POST), "spec.types"),
        (TriggerSpec(types=("a",) * (rules.PATTERNS_MAX + 1), post=POST), "spec.types"),
        (TriggerSpec(at=Position(-1), post=POST), "spec.at"),
        (TriggerSpec(at=HEAD, post=POST), "spec.at"),
        (TriggerSpec(task="t" * 201, post=POST), "spec.task"),
        (TriggerSpec(task="t-1", post=POST, pause_s=0.0), "spec.pause_s"),
        (TriggerSpec(task="t-1", post=POST, pause_s=float("nan")), "spec.pause_s"),
        (TriggerSpec(task="t-1", post=POST, fires_max=-1), "spec.fires_max"),
        (TriggerSpec(task="t-1", post=TaskSpec("x", after=(TaskId("t-1"),))), "spec.post.after"),
        (TriggerSpec(task="t-1", post=TaskSpec("")), "title"),
    ],
)
def test_a_trigger_that_makes_no_sense_is_refused_by_its_field(spec: TriggerSpec, path: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        rules.decide_create(Triggers(), CreateTrigger(spec), HEAD, 0)
    assert path in refusal.value.path


@pytest.mark.parametrize(
    ("types", "reason"),
    [
        (("task.creatd",), "'task.creatd' matches no event .* did you mean task.created"),
        (("task.created", "nothing_of_ours.#"), "'nothing_of_ours.#' matches no event"),
        (("trigger.fired",), "'trigger.fired' matches no event that there is for a trigger"),
        (("trigger.*",), "'trigger.*' matches no event"),
    ],
)
def test_a_type_that_there_is_not_is_refused_with_those_that_are_spelt_much_like_it(
    types: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(InvalidField, match=reason) as refusal:
        rules.decide_create(Triggers(), CreateTrigger(TriggerSpec(types=types, post=POST)), HEAD, 0)
    assert refusal.value.path == "spec.types"


@pytest.mark.parametrize("pattern", ["#", "*.created", "task.#", "task.completed"])
def test_a_pattern_that_some_event_matches_is_taken(pattern: str) -> None:
    assert _made(TriggerSpec(types=(pattern,), post=POST)).triggers["g-1"].spec.types == (pattern,)


def test_the_same_key_gives_the_same_trigger_and_another_spec_is_refused() -> None:
    state = _made(key="k")
    assert rules.decide_create(state, CreateTrigger(SPEC, "k"), HEAD, 1) == ()
    assert rules.repeated(state, CreateTrigger(SPEC, "k"), 1) == "g-1"
    with pytest.raises(IdempotencyConflict):
        rules.decide_create(state, CreateTrigger(msgspec.structs.replace(SPEC, pause_s=9.0), "k"), HEAD, 1)


@pytest.mark.parametrize(
    ("spec", "is_wanted"),
    [
        (TriggerSpec(types=("step.*",)), True),
        (TriggerSpec(types=("task.*",)), False),
        (TriggerSpec(source="agents/scout"), True),
        (TriggerSpec(source="ledger"), False),
        (TriggerSpec(task="t-1", agent="scout"), True),
        (TriggerSpec(task="t-2"), False),
        (TriggerSpec(types=("step.*",), agent="critic"), False),
        (TriggerSpec(run="r-1"), False),
        (TriggerSpec(at=Position(9)), False),
    ],
)
def test_an_event_matches_when_all_that_is_given_does(spec: TriggerSpec, is_wanted: bool) -> None:
    step = StepStarted(AgentId("scout"), TaskId("t-1"), 1, 1, 0)
    assert rules.wants(spec, _recorded(step, "agents/scout")) is is_wanted


@pytest.mark.parametrize(
    ("own", "run", "is_wanted"), [("", "main", True), ("main", "main", True), ("r-2", "main", False)]
)
def test_an_event_that_names_no_run_is_of_the_journals_own(own: str, run: str, is_wanted: bool) -> None:
    assert rules.wants(TriggerSpec(run=run), _recorded(CheckpointFailed("c-1", "full", own))) is is_wanted
    assert rules.wants(TriggerSpec(run="r-2"), _recorded(CheckpointFailed("c-1", "full", own))) is (own == "r-2")
    assert rules.wants(TriggerSpec(run="main"), _recorded(SystemInfo("x")))


def test_what_triggers_record_of_themselves_matches_nothing() -> None:
    everything = TriggerSpec(types=("#",))
    assert rules.wants(everything, _recorded(SystemInfo("x")))
    fired = TriggerFired("g-1", Position(3), 1, 0)
    assert not rules.wants(everything, _recorded(fired))
    assert not rules.wants(everything, _recorded(TriggerCreated("g-1", SPEC, HEAD, 0)))


def test_an_event_is_answered_for_once_and_what_was_there_before_is_none_of_its_business() -> None:
    state = _made()
    assert rules.decide_fire(state, "g-1", HEAD, 1, 0) == ()
    (fired,) = rules.decide_fire(state, "g-1", Position(8), 1, 10)
    assert (fired.position, fired.post) == (8, POST)
    rules.apply(state, fired)
    assert rules.decide_fire(state, "g-1", Position(8), 1, 20) == ()
    assert rules.decide_fire(state, "g-9", Position(9), 1, 20) == ()
    assert rules.view(state, "g-1").last == 8


@given(st.lists(st.integers(0, 10_000_000), min_size=1, max_size=50))
def test_however_often_it_matches_it_fires_no_faster_than_its_pause(times_us: list[int]) -> None:
    state = _made()
    fired_us: list[int] = []
    for position, now_us in enumerate(sorted(times_us), HEAD + 1):
        if not rules.wait_us(state.triggers["g-1"], now_us):
            for event in rules.decide_fire(state, "g-1", Position(position), 1, now_us):
                rules.apply(state, event)
                fired_us.append(now_us)
    assert all(later - earlier >= 2_000_000 for earlier, later in pairwise(fired_us))


def test_a_clock_that_was_set_back_makes_nobody_wait() -> None:
    state = _made()
    for event in rules.decide_fire(state, "g-1", Position(9), 1, 3_600_000_000):
        rules.apply(state, event)
    assert rules.wait_us(state.triggers["g-1"], 3_600_000_001) == 1_999_999
    assert rules.wait_us(state.triggers["g-1"], 0) == 0


def test_a_position_and_a_number_of_times_end_it() -> None:
    for spec in (TriggerSpec(at=Position(50), post=POST), msgspec.structs.replace(SPEC, fires_max=1)):
        state = _made(spec)
        for event in rules.decide_fire(state, "g-1", Position(50), 1, 10):
            rules.apply(state, event)
        assert rules.view(state, "g-1").is_over
        assert rules.decide_fire(state, "g-1", Position(60), 1, 20) == ()
        assert rules.decide_cancel(state, CancelTrigger("g-1")) == ()


def test_a_cancelled_one_fires_no_more_and_an_unknown_one_is_told() -> None:
    state = _made()
    for event in rules.decide_cancel(state, CancelTrigger("g-1")):
        rules.apply(state, event)
    assert rules.decide_fire(state, "g-1", Position(9), 1, 0) == ()
    assert (rules.living(state), rules.page(state).triggers[0].is_over) == ({}, True)
    with pytest.raises(NotFound):
        rules.decide_cancel(state, CancelTrigger("g-2"))


def test_there_are_no_more_triggers_than_events_can_be_held_against_and_those_that_are_over_are_forgotten() -> None:
    state = Triggers()
    for number in range(rules.OPEN_MAX):
        rules.apply(state, TriggerCreated(f"g-{number + 1}", SPEC, HEAD, 0))
    with pytest.raises(Overloaded):
        rules.decide_create(state, CreateTrigger(SPEC), HEAD, 0)
    for _ in range(2):
        for name in list(rules.living(state)):
            for event in rules.decide_cancel(state, CancelTrigger(name)):
                rules.apply(state, event)
        for number in range(10):
            rules.apply(state, TriggerCreated(f"h-{state.made}-{number}", SPEC, HEAD, 0))
    assert len(state.triggers) <= standing.KEPT_MAX + 10


def test_the_key_of_a_task_says_which_trigger_has_posted_it() -> None:
    assert rules.trigger_of_key(rules.task_key("g-7", Position(9))) == "g-7"
    assert rules.trigger_of_key("schedule/s-1/9") == rules.trigger_of_key("") == ""
