"""The monitor's shell: the switch across restarts, and alerts that reach a webhook signed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import msgspec
from aiohttp import web

from actors.monitor import SIGNATURE, Health, Monitor, MonitorOptions, signature
from actors.runtime import ActorSystem, ChildSpec
from actors.runtime.simulation import MemoryJournal
from bus.address import Address
from bus.messages.base import Event, Position
from bus.messages.monitor import (
    MONITOR,
    AlertCleared,
    AlertDelivered,
    AlertRaised,
    AlertUndelivered,
    HaltSystem,
    MonitorView,
    ReadMonitor,
    ResumeSystem,
    SystemHalted,
    SystemResumed,
)
from bus.messages.system import Gauge
from bus.switch import Switch

UNTIL_MAX_S = 10.0
OFTEN = MonitorOptions(look_every_s=0.005, webhook_wait_s=0.001)


class Place:
    """A monitor alone, and what it looks at."""

    def __init__(self, options: MonitorOptions = OFTEN, journal: MemoryJournal | None = None, secret: str = "") -> None:
        self.journal = journal or MemoryJournal()
        self.switch = Switch()
        self.health: list[Health] = []
        self.free_bytes = 2**40
        self._options = options
        self._secret = secret

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
            secret=self._secret,
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


class Hook:
    """A webhook that answers as a test wants."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.calls: list[tuple[str, bytes]] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/hook", self._take)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.calls.append((request.headers.get(SIGNATURE, ""), await request.read()))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


async def test_an_alert_reaches_the_webhook_signed_and_is_tried_again_until_it_is_taken() -> None:
    hook = Hook(500, 302, 200)
    async with hook.open() as url:
        place = Place(msgspec.structs.replace(OFTEN, webhook_url=url), secret="shared")
        place.free_bytes = 0
        async with place.open():
            events = await place.until(lambda events: len(events) >= 2)
    assert isinstance(events[1], AlertDelivered)
    assert len(hook.calls) == 3
    assert len({body for _, body in hook.calls}) == 1
    sent, body = hook.calls[0]
    assert sent == signature(body, "shared")
    told = msgspec.json.decode(body)
    assert (told["event"], told["alert"]["alert"]) == ("raised", "disk")


async def test_what_the_webhook_never_takes_is_recorded_as_undelivered() -> None:
    hook = Hook(*[500] * 10)
    async with hook.open() as url:
        place = Place(msgspec.structs.replace(OFTEN, webhook_url=url, webhook_tries=3))
        place.free_bytes = 0
        async with place.open():
            events = await place.until(lambda events: len(events) >= 2)
    assert events[1] == AlertUndelivered("disk", "n-1", "HTTP 500")
    assert len(hook.calls) == 3


async def test_what_was_owed_when_the_process_ended_is_told_after_the_next_start() -> None:
    nowhere = msgspec.structs.replace(OFTEN, webhook_url="http://127.0.0.1:9/hook", webhook_wait_s=3_600.0)
    place = Place(nowhere)
    place.free_bytes = 0
    async with place.open():
        await place.until(lambda events: len(events) >= 1)
    hook = Hook()
    async with hook.open() as url:
        again = Place(msgspec.structs.replace(OFTEN, webhook_url=url), journal=place.journal)
        again.free_bytes = 0
        async with again.open():
            events = await again.until(lambda events: len(events) >= 2)
    assert isinstance(events[1], AlertDelivered)
    assert len(hook.calls) == 1
