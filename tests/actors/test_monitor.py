"""The monitor's shell: the switch across restarts, and alerts, each raised and cleared once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import msgspec

from actors.monitor import Health, Monitor, MonitorOptions
from actors.runtime import ActorSystem, ChildSpec
from actors.runtime.simulation import MemoryJournal
from bus.address import Address
from bus.messages.base import Event, Position
from bus.messages.monitor import (
    MONITOR,
    AlertCleared,
    AlertRaised,
    HaltSystem,
    MonitorView,
    ReadMonitor,
    ResumeSystem,
    SystemHalted,
    SystemResumed,
)
from bus.messages.system import Gauge
from bus.switch import Switch

UNTIL_MAX_S = 30.0
OFTEN = MonitorOptions(look_every_s=0.005)


class Place:
    """A monitor alone, and what it looks at."""

    def __init__(self, options: MonitorOptions = OFTEN, journal: MemoryJournal | None = None) -> None:
        self.journal = journal or MemoryJournal()
        self.switch = Switch()
        self.health: list[Health] = []
        self.free_bytes = 2**40
        self._options = options

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ActorSystem]:
        async with ActorSystem(log=self.journal.log, history=self.journal) as system:
            await system.start(ChildSpec(MONITOR, self._monitor))
            yield system

    async def until(self, condition: Callable[[list[Event]], bool]) -> list[Event]:
        """The recorded events, once they are as wanted."""
        async with asyncio.timeout(UNTIL_MAX_S):
            while not condition(events := [record.event for record in self.journal.events]):
                await anyio.lowlevel.checkpoint()
        return events

    def _monitor(self) -> Monitor:
        return Monitor(
            self._options,
            self.switch,
            actors=lambda: self.health,
            free_bytes=lambda: self.free_bytes,
        )


async def view_of(system: ActorSystem) -> MonitorView:
    return await system.ask(MONITOR, ReadMonitor(), timeout_s=5.0)


async def test_the_switch_stays_thrown_across_a_restart_until_it_is_thrown_back() -> None:
    place = Place()
    async with place.open() as system:
        await system.ask(MONITOR, HaltSystem("look first", "ana"), timeout_s=5.0)
        await system.ask(MONITOR, HaltSystem("again", "ana"), timeout_s=5.0)
        assert place.switch.is_halted
    again = Place(journal=place.journal)
    async with again.open() as system:
        assert again.switch.is_halted
        assert (await view_of(system)).reason == "look first"
        await system.ask(MONITOR, ResumeSystem("ana"), timeout_s=5.0)
        assert (await view_of(system)).is_halted is False
    assert [record.event for record in place.journal.events][-1] == SystemResumed("ana")
    events = [record.event for record in place.journal.events]
    assert events == [SystemHalted("look first", "ana"), SystemResumed("ana")]


async def test_a_full_disk_a_parked_and_a_stuck_actor_are_told_once_and_cleared_once() -> None:
    place = Place()
    place.free_bytes = 2**20
    place.health = [Health("router", 0.0, 7), Health("ledger", 60.0, 0), Health("scout", 1.0, 0)]
    async with place.open() as system:
        await place.until(lambda events: len(events) >= 3)
        assert {alert.alert for alert in (await view_of(system)).alerts} == {"disk", "stuck/router", "stuck/ledger"}
        place.free_bytes, place.health = 2**40, []
        events = await place.until(lambda events: len(events) >= 6)
    assert [type(event) for event in events] == [AlertRaised] * 3 + [AlertCleared] * 3
    assert {event.cause for event in events if isinstance(event, AlertRaised)} == {
        "parked at position 7",
        "a message has waited for 60 s",
        "1 MiB are free",
    }


async def test_many_dead_letters_raise_an_alert_that_names_some() -> None:
    options = msgspec.structs.replace(OFTEN, dead_letters_max=5, look_every_s=0.05)
    place = Place(options)
    async with place.open() as system:
        for _ in range(20):
            system.tell(Address("nobody"), Gauge("x", 1.0, Position(0)))
        events = await place.until(lambda events: len(events) >= 2)
    raised, cleared = events
    assert isinstance(raised, AlertRaised)
    assert raised.alert == "dead_letters"
    assert "gauge to nobody" in raised.cause
    assert cleared == AlertCleared("dead_letters")
