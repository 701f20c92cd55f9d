"""All that can be asked of a directory: whatever is damaged, the storage says so in its own words, or answers."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from bus.address import Address
from bus.clock import VirtualClock
from bus.codec import UnknownEvent
from bus.errors import StorageError
from bus.messages.base import BlobId, Position
from bus.messages.system import ReadChain, ReadEvents, SearchEvents
from bus.refusals import NotFound
from storage.checkpoints import CheckpointStore
from storage.events import EventStore
from storage.past import Past
from storage.transcripts import TranscriptStore, forget, kept
from tests.storage.support import CATALOGUE, records, write
from tests.storage.test_transcripts import row

OURS = (StorageError, NotFound, UnknownEvent)


async def ask_store(directory: Path, blob: BlobId) -> None:
    """Of the journal as its writer has it: it is searched, pruned and written to as well."""
    async with EventStore.open(directory, CATALOGUE, VirtualClock()) as store:
        await _ask(
            lambda: store.read(ReadEvents(limit=100)),
            lambda: store.read(ReadEvents(types=("task.created",))),
            lambda: store.read(ReadEvents(since_us=1, source="ledger")),
            lambda: store.search(SearchEvents("number")),
            lambda: store.chain(ReadChain(Position(45))),
            lambda: store.summarise(10_000_000.0),
            lambda: store.histogram(10),
            lambda: store.count("task.created"),
            lambda: store.blob(blob),
            lambda: _drain(store.own_events(Address("ledger"), Position(0))),
            lambda: _drain(store.facts(("#",), None, Position(0), store.head)),
            store.measure,
            store.verify,
            lambda: store.prune(Position(40)),
            lambda: write(store, records(store.head + 1, 3)),
        )


async def ask_past(directory: Path, blob: BlobId) -> None:
    """Of the journal as who only looks has it."""
    async with Past.inspect(directory, CATALOGUE, VirtualClock()) as past:
        await _ask(
            lambda: past.read(ReadEvents(limit=100)),
            lambda: past.summarise(10_000_000.0),
            lambda: past.histogram(10),
            lambda: past.chain(ReadChain(Position(45))),
            lambda: past.blob(blob),
            lambda: _drain(past.stored()),
            lambda: _drain(past.blobs()),
            lambda: _drain(past.own_events(Address("ledger"), Position(0))),
            lambda: _drain(past.facts(("#",), None, Position(0), past.head)),
        )


async def ask_checkpoints(directory: Path) -> None:
    """Of the checkpoints, by who only looks and by who holds them."""
    async with CheckpointStore.inspect(directory) as looked_at:
        await _ask(looked_at.list, looked_at.verify)
    async with CheckpointStore.open(directory) as store:
        await _ask(store.list, store.verify, store.load_newest, lambda: store.prune(()))


async def ask_transcripts(directory: Path) -> None:
    """Of the completion log: it is written to, pruned and made to forget as well."""
    await _ask(lambda: _drain(kept(directory)))
    async with TranscriptStore.open(directory) as store:
        await _ask(
            lambda: store.read("m-1"),
            lambda: store.page("", "", 0, 100),
            lambda: store.page("scout", "t-1", 0, 100),
            lambda: store.prune(2_000, 10**9),
            lambda: store.prune(0, 20),
            lambda: store.add([row(100)]),
        )
    await _ask(lambda: forget(directory, {"scout"}))


async def _ask(*asks: Callable[[], Awaitable[object]]) -> None:
    for ask in asks:
        with suppress(*OURS):
            await ask()


async def _drain(found: AsyncIterator[object]) -> None:
    async for _ in found:
        pass
