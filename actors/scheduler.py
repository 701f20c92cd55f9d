"""The scheduler: it says when a schedule's time has come, and the coordinator posts the task.

Its state is a fold of its own events; what is due is decided in `actors.rules.schedules`. One timer serves all
schedules. It looks at the wall clock at least every `LOOK_S`, so that a clock that was set is noticed; a time is
answered for once, whatever the clock does.
"""

from typing import ClassVar

import anyio.to_thread

from actors import calendars
from actors.rules import schedules as rules
from actors.rules.schedules import Schedules
from actors.runtime import Deferred, Job, PersistentActor
from bus.errors import Refused
from bus.messages.base import Event, Message, Microseconds
from bus.messages.schedules import (
    CancelSchedule,
    CreateSchedule,
    ListSchedules,
    SchedulePage,
    ScheduleSpec,
    ScheduleView,
)

LOOK_S = 30.0


class SchedulesDue(Message, frozen=True):
    """Told to oneself when the next schedule may be due."""

    wire_name = "schedules.due"


class ZonesLoaded(Message, frozen=True):
    """Sent by the job that read time zones."""

    wire_name = "zones.loaded"


class Scheduler(PersistentActor[Schedules]):
    """The one actor that posts tasks by the clock."""

    state_type: ClassVar[type[Schedules]] = Schedules

    def __init__(self) -> None:
        self._waiting: list[tuple[CreateSchedule, Deferred[ScheduleView]]] = []

    def initial(self) -> Schedules:
        return Schedules()

    def apply(self, event: Event) -> None:
        rules.apply(self.state, event)

    def on_recovered(self) -> None:
        zones = {one.spec.zone for one in self.state.schedules.values() if one.next_us}
        if all(map(calendars.is_loaded, zones)):
            self._fire()
        else:
            self.perform(self._load, tuple(sorted(zones)))

    def on_create_schedule(self, command: CreateSchedule) -> ScheduleView | None:
        if not command.spec.cron or calendars.is_loaded(command.spec.zone):
            return self._create(command)
        self._waiting.append((command, self.defer()))
        self.perform(self._load, (command.spec.zone,))
        return None

    def on_zones_loaded(self, message: ZonesLoaded) -> None:
        waiting, self._waiting = self._waiting, []
        for command, deferred in waiting:
            if not calendars.is_loaded(command.spec.zone):
                self._waiting.append((command, deferred))
                continue
            try:
                view = self._create(command)
            except Refused as refusal:
                deferred.refuse(refusal)
            else:
                deferred.answer(view)
        self._fire()

    async def _load(self, job: Job, zones: tuple[str, ...]) -> None:
        """Zones come from disk, which is not for the loop."""
        for zone in zones:
            await anyio.to_thread.run_sync(calendars.load, zone)
        job.tell(self.address, ZonesLoaded())

    def _create(self, command: CreateSchedule) -> ScheduleView:
        if command.spec.cron:
            calendars.check_cron(command.spec.cron, command.spec.zone)
        events = rules.decide_create(self.state, command, self.now_us, _calendar)
        if events:
            self.persist(*events)
            self._fire()
        name = events[0].schedule if events else rules.repeated(self.state, command, self.now_us)
        return rules.view(self.state, name)

    def on_cancel_schedule(self, command: CancelSchedule) -> ScheduleView:
        events = rules.decide_cancel(self.state, command)
        if events:
            self.persist(*events)
        return rules.view(self.state, command.schedule)

    def on_list_schedules(self, query: ListSchedules) -> SchedulePage:
        return rules.page(self.state)

    def on_schedules_due(self, message: SchedulesDue) -> None:
        self._fire()

    def _fire(self) -> None:
        """Record what is due, and wait for what comes next."""
        now_us = self.now_us
        due = [name for name, one in self.state.schedules.items() if one.next_us and one.next_us <= now_us]
        for name in due:
            self.persist(*rules.decide_fire(self.state, name, now_us, _calendar))
        nexts = [one.next_us for one in self.state.schedules.values() if one.next_us]
        if nexts:
            left_s = max(0.0, (min(nexts) - now_us) / 1_000_000)
            self.start_timer("due", min(left_s, LOOK_S), SchedulesDue())


def _calendar(spec: ScheduleSpec, after_us: Microseconds) -> Microseconds:
    return calendars.next_time_us(spec.cron, spec.zone, after_us)
