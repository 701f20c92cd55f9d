"""The journal on disk: events, written durably and in order, read by whoever asks.

Rules: one process holds the directory; one connection writes, and what it acknowledges is synced; the others read what
is committed, in short reads. A file of a newer version is refused untouched. A journal that came back shorter than the
mark beside it goes on as a new epoch, so that no position that was acknowledged is ever issued twice; what a checkpoint
of a lost stretch says is then no longer part of this timeline (`holds`).
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import msgspec

from bus.address import Address
from bus.clock import Clock
from bus.codec import Catalogue
from bus.envelope import EncodedEvent, Recorded, StoredEvent
from bus.errors import NotFound
from bus.messages.base import BlobId, Position
from bus.messages.system import EventHistogram, EventPage, EventSummary, ReadEvents
from storage import integrity, queries, reading
from storage.database import Database, Readers, WalKeeper, is_full
from storage.directory import DirectoryLock
from storage.errors import CorruptDatabase, CorruptJournal
from storage.integrity import Progress, Verification
from storage.mark import Mark, UnreadableMark, read_mark, write_mark
from storage.queries import Selection
from storage.schema import JOURNAL, create_or_check
from storage.timeline import Timeline
from storage.transactions import transaction

T = TypeVar("T")

JOURNAL_NAME = "journal.sqlite"
MARK_NAME = "journal.mark"
READERS = 3
"""Reads at the same time: one slow query leaves room for the page and a recovery."""
BATCH_EVENTS = 1_000
"""Events of one read of a recovery: half a megabyte, some 5 ms."""
MARK_EVERY_S = 1.0
CLOSE_TIMEOUT_S = 10.0
"""For emptying the write-ahead log; what is in it is durable anyway."""


class JournalSize(msgspec.Struct, frozen=True):
    """How much there is."""

    size_bytes: int
    """Of the database and its write-ahead log."""
    oldest: Position
    """0 in an empty journal."""


class EventStore:
    """The journal of one data directory."""

    def __init__(self, directory: Path, catalogue: Catalogue, clock: Clock) -> None:
        self.path = directory / JOURNAL_NAME
        self._catalogue = catalogue
        self._clock = clock
        self._writer = Database(self.path)
        self._readers = Readers(self.path, READERS)
        self._timeline = Timeline(self.path, catalogue)
        self._wal = WalKeeper(self.path)
        self._mark_path = directory / MARK_NAME
        self._marked_s = clock.monotonic_s()
        self._epochs: tuple[tuple[int, Position], ...] = ()
        self._warnings: list[str] = []

    @classmethod
    @asynccontextmanager
    async def open(cls, directory: Path, catalogue: Catalogue, clock: Clock) -> AsyncIterator["EventStore"]:
        """Hold the directory and open its journal, made where there is none.

        Raises DirectoryNotWritable, DirectoryInUse, UnknownSchema, CorruptJournal, DiskFull.
        """
        lock = await anyio.to_thread.run_sync(DirectoryLock.acquire, directory)
        try:
            store = cls(directory, catalogue, clock)
            async with AsyncExitStack() as stack:
                stack.push_async_callback(store._close)
                await store._open_writer()
                await stack.enter_async_context(store._readers)
                yield store
        finally:
            lock.release()

    @property
    def head(self) -> Position:
        """The last position that is durable."""
        return self._timeline.head

    @property
    def epoch(self) -> int:
        """How often this timeline has lost its end, plus one."""
        return self._epochs[-1][0]

    def take_warnings(self) -> tuple[str, ...]:
        """What was not as it should be when the journal was opened; each is given once."""
        warnings, self._warnings = tuple(self._warnings), []
        return warnings

    def holds(self, epoch: int, position: Position) -> bool:
        """Whether what stood at `position` in `epoch` is still part of this timeline."""
        lost_after = [after for later, after in self._epochs if later > epoch]
        return position <= min(lost_after, default=self.head) and position <= self.head

    def encode(self, records: Sequence[Recorded]) -> Sequence[EncodedEvent]:
        """The events as their rows will have them. Raises EventTooLarge, or what says that one has no encoding."""
        return [self._catalogue.encode_record(record) for record in records]

    async def write(self, events: Sequence[EncodedEvent], blobs: Mapping[BlobId, bytes]) -> tuple[StoredEvent, ...]:
        """Make a batch durable, all or nothing; one that landed before is answered the same. Raises StorageError."""
        return await self._write(lambda connection: self._write_batch(connection, events, blobs))

    async def keep_blobs(self, blobs: Mapping[BlobId, bytes]) -> None:
        """Make blobs durable by themselves, before the events that name them. Raises StorageError."""
        await self._write(partial(self._timeline.keep_blobs, blobs=blobs))

    async def reopen(self) -> Position:
        """Close and open again; the head that is really on disk. Raises StorageError."""
        with suppress(sqlite3.Error):  # this connection has failed; that it also fails to close says nothing new
            await self._writer.close()
        self._writer = Database(self.path)
        await self._open_writer()
        return self.head

    async def read(self, query: ReadEvents) -> EventPage:
        """A page of events. Raises InvalidField, StorageError."""
        reading.check_query(query)
        return await self._read(partial(reading.read_page, query=query))

    async def summarise(self, minutes: float) -> EventSummary:
        """Counts over the last minutes, from the full minute in which they begin. Raises InvalidField."""
        reading.check_window(minutes)
        now_us = self._clock.now_us()
        return await self._read(partial(reading.summarise, catalogue=self._catalogue, minutes=minutes, now_us=now_us))

    async def histogram(self, buckets: int) -> EventHistogram:
        """How dense the journal is over all time. Raises InvalidField."""
        reading.check_buckets(buckets)
        return await self._read(partial(reading.histogram, buckets=buckets))

    async def count(self, type_: str) -> tuple[int, Position]:
        """How many events of a type the journal holds, and the head up to which they were counted."""
        return await self._read(partial(reading.count, type_=type_))

    async def blob(self, blob: BlobId) -> bytes:
        """A committed blob's content. Raises NotFound."""
        try:
            digest = bytes.fromhex(blob)
        except ValueError as error:
            raise NotFound("blob", blob) from error
        row = await self._read(lambda connection: connection.execute(queries.BLOB, (digest,)).fetchone())
        if row is None:
            raise NotFound("blob", blob)
        content: bytes = row[0]
        return content

    async def measure(self) -> JournalSize:
        """How much there is."""
        return await self._read(self._measure)

    async def verify(self, progress: Progress | None = None) -> Verification:
        """Prove every row, blob, index and count. Raises StorageError when the file cannot be read at all."""
        async with Database(self.path, is_read_only=True) as reader:
            return await integrity.verify(reader, progress)

    async def own_events(self, address: Address, after: Position) -> AsyncIterator[Sequence[Recorded]]:
        """The committed events that `address` recorded after a position, in order, in batches."""
        read = partial(reading.read_recorded, catalogue=self._catalogue, source=address)
        while batch := await self._read(partial(read, selection=Selection(BATCH_EVENTS, after=after))):
            yield batch
            after = batch[-1].position

    async def facts(
        self, topics: tuple[str, ...], agent: str | None, after: Position, upto: Position
    ) -> AsyncIterator[Sequence[Recorded]]:
        """The committed events that match, with after < position <= upto, in order, in batches."""
        read = partial(reading.read_recorded, catalogue=self._catalogue, topics=topics)
        while after < upto:
            selection = Selection(BATCH_EVENTS, agent=agent or "", after=after, before=upto + 1)
            batch = await self._read(partial(read, selection=selection))
            if not batch:
                return
            yield batch
            after = batch[-1].position

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._readers.run(work)
        except CorruptDatabase as error:
            raise CorruptJournal(self.path, 0, error.reason) from error
        except reading.UndecodableEvent as error:
            raise CorruptJournal(self.path, error.position, error.reason) from error

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._writer.run(work)
        except CorruptDatabase as error:
            raise CorruptJournal(self.path, 0, error.reason) from error

    async def _open_writer(self) -> None:
        try:
            await self._writer.__aenter__()
        except CorruptDatabase as error:
            raise CorruptJournal(self.path, 0, error.reason) from error
        await self._write(self._begin)

    async def _close(self) -> None:
        with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
            try:
                if self._epochs:
                    await self._write(self._end)
            finally:
                await self._writer.close()
                await anyio.to_thread.run_sync(self._timeline.close)

    def _begin(self, connection: sqlite3.Connection) -> None:
        """On the writer's thread: check the file, take up its end, and see whether it came back shorter."""
        create_or_check(connection, self.path, JOURNAL)
        self._timeline.load(connection)
        epochs = [(epoch, Position(after)) for epoch, after in connection.execute(queries.EPOCHS)]
        current = epochs[-1][0] if epochs else 0
        mark = self._read_mark()
        if mark is not None and (mark.position > self.head or mark.epoch > current):
            self._warnings.append(
                f"the journal ends at position {self.head} of epoch {current}, but position {mark.position} of epoch "
                f"{mark.epoch} was reached before: its end is lost; epoch {max(current, mark.epoch) + 1} begins"
            )
            current = max(current, mark.epoch)
        elif epochs:
            self._epochs = tuple(epochs)
            return
        with transaction(connection):
            connection.execute(queries.INSERT_EPOCH, (current + 1, self.head, self._clock.now_us()))
        self._epochs = (*epochs, (current + 1, self.head))
        self._note_head()

    def _end(self, connection: sqlite3.Connection) -> None:
        self._note_head()
        self._empty_wal(connection, self._wal.empty)

    def _write_batch(
        self, connection: sqlite3.Connection, events: Sequence[EncodedEvent], blobs: Mapping[BlobId, bytes]
    ) -> tuple[StoredEvent, ...]:
        stored = self._timeline.write(connection, events, blobs)
        self._empty_wal(connection, self._wal.after_commit)
        if self._clock.monotonic_s() - self._marked_s >= MARK_EVERY_S:
            self._note_head()
        return stored

    def _empty_wal(self, connection: sqlite3.Connection, empty: Callable[[sqlite3.Connection], bool]) -> None:
        try:
            empty(connection)
        except sqlite3.Error as error:
            if not is_full(error):
                raise
            # What is in the log is durable; it is copied once there is room for it.

    def _read_mark(self) -> Mark | None:
        try:
            return read_mark(self._mark_path)
        except UnreadableMark as error:
            self._warnings.append(
                f"{self._mark_path} cannot be read ({error}); a lost end would go unnoticed this once"
            )
            return None

    def _note_head(self) -> None:
        self._marked_s = self._clock.monotonic_s()
        # The mark lags at worst; an event whose commit stands is not refused because of it.
        with suppress(OSError):
            write_mark(self._mark_path, Mark(self.epoch, self.head))

    def _measure(self, connection: sqlite3.Connection) -> JournalSize:
        wal = self.path.with_name(self.path.name + "-wal")
        size = _integer(connection, queries.PAGES) + (wal.stat().st_size if wal.exists() else 0)
        return JournalSize(size, Position(_integer(connection, queries.OLDEST)))


def _integer(connection: sqlite3.Connection, statement: str, parameters: Sequence[str] = ()) -> int:
    value: int
    (value,) = connection.execute(statement, parameters).fetchone()
    return value
