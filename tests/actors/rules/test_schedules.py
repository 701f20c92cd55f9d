"""When tasks are posted by themselves, and what becomes of times that were missed."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.rules import schedules
from actors.rules.schedules import LATE_US, OPEN_MAX, RUNS_MAX, Schedules, decide_cancel, decide_create, decide_fire
from bus.messages.base import TaskId
from bus.messages.schedules import CancelSchedule, CreateSchedule, Missed, ScheduleFired, ScheduleSpec
from bus.messages.tasks import TaskSpec
from bus.refusals import IdempotencyConflict, InvalidField, NotFound, Overloaded

S = 1_000_000
NOW = 1_800_000_000 * S
HOUR = 3_600 * S
TASK = TaskSpec("Water the plants")


def hourly(spec: ScheduleSpec, after_us: int) -> int:
    """A calendar of full hours."""
    return (after_us // HOUR + 1) * HOUR


def never(spec: ScheduleSpec, after_us: int) -> int:
    return 0


def create(state: Schedules, spec: ScheduleSpec, key: str = "", now_us: int = NOW) -> str:
    for event in decide_create(state, CreateSchedule(spec, key), now_us, hourly):
        schedules.apply(state, event)
    return f"s-{state.made}"


def fire(state: Schedules, name: str, now_us: int) -> ScheduleFired | None:
    events = decide_fire(state, name, now_us, hourly)
    for event in events:
        schedules.apply(state, event)
    return events[0] if events else None


def cron(missed: Missed = "run_once") -> ScheduleSpec:
    return ScheduleSpec(TASK, cron="0 * * * *", missed=missed)


@pytest.mark.parametrize("spec", [ScheduleSpec(TASK, at_us=NOW + 5 * S), ScheduleSpec(TASK, delay_s=5.0)])
def test_once_at_a_time_or_after_a_delay_it_posts_one_task_and_is_over(spec: ScheduleSpec) -> None:
    state = Schedules()
    name = create(state, spec)
    assert fire(state, name, NOW + 5 * S - 1) is None
    assert fire(state, name, NOW + 5 * S) == ScheduleFired(name, (NOW + 5 * S,), 0, 0, TASK)
    assert fire(state, name, NOW + 6 * S) is None
    assert schedules.view(state, name).posted == 1


def test_a_cron_expression_posts_at_each_of_its_times() -> None:
    state = Schedules()
    name = create(state, cron())
    first = schedules.view(state, name).next_us
    for number in range(3):
        fired = fire(state, name, first + number * HOUR + S)
        assert fired is not None
        assert (fired.dues, fired.missed, fired.next_us) == ((first + number * HOUR,), 0, first + (number + 1) * HOUR)


@pytest.mark.parametrize(("missed", "runs", "left"), [("skip", 0, 5), ("run_once", 1, 4), ("run_all", 5, 0)])
def test_times_that_passed_in_a_downtime_are_answered_for_as_declared(missed: Missed, runs: int, left: int) -> None:
    state = Schedules()
    name = create(state, cron(missed))
    first = schedules.view(state, name).next_us
    fired = fire(state, name, first + 4 * HOUR + LATE_US + 1)
    assert fired is not None
    assert (len(fired.dues), fired.missed) == (runs, left)
    assert fired.next_us == first + 5 * HOUR


@pytest.mark.parametrize("missed", ["skip", "run_once"])
def test_a_time_that_is_only_just_past_was_not_missed(missed: Missed) -> None:
    state = Schedules()
    name = create(state, cron(missed))
    first = schedules.view(state, name).next_us
    fired = fire(state, name, first + 2 * HOUR + LATE_US)
    assert fired is not None
    assert (fired.dues, fired.missed) == ((first + 2 * HOUR,), 2)


def test_a_long_downtime_is_made_up_for_within_a_bound() -> None:
    state = Schedules()
    name = create(state, cron("run_all"))
    fired = fire(state, name, NOW + 1_000 * HOUR)
    assert fired is not None
    assert len(fired.dues) == RUNS_MAX
    assert fired.next_us > NOW + 1_000 * HOUR


def test_a_clock_that_is_set_back_answers_for_no_time_twice() -> None:
    state = Schedules()
    name = create(state, cron())
    first = schedules.view(state, name).next_us
    assert fire(state, name, first) is not None
    assert fire(state, name, first - HOUR) is None
    assert fire(state, name, first) is None


def test_a_cancelled_schedule_posts_nothing_more() -> None:
    state = Schedules()
    name = create(state, cron())
    for event in decide_cancel(state, CancelSchedule(name)):
        schedules.apply(state, event)
    assert decide_cancel(state, CancelSchedule(name)) == ()
    assert fire(state, name, NOW + 9 * HOUR) is None
    assert schedules.view(state, name).is_cancelled
    with pytest.raises(NotFound):
        decide_cancel(state, CancelSchedule("s-9"))


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        (ScheduleSpec(TASK), "spec"),
        (ScheduleSpec(TASK, delay_s=1.0, cron="* * * * *"), "spec"),
        (ScheduleSpec(TASK, delay_s=-1.0), "spec.delay_s"),
        (ScheduleSpec(TASK, at_us=-1), "spec.at_us"),
        (ScheduleSpec(TaskSpec(""), delay_s=1.0), "spec.task.title"),
        (ScheduleSpec(TaskSpec("x", after=(TaskId("t-1"),)), delay_s=1.0), "spec.task.after"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(spec: ScheduleSpec, path: str) -> None:
    with pytest.raises(InvalidField) as refused:
        decide_create(Schedules(), CreateSchedule(spec), NOW, hourly)
    assert refused.value.path == path


def test_a_time_that_never_comes_is_refused() -> None:
    with pytest.raises(InvalidField, match="never comes"):
        decide_create(Schedules(), CreateSchedule(cron()), NOW, never)


def test_the_same_key_gives_the_same_schedule_and_another_spec_is_a_conflict() -> None:
    state = Schedules()
    create(state, cron(), "k")
    assert decide_create(state, CreateSchedule(cron(), "k"), NOW, hourly) == ()
    assert schedules.repeated(state, CreateSchedule(cron(), "k"), NOW) == "s-1"
    with pytest.raises(IdempotencyConflict):
        decide_create(state, CreateSchedule(cron("skip"), "k"), NOW, hourly)


def test_there_is_a_bound_to_open_schedules() -> None:
    state = Schedules({f"s-{n}": schedules.Schedule(cron(), NOW) for n in range(OPEN_MAX)}, OPEN_MAX)
    with pytest.raises(Overloaded):
        decide_create(state, CreateSchedule(cron()), NOW, hourly)


@given(st.lists(st.integers(-5 * 3_600, 50 * 3_600), max_size=20), st.sampled_from(["run_once", "skip", "run_all"]))
def test_whatever_the_clock_does_no_time_is_answered_for_twice(steps: list[int], missed: Missed) -> None:
    state = Schedules()
    name = create(state, cron(missed))
    now_us, seen = NOW, list[int]()
    for step_s in steps:
        now_us += step_s * S
        fired = fire(state, name, now_us)
        seen += fired.dues if fired is not None else ()
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen)
    assert msgspec.json.decode(msgspec.json.encode(state), type=Schedules) == state
