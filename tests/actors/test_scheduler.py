"""The scheduler within a market: tasks come when they are due, once, also over a restart."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from actors.coordinator import Coordinator, CoordinatorOptions
from actors.runtime import ActorSystem, ChildSpec
from actors.runtime.simulation import MemoryJournal
from actors.scheduler import Scheduler
from bus.clock import SystemClock
from bus.messages.schedules import SCHEDULER, CancelSchedule, CreateSchedule, ListSchedules, ScheduleFired, ScheduleSpec
from bus.messages.tasks import COORDINATOR, TaskCreated, TaskSpec
from bus.refusals import InvalidField

TASK = TaskSpec("Water the plants")
UNTIL_MAX_S = 30.0


class Clockwork:
    """A scheduler and a coordinator; a second one on the same journal is a restart."""

    def __init__(self, system: ActorSystem, journal: MemoryJournal, changed: asyncio.Event) -> None:
        self.system = system
        self._journal = journal
        self._changed = changed

    @property
    def keys(self) -> list[str]:
        events = [record.event for record in self._journal.events]
        return [event.idempotency_key for event in events if isinstance(event, TaskCreated)]

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(UNTIL_MAX_S):
            while not holds():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def clockwork(journal: MemoryJournal) -> AsyncIterator[Clockwork]:
    log, changed = journal.log, asyncio.Event()
    log.on_commit(lambda _: changed.set())
    async with ActorSystem(log=log, history=journal) as system:
        await system.start(
            ChildSpec(COORDINATOR, lambda: Coordinator(CoordinatorOptions())), ChildSpec(SCHEDULER, Scheduler)
        )
        yield Clockwork(system, journal, changed)


async def test_a_task_is_posted_after_its_delay() -> None:
    async with clockwork(MemoryJournal()) as here:
        made = await here.system.ask(SCHEDULER, CreateSchedule(ScheduleSpec(TASK, delay_s=0.03)))
        await here.until(lambda: here.keys)
        assert here.keys == [f"schedule/{made.schedule}/{made.next_us}"]
        (seen,) = (await here.system.ask(SCHEDULER, ListSchedules())).schedules
        assert (seen.posted, seen.next_us) == (1, 0)


async def test_a_cron_expression_posts_again_and_again_until_it_is_cancelled() -> None:
    async with clockwork(MemoryJournal()) as here:
        made = await here.system.ask(SCHEDULER, CreateSchedule(ScheduleSpec(TASK, cron="* * * * * *")))
        await here.until(lambda: len(here.keys) == 2)
        ended = await here.system.ask(SCHEDULER, CancelSchedule(made.schedule))
        assert (ended.is_cancelled, ended.next_us) == (True, 0)
        assert len(set(here.keys)) == len(here.keys)


async def test_a_time_that_passed_while_nobody_was_there_is_made_up_for_once() -> None:
    journal = MemoryJournal()
    past_us = SystemClock().now_us() - 3_600_000_000
    async with clockwork(journal) as here:
        await here.system.ask(SCHEDULER, CreateSchedule(ScheduleSpec(TASK, at_us=past_us)))
        await here.until(lambda: here.keys)
    for _ in range(2):
        async with clockwork(journal) as again:
            assert again.keys == [f"schedule/s-1/{past_us}"]


async def test_a_kill_between_the_schedule_and_the_task_loses_nothing_and_posts_nothing_twice() -> None:
    journal = MemoryJournal()
    async with clockwork(journal) as here:
        await here.system.ask(SCHEDULER, CreateSchedule(ScheduleSpec(TASK, delay_s=0.01)))
        await here.until(lambda: here.keys)
    (fired,) = (record for record in journal.events if isinstance(record.event, ScheduleFired))
    async with clockwork(journal.truncated(fired.position)) as again:
        await again.until(lambda: again.keys)
        assert len(again.keys) == 1


async def test_a_zone_is_read_from_disk_when_it_is_first_named_and_again_after_a_restart() -> None:
    journal = MemoryJournal()
    spec = ScheduleSpec(TASK, cron="0 8 * * *", zone="Pacific/Auckland")
    async with clockwork(journal) as here:
        made = await here.system.ask(SCHEDULER, CreateSchedule(spec))
        assert made.next_us > SystemClock().now_us()
        with pytest.raises(InvalidField, match="time zone"):
            await here.system.ask(SCHEDULER, CreateSchedule(ScheduleSpec(TASK, cron="0 8 * * *", zone="Mars/Olympus")))
    async with clockwork(journal) as again:
        assert (await again.system.ask(SCHEDULER, ListSchedules())).schedules == (made,)


async def test_what_no_calendar_understands_is_refused() -> None:
    async with clockwork(MemoryJournal()) as here:
        with pytest.raises(InvalidField, match=r"spec\.cron"):
            await here.system.ask(SCHEDULER, CreateSchedule(ScheduleSpec(TASK, cron="every day")))
