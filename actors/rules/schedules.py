"""When tasks are posted by themselves: once at a time, once after a delay, or as a cron expression says.

Rules: exactly one of the three is declared. A time that is more than `LATE_US` past was missed, as by a downtime or a
clock that jumped: the declared policy says whether it gets no task, one for all that were missed, or one for each, of
which at most `RUNS_MAX` are made up for. A time is answered for once, whatever the clock does afterwards. A schedule
posts its last task and is over, or is cancelled.

Pure: no clock; the calendar is asked of the caller.
"""

from collections.abc import Callable

import msgspec

from actors.rules import idempotency, standing
from actors.rules.fields import check_seconds
from actors.rules.idempotency import Keys
from bus.messages.base import Event, Microseconds
from bus.messages.schedules import (
    CancelSchedule,
    CreateSchedule,
    ScheduleCancelled,
    ScheduleCreated,
    ScheduleFired,
    SchedulePage,
    ScheduleSpec,
    ScheduleView,
)
from bus.refusals import InvalidField, Overloaded

OPEN_MAX = 10_000
LATE_US = 60_000_000
"""A busy machine is late by seconds; a minute is a downtime."""
RUNS_MAX = 100
COUNTED_MAX = 10_000
"""Missed times that are counted one by one; a schedule of each second has that many in three hours."""
DELAY_S_MAX = 366 * 86_400.0

Calendar = Callable[[ScheduleSpec, Microseconds], Microseconds]
"""The first time of a cron expression after another one, or 0."""


class Schedule(msgspec.Struct):
    """One schedule."""

    spec: ScheduleSpec
    next_us: Microseconds
    posted: int = 0
    is_cancelled: bool = False


class Schedules(msgspec.Struct):
    """All schedules, in the order in which they were made."""

    schedules: dict[str, Schedule] = {}
    made: int = 0
    keys: Keys = msgspec.field(default_factory=Keys)


def apply(state: Schedules, event: Event) -> None:
    """Fold one event."""
    match event:
        case ScheduleCreated():
            state.made += 1
            state.schedules[event.schedule] = Schedule(event.spec, event.next_us)
            idempotency.remember(state.keys, event.idempotency_key, event.schedule, event.created_us)
        case ScheduleFired(schedule=name) if name in state.schedules:
            state.schedules[name].next_us = event.next_us
            state.schedules[name].posted += len(event.dues)
            standing.forget(state.schedules, _is_over)
        case ScheduleCancelled(schedule=name) if name in state.schedules:
            state.schedules[name].next_us, state.schedules[name].is_cancelled = 0, True
            standing.forget(state.schedules, _is_over)
        case _:
            pass


def _is_over(one: Schedule) -> bool:
    return not one.next_us


def sound(spec: ScheduleSpec) -> ScheduleSpec:
    """The spec with a sound task. Raises `InvalidField`."""
    if sum((bool(spec.at_us), bool(spec.delay_s), bool(spec.cron))) != 1:
        raise InvalidField("spec", "needs exactly one of at_us, delay_s and cron")
    check_seconds("spec.delay_s", spec.delay_s, DELAY_S_MAX)
    if spec.at_us < 0:
        raise InvalidField("spec.at_us", "is before 1970")
    return msgspec.structs.replace(spec, task=standing.sound_task("spec.task", spec.task))


def repeated(state: Schedules, command: CreateSchedule, now_us: Microseconds) -> str:
    """The schedule that the command's key has made, or empty; `IdempotencyConflict` if it was for another spec."""
    return standing.repeated(state.schedules, state.keys, command.idempotency_key, sound(command.spec), now_us)


def decide_create(
    state: Schedules, command: CreateSchedule, now_us: Microseconds, calendar: Calendar
) -> tuple[ScheduleCreated, ...]:
    """A new schedule of sound spec; a repeat of its key causes nothing. Raises `InvalidField` or `Overloaded`."""
    spec = sound(command.spec)
    key = idempotency.check_key(command.idempotency_key)
    if repeated(state, command, now_us):
        return ()
    if sum(1 for one in state.schedules.values() if one.next_us) >= OPEN_MAX:
        raise Overloaded(f"the scheduler with {OPEN_MAX} schedules", 60.0)
    next_us = spec.at_us or (now_us + round(spec.delay_s * 1_000_000) if spec.delay_s else calendar(spec, now_us))
    if not next_us:
        raise InvalidField("spec.cron", "names a time that never comes")
    return (ScheduleCreated(f"s-{state.made + 1}", spec, next_us, now_us, key),)


def decide_cancel(state: Schedules, command: CancelSchedule) -> tuple[Event, ...]:
    """No more tasks; a repeat, or a schedule that is over, causes nothing. Raises `NotFound`."""
    return (ScheduleCancelled(command.schedule),) if schedule_of(state, command.schedule).next_us else ()


def decide_fire(state: Schedules, name: str, now_us: Microseconds, calendar: Calendar) -> tuple[ScheduleFired, ...]:
    """What a schedule posts now; nothing before its time."""
    one = state.schedules.get(name)
    if one is None or not one.next_us or now_us < one.next_us:
        return ()
    dues, next_us = [one.next_us], 0
    if one.spec.cron:
        next_us = calendar(one.spec, one.next_us)
        while next_us and next_us <= now_us and len(dues) < COUNTED_MAX:
            dues.append(next_us)
            next_us = calendar(one.spec, next_us)
        if next_us and next_us <= now_us:
            next_us = calendar(one.spec, now_us)
    punctual = [due for due in dues if now_us - due <= LATE_US]
    missed = dues[: len(dues) - len(punctual)]
    match one.spec.missed:
        case "skip":
            runs = punctual
        case "run_once":
            runs = punctual or missed[-1:]
        case "run_all":
            runs = (missed + punctual)[-RUNS_MAX:]
    return (ScheduleFired(name, tuple(runs), len(dues) - len(runs), next_us, one.spec.task),)


def schedule_of(state: Schedules, name: str) -> Schedule:
    """The schedule, or `NotFound`."""
    return standing.order_of("schedule", state.schedules, name)


def view(state: Schedules, name: str) -> ScheduleView:
    """A schedule as anyone may see it."""
    one = schedule_of(state, name)
    return ScheduleView(name, one.spec, one.next_us, one.posted, one.is_cancelled)


def page(state: Schedules) -> SchedulePage:
    """All schedules, newest first."""
    return SchedulePage(tuple(view(state, name) for name in reversed(state.schedules)))
