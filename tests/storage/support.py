"""Events to store, and a store to put them in."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

from bus.address import Address
from bus.clock import Clock, VirtualClock
from bus.codec import Catalogue
from bus.envelope import EncodedEvent, Recorded, StoredEvent
from bus.messages.agents import StepCompleted, StepStarted
from bus.messages.base import AgentId, BlobId, Event, Position, RunId, TaskId, TransferId
from bus.messages.catalogue import EVENTS
from bus.messages.ledger import TransferExpired
from bus.messages.system import CheckpointFailed, SystemInfo
from bus.messages.tasks import BidSubmitted, TaskStarted
from storage.events import EventStore

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


def record(position: int, event: Event | None = None, *, time_us: int = 0) -> Recorded:
    """The event at a position; ten seconds of wall time lie between one and the next."""
    return Recorded(
        event if event is not None else some_event(position),
        Position(position),
        time_us or START_US + position * 10_000_000,
        Address(f"agents/{AGENTS[position % 3]}" if position % 4 else "ledger"),
        Position(max(0, position - 3)),
        f"k-{position % 5}" if position % 5 else "",
        Position(position - 1),
    )


def records(first: int, count: int) -> list[Recorded]:
    """Events at `count` positions from `first` on."""
    return [record(position) for position in range(first, first + count)]


def blob(content: bytes) -> dict[BlobId, bytes]:
    """The content under its name."""
    return {BlobId(sha256(content).hexdigest()): content}


@asynccontextmanager
async def opened(directory: Path, clock: Clock | None = None) -> AsyncIterator[EventStore]:
    """The journal of a directory."""
    async with EventStore.open(directory, CATALOGUE, clock or VirtualClock()) as store:
        yield store


def encoded(events: Sequence[Recorded]) -> Sequence[EncodedEvent]:
    """The events as their rows will have them."""
    return [CATALOGUE.encode_record(event) for event in events]


async def write(
    store: EventStore, events: Sequence[Recorded], blobs: Mapping[BlobId, bytes] | None = None
) -> tuple[StoredEvent, ...]:
    """Make events durable."""
    return await store.write(store.encode(events), blobs or {})


async def everything(store: EventStore) -> Sequence[Recorded]:
    """All events of a journal."""
    return [event async for batch in store.facts(("#",), None, Position(0), Position(store.head)) for event in batch]
