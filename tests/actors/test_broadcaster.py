"""The broadcaster: from committed events to the hub, over restarts, gaps and repeats, in a real actor system."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import anyio
import msgspec
import pytest

from actors.broadcaster import Broadcaster, BroadcasterOptions
from actors.runtime import Actor, ActorSystem, ChildSpec, Snapshot
from actors.runtime.simulation import MemoryJournal
from bus.address import Address
from bus.clock import SystemClock
from bus.envelope import Recorded, StoredEvent
from bus.messages.agents import AgentJoined, Persona
from bus.messages.base import MAIN_RUN, AgentId, Command, Done, Event, Position
from bus.messages.system import (
    BROADCASTER,
    JOURNAL,
    EventPage,
    EventsCommitted,
    Gauge,
    JournalView,
    ReadEvents,
    ReadJournal,
    SystemInfo,
)
from web.app import build_app
from web.auth import Keyring
from web.edge import Edge
from web.hub import Hub
from web.options import WebOptions
from web.ring import Ring
from web.server import listen, serving, url_of

SCRIBE = Address("scribe")


class Note(Command[Done], frozen=True):
    """Record something."""

    wire_name = "test.note"

    events: tuple[str, ...]


class Scribe(Actor):
    """Records what it is told."""

    def on_note(self, note: Note) -> Done:
        self.record(*(event_of(text) for text in note.events))
        return Done()


class Reader(Actor):
    """Answers for the journal from what is in memory."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal
        self.reads = 0

    def on_read_events(self, query: ReadEvents) -> EventPage:
        self.reads += 1
        last = query.before - 1 if query.before else self._journal.head
        page = tuple(self._journal.stored[query.after : last][: query.limit])
        return EventPage(page, page[-1].position if page else Position(0), self._journal.head)

    def on_read_journal(self, query: ReadJournal) -> JournalView:
        head = self._journal.head
        return JournalView(1, head, head, Position(1), 0, 0, 0, 0.0, 0.0, 0)


def event_of(text: str) -> Event:
    if text.startswith("joined "):
        name = text.removeprefix("joined ")
        return AgentJoined(AgentId(name), Persona(name, ("brief",), "", 10))
    return SystemInfo(text)


def past(count: int) -> list[Recorded]:
    return [
        Recorded(SystemInfo(f"event {n}"), Position(n), n, SCRIBE, Position(0), "", Position(0))
        for n in range(1, count + 1)
    ]


class Stage:
    """A running system with a broadcaster."""

    def __init__(self, journal: MemoryJournal, options: BroadcasterOptions | None = None) -> None:
        self.journal = journal
        self.hub = Hub(epoch=1, ring=Ring(1, MAIN_RUN, events_max=5_000), clock=SystemClock())
        self.log = journal.log
        self.options = options
        self.broadcasters: list[Broadcaster] = []
        self.reader = Reader(journal)
        self.system = ActorSystem(log=self.log, history=journal)

    def make(self) -> Broadcaster:
        self.broadcasters.append(Broadcaster(self.hub, self.journal, self.log, self.options))
        return self.broadcasters[-1]

    async def note(self, *texts: str) -> None:
        await self.system.ask(SCRIBE, Note(texts))

    def tell(self, events: tuple[StoredEvent, ...]) -> None:
        self.system.tell(BROADCASTER, EventsCommitted(events))

    async def shown(self, position: int) -> dict[str, object]:
        """The state once it stands at a position."""
        with anyio.fail_after(10):
            while self.hub.head < position:
                await anyio.lowlevel.checkpoint()
        return msgspec.json.decode(self.hub.state(), type=dict[str, object])


@asynccontextmanager
async def running(stage: Stage, *, is_wired: bool = True) -> AsyncIterator[Stage]:
    async with stage.system as system:
        await system.start(
            ChildSpec(JOURNAL, lambda: stage.reader),
            ChildSpec(SCRIBE, Scribe),
            ChildSpec(BROADCASTER, stage.make),
        )
        if is_wired:
            stage.log.on_commit(stage.tell)
        yield stage


async def test_committed_events_reach_the_ring_and_the_overview() -> None:
    async with running(Stage(MemoryJournal())) as stage:
        await stage.note("one", "joined scout")
        state = await stage.shown(2)
        assert state["position"] == 2
        assert isinstance(state["agents"], dict)
        assert set(state["agents"]["items"]) == {"scout"}
        assert (stage.hub.ring.first, stage.hub.ring.head) == (1, 2)


async def test_it_starts_with_the_past_folded() -> None:
    journal = MemoryJournal(past(2_500))
    async with running(Stage(journal)) as stage:
        assert stage.hub.head == 2_500
        await stage.note("one more")
        assert (await stage.shown(2_501))["position"] == 2_501
        assert stage.hub.ring.first == 2_501


async def test_it_goes_on_from_its_snapshot_and_ends_where_a_whole_fold_ends() -> None:
    journal = MemoryJournal()
    async with running(Stage(journal)) as stage:
        await stage.note("joined scout", "one")
        await stage.shown(2)
        snapshot = stage.broadcasters[-1].snapshot()
        await stage.note("joined sage")
        whole = await stage.shown(3)
    assert snapshot.position == 2
    journal.snapshots[BROADCASTER] = snapshot
    async with running(Stage(journal)) as stage:
        again = await stage.shown(3)
    whole.pop("now_us")
    again.pop("now_us")
    assert again == whole


async def test_a_snapshot_of_another_shape_is_folded_anew() -> None:
    journal = MemoryJournal(past(3))
    journal.snapshots[BROADCASTER] = Snapshot(Position(2), Position(2), b'{"position":"two"}')
    async with running(Stage(journal)) as stage:
        assert (await stage.shown(3))["position"] == 3


async def test_a_gap_is_read_again_from_the_journal_and_repeats_are_skipped() -> None:
    async with running(Stage(MemoryJournal()), is_wired=False) as stage:
        await stage.note("one", "two", "three")
        await stage.note("four")
        stage.tell((stage.journal.stored[3],))
        await stage.shown(4)
        assert stage.reader.reads == 1
        stage.tell(tuple(stage.journal.stored[1:4]))
        await stage.note("five")
        stage.tell(tuple(stage.journal.stored[2:5]))
        assert (await stage.shown(5))["position"] == 5
        assert (stage.hub.ring.first, len(stage.hub.ring)) == (1, 5)


@pytest.mark.slow
async def test_news_that_never_came_are_noticed() -> None:
    async with running(Stage(MemoryJournal()), is_wired=False) as stage:
        await stage.note("one", "two")
        assert (await stage.shown(2))["position"] == 2


async def test_a_restart_after_a_fault_goes_on_without_a_gap() -> None:
    async with running(Stage(MemoryJournal())) as stage:
        await stage.note("one")
        await stage.shown(1)
        bad = msgspec.structs.replace(stage.journal.stored[0], position=Position(2), data=b"{}")
        stage.tell((bad,))
        with anyio.fail_after(10):
            while len(stage.broadcasters) < 2:
                await anyio.lowlevel.checkpoint()
        await stage.note("two", "joined scout")
        state = await stage.shown(stage.log.head)
        assert isinstance(state["agents"], dict)
        assert set(state["agents"]["items"]) == {"scout"}
        head = Position(stage.log.head)
        assert stage.hub.head == head


async def test_the_configured_cascade_and_budget_are_shown_before_any_event() -> None:
    options = BroadcasterOptions(providers=("ollama", "extractive"), budget_run_usd_micros=5_000)
    async with running(Stage(MemoryJournal(), options)) as stage:
        state = await stage.shown(0)
        assert isinstance(state["router"], dict)
        assert list(state["router"]["items"]) == ["ollama", "extractive"]
        assert isinstance(state["spend"], dict)
        assert state["spend"]["budget_run_usd_micros"] == 5_000


async def test_gauges_reach_the_hub() -> None:
    async with running(Stage(MemoryJournal())) as stage:
        stage.system.tell(BROADCASTER, Gauge("load", 0.5, Position(0)))
        await stage.note("one")
        await stage.shown(1)
        assert stage.hub.gauges == {"load": 0.5}


async def test_over_http_the_state_is_that_of_the_real_system() -> None:
    async with running(Stage(MemoryJournal())) as stage:
        clock = SystemClock()
        options = WebOptions(port=0)
        edge = Edge(gateway=stage.system, hub=stage.hub, keyring=Keyring(clock), options=options, clock=clock)
        listener = listen(options)
        async with serving(build_app(edge), stage.hub, listener), aiohttp.ClientSession() as http:
            url = url_of(listener, options)
            await stage.note("joined scout")
            await stage.shown(1)
            async with http.get(f"{url}/api/state") as response:
                assert (await response.json())["position"] == 1
            async with http.get(f"{url}/api/events?after=0") as response:
                assert [event["type"] for event in (await response.json())["events"]] == ["agent.joined"]
            async with http.get(f"{url}/readyz") as response:
                assert response.status == 200
