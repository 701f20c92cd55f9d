"""Schedules: tasks that are posted at a time, after a delay, or again and again."""

from typing import ClassVar, Final, Literal

import msgspec

from bus.address import Address
from bus.messages.base import Command, Event, Microseconds, Query, Reply
from bus.messages.tasks import TaskSpec

SCHEDULER: Final = Address("scheduler")

Missed = Literal["run_once", "skip", "run_all"]
"""What becomes of times that passed while nobody was there: one task for all, none, or one for each."""


class ScheduleSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is posted, and when: exactly one of `at_us`, `delay_s` and `cron` is given."""

    task: TaskSpec
    at_us: Microseconds = 0
    delay_s: float = 0.0
    cron: str = ""
    """Five fields (minute, hour, day, month, weekday), or six with seconds first."""
    zone: str = "UTC"
    """The time zone of `cron`, by its IANA name."""
    missed: Missed = "run_once"


class ScheduleView(Reply, frozen=True):
    """A schedule as anyone may see it."""

    wire_name = "schedule"

    schedule: str
    spec: ScheduleSpec
    next_us: Microseconds
    """When it posts next; 0 once it never will again."""
    posted: int
    """Tasks so far."""
    is_cancelled: bool


class SchedulePage(Reply, frozen=True):
    """All schedules, newest first."""

    wire_name = "schedules"

    schedules: tuple[ScheduleView, ...]


class CreateSchedule(Command[ScheduleView], frozen=True):
    """Sent by who wants tasks posted later. The same key with the same spec gives the same schedule."""

    wire_name = "schedule.create"

    spec: ScheduleSpec
    idempotency_key: str = ""


class CancelSchedule(Command[ScheduleView], frozen=True):
    """Sent by who wants no more tasks of a schedule; those that are posted stay."""

    wire_name = "schedule.cancel"

    schedule: str


class ListSchedules(Query[SchedulePage], frozen=True):
    """Sent by whoever wants to see the schedules."""

    wire_name = "schedule.list"


class ScheduleCreated(Event, frozen=True):
    """Recorded when a schedule is accepted."""

    wire_name = "schedule.created"
    about = "schedule"
    personal: ClassVar[tuple[str, ...]] = ("spec.task.title", "spec.task.instructions")

    schedule: str
    spec: ScheduleSpec
    next_us: Microseconds
    created_us: Microseconds
    idempotency_key: str = ""


class ScheduleFired(Event, frozen=True):
    """Recorded when a schedule's time has come; the coordinator answers it with a task for each of `dues`."""

    wire_name = "schedule.fired"
    about = "schedule"
    personal: ClassVar[tuple[str, ...]] = ("task.title", "task.instructions")

    schedule: str
    dues: tuple[Microseconds, ...]
    """The times that are answered for; none where all were missed and are skipped."""
    missed: int
    """Times that passed without a task of their own."""
    next_us: Microseconds
    task: TaskSpec


class ScheduleCancelled(Event, frozen=True):
    """Recorded when a schedule is ended by hand."""

    wire_name = "schedule.cancelled"
    about = "schedule"

    schedule: str
