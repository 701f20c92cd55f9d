"""Events to store, and a store to put them in."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from bus.address import Address
from bus.clock import Clock, VirtualClock
from bus.codec import Catalogue
from bus.envelope import Batch, EncodedEvent, Recorded, StoredEvent
from bus.messages.agents import StepCompleted, StepStarted
from bus.messages.artifacts import ArtifactWritten
from bus.messages.base import AgentId, ArtifactId, BlobId, Event, Position, RunId, TaskId, TransferId
from bus.messages.catalogue import EVENTS
from bus.messages.ledger import TransferExpired
from bus.messages.system import CheckpointFailed, SystemInfo
from bus.messages.tasks import BidSubmitted, TaskCancelled, TaskStarted
from storage.database import connect
from storage.events import EventStore
from storage.keyring import KeyedFiles
from storage.reading import View
from storage.segments import SegmentLimits
from storage.writing import JournalEnd

CATALOGUE = Catalogue(EVENTS)
START_US = 1_750_000_000_000_000
AGENTS = (AgentId("scout"), AgentId("scribe"), AgentId("critic"))


def some_event(number: int) -> Event:
    """Events of many kinds: with a sealed field, of the kept chain, of a run, of no one."""
    agent, task = AGENTS[number % 3], TaskId(f"t-{number // 7 + 1}")
    kinds: tuple[Event, ...] = (
        StepStarted(agent, task, 1, 1, START_US),
        BidSubmitted(task, agent, 1, 900 + number),
        TransferExpired(TransferId(f"hold/{task}")),
        TaskStarted(task, agent, 1),
        CheckpointFailed(f"c-{number}", "the disk is full", RunId("r-1")),
        StepCompleted(agent, task, 1, "completed", 1.5),
        SystemInfo(f"number {number}: ä ☃ \x00"),
    )
    return kinds[number % 7]


def record(
    position: int,
    event: Event | None = None,
    *,
    time_us: int = 0,
    cause: int | None = None,
    correlation: str | None = None,
) -> Recorded:
    """The event at a position; ten seconds of wall time lie between one and the next."""
    return Recorded(
        event if event is not None else some_event(position),
        Position(position),
        time_us or START_US + position * 10_000_000,
        Address(f"agents/{AGENTS[position % 3]}" if position % 4 else "ledger"),
        Position(max(0, position - 3) if cause is None else cause),
        (f"k-{position % 5}" if position % 5 else "") if correlation is None else correlation,
        Position(position - 1),
    )


def records(first: int, count: int) -> list[Recorded]:
    """Events at `count` positions from `first` on."""
    return [record(position) for position in range(first, first + count)]


def told(first: int, count: int) -> list[Recorded]:
    """As `records`, with a person's words in every fifth."""
    return [
        record(position, TaskCancelled(TaskId("t-1"), f"reason {position}") if position % 5 == 0 else None)
        for position in range(first, first + count)
    ]


def naming(first: int, count: int) -> tuple[list[Recorded], dict[BlobId, bytes]]:
    """As `told`, with a content that is named in every eleventh, and these contents."""
    events, contents = told(first, count), dict[BlobId, bytes]()
    for number, event in enumerate(events):
        if event.position % 11 == 0:
            [(name, content)] = blob(f"content {event.position}".encode()).items()
            contents[name] = content
            artifact = ArtifactId(f"a-{event.position}")
            written = ArtifactWritten(artifact, "n", "text/plain", len(content), name, "o", TaskId("t-1"), 1)
            events[number] = record(event.position, written)
    return events, contents


def blob(content: bytes) -> dict[BlobId, bytes]:
    """The content under its name."""
    return {BlobId(sha256(content).hexdigest()): content}


@asynccontextmanager
async def opened(directory: Path, clock: Clock | None = None, *, segment_events: int = 0) -> AsyncIterator[EventStore]:
    """The journal of a directory."""
    limits = SegmentLimits(segment_events) if segment_events else SegmentLimits()
    async with EventStore.open(directory, CATALOGUE, clock or VirtualClock(), limits) as store:
        yield store


def segment_path(directory: Path, first: int = 1) -> Path:
    """The file of a segment by its first position."""
    return directory / "segments" / f"{first:016d}.sqlite"


def encoded(events: Sequence[Recorded]) -> Sequence[EncodedEvent]:
    """The events as their rows will have them."""
    return [CATALOGUE.encode_record(event) for event in events]


async def write(
    store: EventStore, events: Sequence[Recorded], blobs: Mapping[BlobId, bytes] | None = None
) -> tuple[StoredEvent, ...]:
    """Make events durable."""
    store.encode(events, batch := Batch())
    await store.write(batch, blobs or {})
    return tuple(batch.events)


class SmallJournal:
    """A journal of many small segments, written and read on this thread."""

    def __init__(self, directory: Path, segment_events: int) -> None:
        self._catalogue = connect(directory / "journal.sqlite")
        self._end = JournalEnd(
            directory, CATALOGUE, VirtualClock(), SegmentLimits(segment_events), lambda _, rows: rows.close()
        )
        self._end.begin(self._catalogue)
        self._files = KeyedFiles()

    def write(self, events: Sequence[Recorded], batch: int = 10) -> tuple[StoredEvent, ...]:
        """Write in batches, between which segments may end."""
        stored: list[StoredEvent] = []
        for start in range(0, len(events), batch):
            made = self.batch(events[start : start + batch])
            self.put(made)
            stored += made.events
        return tuple(stored)

    def batch(self, events: Sequence[Recorded]) -> Batch:
        """The events with their rows, to be written."""
        self._end.rows.add(encoded(events), batch := Batch())
        return batch

    def put(self, batch: Batch) -> None:
        """Write a batch."""
        self._end.write(self._catalogue, batch, {})

    def tend(self, batch: Batch) -> None:
        """Do what follows the write of a batch on the writer's thread."""
        self._end.tend(self._catalogue, batch)

    def keep(self, blobs: Mapping[BlobId, bytes]) -> None:
        """Keep contents without an event."""
        self._end.keep_blobs(self._catalogue, blobs)

    def blobs(self) -> list[bytes]:
        """All contents."""
        return [content for (content,) in self._files.get(self._end.blobs_path).execute("SELECT content FROM blobs")]

    @property
    def view(self) -> View:
        """What a read sees now."""
        return View(self._files, self._end.layout, self._end.head)

    def close(self) -> None:
        """Let go of all files."""
        self._files.close()
        self._end.let_go(self._catalogue)
        self._catalogue.close()


async def everything(store: EventStore) -> Sequence[Recorded]:
    """All events of a journal."""
    return [event async for batch in store.facts(("#",), None, Position(0), Position(store.head)) for event in batch]


@contextmanager
def set_back_journal(events: int) -> Iterator[tuple[View, tuple[StoredEvent, ...]]]:
    """Events over several segments; the wall clock is set back by four minutes in the middle. Nobody changes it."""
    batch = [
        msgspec.structs.replace(r, time_us=r.time_us - (240_000_000 if r.position > events // 2 else 0))
        for r in records(1, events)
    ]
    with TemporaryDirectory() as directory, closing(SmallJournal(Path(directory), 17)) as journal:
        stored = journal.write(batch)
        yield journal.view, stored
