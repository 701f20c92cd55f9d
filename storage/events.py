"""The journal on disk: events, written durably and in order, read by whoever asks.

Rules: one process holds the directory; one connection writes, and what it acknowledges is synced; the others read what
is committed, in short reads. A file of a newer version is refused untouched. A journal that came back shorter than the
mark beside it goes on as a new epoch, so that no position that was acknowledged is ever issued twice; what a checkpoint
of a lost stretch says is then no longer part of this timeline (`holds`).
"""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import msgspec

from bus.address import Address
from bus.clock import Clock
from bus.codec import Catalogue
from bus.envelope import Batch, EncodedEvent, OwnEvents, Recorded, StoredEvent
from bus.errors import StorageError
from bus.messages.base import BlobId, Event, Position
from bus.messages.system import (
    JOURNAL,
    EventChain,
    EventHistogram,
    EventPage,
    EventSummary,
    ReadChain,
    ReadEvents,
    SearchEvents,
)
from bus.refusals import NotFound
from storage import causes, cells, integrity, queries, reading, searching, summaries
from storage.contents import Contents
from storage.database import Database, translated
from storage.directory import UNFINISHED_NAME, DirectoryLock
from storage.errors import CorruptDatabase, CorruptJournal, DatabaseFailed, FileGone, unwritable
from storage.indexing import Indexing
from storage.integrity import Progress, Verification
from storage.keeper import Keeper, Stopped, remove_files
from storage.keyring import KeyedFiles
from storage.layout import Layout, Segment
from storage.migration import JOURNAL_NAME, migrate
from storage.readers import Readers
from storage.reading import OwnRows, View
from storage.removal import remove
from storage.segments import SegmentLimits
from storage.writing import JournalEnd

T = TypeVar("T")

READERS = 3
"""Reads at the same time: one slow query leaves room for the page and a recovery."""
BATCH_EVENTS = 2_000
"""Events of one read of a recovery: some 5 ms on the reading thread, and a millisecond or two of the fold."""
CLOSE_TIMEOUT_S = 10.0
"""For emptying the write-ahead log; what is in it is durable anyway."""


class JournalSize(msgspec.Struct, frozen=True):
    """How much there is."""

    size_bytes: int
    """Of the files with rows and blobs, and their write-ahead logs."""
    oldest: Position
    """The first position of which every row is there; 0 in an empty journal."""


class Pruned(msgspec.Struct, frozen=True):
    """What a prune came to."""

    upto: Position
    """The last position whose segment was dropped; 0 where none was."""
    events: int
    """Rows that went, the kept ones not counted."""
    kept: int
    """Rows of the dropped segments that stay."""
    freed_bytes: int


class EventStore:
    """The journal of one data directory."""

    def __init__(self, directory: Path, catalogue: Catalogue, clock: Clock, limits: SegmentLimits) -> None:
        self.path = directory / JOURNAL_NAME
        self._directory = directory
        self._catalogue = catalogue
        self._clock = clock
        self._writer = Database(self.path)
        self._readers = Readers(self.path, READERS)
        self._writes = 0
        self._keeper = Keeper(lambda: self._writes)
        self._indexing = Indexing()
        self._end = JournalEnd(directory, catalogue, clock, limits, self._settle)
        self._warnings: list[str] = []
        self.contents = Contents(directory, catalogue, self._end, self._read, self._write, forget=self._readers.forget)
        """What lies beside the rows: blobs, and the keys of personal text."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        directory: Path,
        catalogue: Catalogue,
        clock: Clock,
        limits: SegmentLimits | None = None,
        *,
        is_copy: bool = False,
    ) -> AsyncIterator["EventStore"]:
        """Hold the directory and open its journal, made where there is none and migrated where it is an older one.

        One that another is being copied into is opened by who copies. Raises DirectoryNotWritable, DirectoryInUse,
        UnknownSchema, CorruptJournal, DiskFull.
        """
        lock = await anyio.to_thread.run_sync(DirectoryLock.acquire, directory)
        try:
            if not is_copy and await anyio.Path(directory / UNFINISHED_NAME).exists():
                raise CorruptJournal(directory / JOURNAL_NAME, 0, "an import or a fork into it was cut short")
            store = cls(directory, catalogue, clock, limits or SegmentLimits())
            async with AsyncExitStack() as stack:
                stack.push_async_callback(store._close)
                await store._migrate()
                await store._open_writer()
                await stack.enter_async_context(store._readers)
                store._settle_closed()
                yield store
        finally:
            lock.release()

    @property
    def head(self) -> Position:
        """The last position that is durable."""
        return self._end.head

    @property
    def epoch(self) -> int:
        """How often this timeline has lost its end, plus one."""
        return self._end.epoch

    @property
    def now_us(self) -> int:
        """The time on the wall."""
        return self._clock.now_us()

    @property
    def layout(self) -> Layout:
        """The segments as they are now."""
        return self._end.layout

    def take_warnings(self) -> tuple[str, ...]:
        """What was not as it should be when the journal was opened; each is given once."""
        warnings, self._warnings = (*self._warnings, *self._end.take_warnings()), []
        return warnings

    def holds(self, epoch: int, position: Position) -> bool:
        """Whether what stood at `position` in `epoch` is still part of this timeline."""
        lost_after = [after for later, after in self._end.epochs if later > epoch]
        return position <= min(lost_after, default=self.head) and position <= self.head

    def encode(self, records: Sequence[Recorded], batch: Batch) -> None:
        """Add events to a batch with their rows, in the order of their positions: all of them or none.

        Raises EventTooLarge, or what says that one has no encoding.
        """
        self._end.rows.add([self._catalogue.encode_record(record) for record in records], batch)

    async def write(self, batch: Batch, blobs: Mapping[BlobId, bytes]) -> None:
        """Make a batch durable, all or nothing; one that landed before stays as it is. Raises StorageError."""
        work, then = partial(self._end.write, batch=batch, blobs=blobs), partial(self._end.tend, batch=batch)
        self._writes += 1  # whoever reads that gives way
        try:
            await self._write(work, then)
        finally:
            self._writes += 1

    async def copy(self, events: Sequence[EncodedEvent]) -> Sequence[StoredEvent]:
        """Take the next events from another journal, durable on return. Raises StorageError."""
        batch = Batch()
        self._end.rows.add(events, batch)
        await self.write(batch, {})
        return batch.events

    async def reopen(self) -> Position:
        """Close and open again; the head that is really on disk. Raises StorageError."""
        with suppress(StorageError):
            await self._writer.run(self._end.let_go)
        with suppress(sqlite3.Error):  # this connection has failed; that it also fails to close says nothing new
            await self._writer.close()
        self._writer = Database(self.path)
        await self._open_writer()
        return self.head

    async def read(self, query: ReadEvents) -> EventPage:
        """A page of events. Raises InvalidField, StorageError."""
        reading.check_query(query)
        return await self._read(partial(reading.read_page, query=query))

    async def search(self, query: SearchEvents) -> EventPage:
        """The newest events that have all the words, as far as they are indexed. Raises InvalidField, StorageError.

        What is not indexed yet is brought up on the keeper's thread: the writer and other reads go on meanwhile.
        """
        searching.check_search(query)
        with self._keeping():
            await self._indexing.bring_up(lambda: self._keeper.submit_index(self.layout))
        return await self._read(partial(searching.search, query=query))

    async def chain(self, query: ReadChain) -> EventChain:
        """What an event was caused by, and what it caused. Raises NotFound, StorageError."""
        return await self._read(partial(causes.read_chain, query=query))

    async def forget_text(self, positions: Collection[Position]) -> None:
        """Drop the indexes of the text at these positions; they are made again when somebody searches."""
        layout = self.layout
        held = [s for s in layout.segments if any(s.first <= one <= (s.last or self.head) for one in positions)]
        paths = [layout.directory / segment.text_name for segment in held]
        await self._readers.forget(paths)
        for path in paths:
            await self._kept(self._keeper.submit(remove, path))

    async def summarise(self, minutes: float) -> EventSummary:
        """Counts over the last minutes, from the full minute in which they begin. Raises InvalidField."""
        summaries.check_window(minutes)
        now_us = self._clock.now_us()
        return await self._read(partial(summaries.summarise, catalogue=self._catalogue, minutes=minutes, now_us=now_us))

    async def histogram(self, buckets: int) -> EventHistogram:
        """How dense the journal is over all time. Raises InvalidField."""
        summaries.check_buckets(buckets)
        return await self._read(partial(summaries.histogram, buckets=buckets))

    async def count(self, type_: str) -> tuple[int, Position]:
        """How many events of a type were ever recorded, and the head up to which they were counted."""
        return await self._read(partial(summaries.count, type_=type_))

    async def blob(self, blob: BlobId) -> bytes:
        """A committed blob's content. Raises NotFound."""
        try:
            digest = bytes.fromhex(blob)
        except ValueError as error:
            raise NotFound("blob", blob) from error
        row = await self._readers.run(
            lambda files: files.get(self._end.blobs_path).execute(queries.BLOB, (digest,)).fetchone()
        )
        if row is None:
            raise NotFound("blob", blob)
        content: bytes = row[0]
        if cells.digest(content) != digest:
            raise CorruptDatabase(self._end.blobs_path, f"blob {blob} is not what its name says")
        return content

    async def measure(self) -> JournalSize:
        """How much there is."""
        return await self._read(partial(_measured, catalogue=self.path, blobs=self._end.blobs_path))

    async def verify(self, progress: Progress | None = None) -> Verification:
        """Prove every row, blob, index and count. Raises StorageError when the files cannot be read at all."""
        return await integrity.verify(self._directory, self._catalogue, progress)

    async def prune(self, upto: Position) -> Pruned:
        """Drop the closed segments up to a position, all but their kept rows. Raises StorageError."""
        wanted = [s for s in self.layout.segments if s.state == "closed" and s.last <= upto]
        if not wanted:
            return Pruned(Position(0), 0, 0, 0)
        for segment in wanted:  # as a rule these files are there since the segment was closed
            await self._kept(self._keeper.submit(self._keeper.extract_kept, self.layout, segment))
        dropped = await self._write(partial(self._end.prune, upto=upto))
        layout = self.layout
        kept = await self._read(partial(_count_kept, segments=dropped))
        await self._readers.forget([layout.directory / name for s in dropped for name in (s.name, s.text_name)])
        freed = await self._kept(self._keeper.submit(remove_files, layout, dropped))
        events = sum(s.last - s.first + 1 for s in dropped)
        return Pruned(dropped[-1].last, events - kept, kept, freed)

    async def own_events(self, address: Address, after: Position) -> AsyncGenerator[OwnEvents, None]:
        """The committed events that `address` recorded after a position, in order, in batches.

        The next batch is read while one is decoded and folded. Who does not go to the end has to close it.
        """
        begin = partial(reading.begin_own, catalogue=self._catalogue, source=address, limit=BATCH_EVENTS)
        found = await self._read(partial(begin, after=after))
        while isinstance(found, OwnRows):
            following = asyncio.ensure_future(self._read(partial(begin, after=found.position)))
            try:
                yield await self._read(partial(reading.decode_own, catalogue=self._catalogue, rows=found))
            finally:
                if not following.done():
                    await asyncio.wait({following})  # some milliseconds
            found = following.result()
        if found is not None:
            yield found

    async def facts(
        self, topics: tuple[str, ...], agent: str | None, after: Position, upto: Position
    ) -> AsyncIterator[Sequence[Recorded]]:
        """The committed events that match, with after < position <= upto, in order, in batches."""
        before = Position(upto + 1)
        query = ReadEvents(types=topics, agent=agent or "", before=before, limit=BATCH_EVENTS, is_newest_first=False)
        if after < upto:
            async for batch in self._batches(query, after):
                yield batch

    async def _batches(self, query: ReadEvents, after: Position) -> AsyncIterator[Sequence[Recorded]]:
        read = partial(reading.read_recorded, catalogue=self._catalogue)
        while batch := await self._read(partial(read, query=msgspec.structs.replace(query, after=after))):
            yield batch
            if len(batch) < query.limit and query.before:
                return
            after = batch[-1].position

    async def _read(self, work: Callable[[View], T]) -> T:
        def look(files: KeyedFiles) -> T:
            head = self.head  # before the layout: a segment that begins between the two is beyond it
            return work(View(files, self.layout, head, self._catalogue))

        try:
            try:
                return await self._readers.run(look)
            except FileGone:  # a prune came between the look at the layout and the file: look again
                return await self._readers.run(look)
        except CorruptDatabase as error:
            raise CorruptJournal(self.path, 0, error.reason) from error
        except reading.UndecodableEvent as error:
            raise CorruptJournal(self.path, error.position, error.reason) from error

    async def _write(
        self, work: Callable[[sqlite3.Connection], T], then: Callable[[sqlite3.Connection], None] | None = None
    ) -> T:
        try:
            return await self._writer.run(work, then)
        except CorruptDatabase as error:
            raise CorruptJournal(self.path, 0, error.reason) from error

    async def _kept(self, work: "Future[T]") -> T:
        """Wait for the keeper's thread. Raises StorageError."""
        with self._keeping():
            return await asyncio.wrap_future(work)

    @contextmanager
    def _keeping(self) -> Iterator[None]:
        """What goes wrong on the keeper's thread, as StorageError."""
        try:
            yield
        except sqlite3.Error as error:
            raise translated(error, self.layout.directory) from error
        except OSError as error:
            raise DatabaseFailed(self.layout.directory, error.strerror or str(error)) from error
        except Stopped as error:
            raise DatabaseFailed(self.layout.directory, "the journal is closing") from error

    async def _migrate(self) -> None:
        try:
            done = await anyio.to_thread.run_sync(migrate, self._directory)
        except sqlite3.Error as error:
            found = translated(error, self.path)
            if isinstance(found, CorruptDatabase):
                raise CorruptJournal(self.path, 0, found.reason) from error
            raise found from error
        except OSError as error:
            raise unwritable(self._directory, error) from error
        if done is not None:
            self._warnings.append(done)

    async def _open_writer(self) -> None:
        try:
            await self._writer.__aenter__()
        except CorruptDatabase as error:
            raise CorruptJournal(self.path, 0, error.reason) from error
        await self._write(self._end.begin)

    async def _close(self) -> None:
        with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
            try:
                await anyio.to_thread.run_sync(self._keeper.close)
                if self._end.is_open:
                    await self._write(self._end.finish)
            finally:
                with suppress(StorageError):
                    await self._writer.run(self._end.let_go)
                await self._writer.close()

    def _settle(self, segment: Segment, rows: sqlite3.Connection | None) -> None:
        work = self._keeper.submit(self._keeper.settle, self.layout, segment, rows)
        work.add_done_callback(self._warn_if_failed)

    def _settle_closed(self) -> None:
        """What the last process did not come to do."""
        for segment in self.layout.segments:
            if segment.state == "closed":
                self._settle(segment, None)

    def _warn_if_failed(self, work: "Future[None]") -> None:
        if work.cancelled() or isinstance(work.exception(), Stopped):
            return
        if (error := work.exception()) is not None:
            self._warnings.append(f"a closed segment could not be finished ({error}); the next start tries again")


def _measured(view: View, catalogue: Path, blobs: Path) -> JournalSize:
    paths = [catalogue, blobs, *view.layout.paths]
    files = [path.with_name(path.name + suffix) for path in paths for suffix in ("", "-wal")]
    size = sum(path.stat().st_size for path in files if path.exists())
    oldest = view.layout.pruned_to + 1
    return JournalSize(size, Position(oldest if oldest <= view.head else 0))


def _count_kept(view: View, segments: tuple[Segment, ...]) -> int:
    total = 0
    for segment in segments:
        (rows,) = view.files.get(view.layout.directory / segment.kept_name).execute(queries.COUNT).fetchone()
        total += rows
    return total


async def record(store: EventStore, event: Event) -> None:
    """Append one event of the journal itself, where no society runs. Raises StorageError."""
    position = Position(store.head + 1)
    recorded = Recorded(event, position, store.now_us, JOURNAL, Position(0), "", Position(0))
    store.encode([recorded], batch := Batch())
    await store.write(batch, {})
