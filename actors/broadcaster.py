"""The broadcaster: keeps the overview and feeds the live hub, from committed events alone.

Rules: what it shows is committed, in order, without a gap. It starts from the overview in the checkpoint in use and
folds what came after; positions that it has are skipped, a gap is read again from the journal. It holds no event of its
own: when it is restarted, it folds again and the ring goes on from there.
"""

from collections.abc import Sequence

import msgspec

from actors.rules.overview import Overview
from actors.rules.overview_items import OverviewState
from actors.runtime import Actor, History, Log, Snapshot, Stand
from bus.address import Address
from bus.canonical import canonical
from bus.codec import Catalogue
from bus.envelope import Recorded, StoredEvent
from bus.messages.base import Message, Position
from bus.messages.catalogue import EVENTS
from bus.messages.routing import WordsSaid
from bus.messages.system import BROADCASTER, EVENTS_LIMIT_MAX, JOURNAL, EventsCommitted, Gauge, ReadEvents
from web.hub import Hub

READ_TIMEOUT_S = 10.0
CATCH_UP_S = 1.0
"""How often it looks whether it has missed the end of the timeline: a full mailbox drops news."""


class BroadcasterOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the overview shows from the configuration, until events say otherwise."""

    providers: tuple[str, ...] = ()
    """The cascade in its order."""
    budget_run_usd_micros: int = 0
    """The run's budget; 0 means without a limit."""
    budget_day_usd_micros: int = 0
    """A day's budget; 0 means without a limit."""


class CatchUp(Message, frozen=True):
    """Sent by the broadcaster's timer to itself."""

    wire_name = "broadcaster.catch_up"


class Broadcaster(Actor):
    """The live edge's actor."""

    mailbox_size_max = 1_024

    def __init__(self, hub: Hub, history: History, log: Log, options: BroadcasterOptions | None = None) -> None:
        self._hub = hub
        self._history = history
        self._log = log
        self._options = options or BroadcasterOptions()
        self._catalogue = Catalogue(EVENTS)

    async def on_start(self) -> None:
        self._overview = await self._recovered()
        self._hub.attach(self._overview)
        self._schedule()

    async def on_events_committed(self, news: EventsCommitted) -> None:
        await self._read_up_to(Position(news.events[0].position - 1))
        self._take(news.events)

    async def on_catch_up(self, _: CatchUp) -> None:
        await self._read_up_to(self._log.watermark)
        self._schedule()

    def on_gauge(self, gauge: Gauge) -> None:
        self._hub.set_gauge(gauge.name, gauge.value)

    def on_words_said(self, words: WordsSaid) -> None:
        self._hub.words.say(words)

    def snapshot(self) -> Snapshot:
        """The overview for a checkpoint, as of the last committed event that it has taken."""
        position = self._overview.position
        return Snapshot(position=position, cursor=position, state=canonical(self._overview.state))

    def stand(self) -> Stand:
        """The overview itself, as of the last committed event that it has taken."""
        position = self._overview.position
        return Stand(position, position, self._overview.state, position, follows=True)

    async def _recovered(self) -> Overview:
        snapshot = await self._history.snapshot(BROADCASTER)
        overview = self._overview_from(snapshot.state if snapshot is not None else None)
        while overview.position < (upto := self._log.watermark):
            async for records in self._history.facts(("#",), None, overview.position, upto):
                for record in records:
                    overview.apply(record)
            assert overview.position >= upto, "what is committed can be read"
        return overview

    def _overview_from(self, state: bytes | None) -> Overview:
        found: OverviewState | None = None
        if state is not None:
            try:
                found = msgspec.json.decode(state, type=OverviewState)
            except msgspec.DecodeError:
                found = None  # the overview's shape has changed since: all of it is in the events
        return Overview(
            found,
            providers=self._options.providers,
            budget_run_usd_micros=self._options.budget_run_usd_micros,
            budget_day_usd_micros=self._options.budget_day_usd_micros,
        )

    async def _read_up_to(self, position: Position) -> None:
        while self._overview.position < position:
            query = ReadEvents(
                after=self._overview.position,
                before=Position(position + 1),
                limit=EVENTS_LIMIT_MAX,
                is_newest_first=False,
            )
            page = await self.ask(JOURNAL, query, timeout_s=READ_TIMEOUT_S)
            assert page.events, "what is committed can be read"
            self._take(page.events)

    def _take(self, events: Sequence[StoredEvent]) -> None:
        fresh = [event for event in events if event.position > self._overview.position]
        for event in fresh:
            self._overview.apply(self._decoded(event))
        if fresh:
            self._hub.commit(fresh)

    def _decoded(self, event: StoredEvent) -> Recorded:
        return Recorded(
            event=self._catalogue.decode(event.type, event.version, event.data, event.sealed),
            position=event.position,
            time_us=event.time_us,
            source=Address(event.source),
            cause=event.cause,
            correlation=event.correlation,
            cursor=event.cursor,
        )

    def _schedule(self) -> None:
        self.start_timer("catch_up", CATCH_UP_S, CatchUp())
