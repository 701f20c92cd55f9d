"""A journal that is only looked at: beside the process that holds the directory, or with none running.

Rules: nothing is written, not even the mark; a read sees what was committed when it began. It answers what the runtime
asks of the past, so that states can be folded from it without a system. Whoever writes may prune meanwhile: a page is
of what is there then, and what goes through all events ends with an error rather than with a gap.
"""

import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import msgspec

from bus.address import Address
from bus.clock import Clock
from bus.codec import Catalogue
from bus.envelope import EncodedEvent, OwnEvents, Recorded, StoredEvent
from bus.messages.base import BlobId, Position
from bus.messages.system import (
    EventChain,
    EventHistogram,
    EventPage,
    EventSummary,
    ReadChain,
    ReadEvents,
    SearchEvents,
)
from bus.refusals import NotFound
from storage import causes, queries, reading, searching, summaries
from storage.blobs import BLOBS_NAME
from storage.cells import checked
from storage.database import translated
from storage.errors import CorruptDatabase, CorruptJournal, DatabaseFailed, FileGone, PrunedMeanwhile
from storage.files import Files
from storage.indexing import Indexing
from storage.keeper import Keeper
from storage.keyring import KeyedFiles
from storage.keys import living
from storage.layout import Layout
from storage.migration import JOURNAL_NAME
from storage.readers import Readers
from storage.reading import View
from storage.schema import JOURNAL, check
from storage.segments import read_layout

T = TypeVar("T")

READERS = 2
BATCH_EVENTS = 1_000
NOTHING = Position(0)
BATCH_BLOBS = 16
"""Blobs are large: a batch is a few megabytes."""
LOOKS_MAX = 3
"""How often a read looks where the segments are; between two looks as many prunes have come."""


class Past:
    """The journal of a directory, as of now."""

    def __init__(self, directory: Path, catalogue: Catalogue, clock: Clock) -> None:
        self.path = directory / JOURNAL_NAME
        self._catalogue = catalogue
        self._clock = clock
        self._readers = Readers(self.path, READERS)
        self._keeper = Keeper()
        self._indexing = Indexing()
        self._epochs: tuple[tuple[int, Position], ...] = ()
        self.head = Position(0)
        """The last event when it was opened."""
        self.oldest = Position(0)
        """The first that is still there; 0 in an empty journal."""
        self.layout = Layout(directory, ())
        """The segments when it was opened."""

    @classmethod
    @asynccontextmanager
    async def inspect(cls, directory: Path, catalogue: Catalogue, clock: Clock) -> AsyncIterator["Past"]:
        """Open for reading only. Raises NotFound, UnknownSchema, CorruptJournal."""
        past = cls(directory, catalogue, clock)
        if not await anyio.Path(past.path).is_file():
            raise NotFound("journal", str(past.path))
        async with past._readers:
            try:
                await past._readers.run(past._check)
                await past._read(past._look)
                yield past
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(past._keeper.close)

    @property
    def epoch(self) -> int:
        """How often this timeline has lost its end, plus one."""
        return self._epochs[-1][0] if self._epochs else 1

    def holds(self, epoch: int, position: Position) -> bool:
        """Whether what stood at `position` in `epoch` is still part of this timeline."""
        lost_after = [after for later, after in self._epochs if later > epoch]
        return position <= min(lost_after, default=self.head) and position <= self.head

    async def read(self, query: ReadEvents) -> EventPage:
        """A page of events. Raises InvalidField, StorageError."""
        reading.check_query(query)
        return await self._read(partial(reading.read_page, query=query))

    async def summarise(self, minutes: float) -> EventSummary:
        """Counts over the last minutes. Raises InvalidField."""
        summaries.check_window(minutes)
        now_us = self._clock.now_us()
        return await self._read(partial(summaries.summarise, catalogue=self._catalogue, minutes=minutes, now_us=now_us))

    async def histogram(self, buckets: int) -> EventHistogram:
        """How dense the journal is over all time. Raises InvalidField."""
        summaries.check_buckets(buckets)
        return await self._read(partial(summaries.histogram, buckets=buckets))

    async def search(self, query: SearchEvents, texts: Path) -> EventPage:
        """The newest events that have all the words, as far as they are indexed. Raises InvalidField, StorageError.

        The journal stays as it is: what is looked up is made and brought up in `texts`.
        """
        searching.check_search(query)
        for _ in range(LOOKS_MAX - 1):
            with suppress(FileGone):
                return await self._search(query, texts)
        return await self._search(query, texts)

    async def _search(self, query: SearchEvents, texts: Path) -> EventPage:
        layout = await self._read(lambda view: view.layout)
        try:
            await self._indexing.bring_up(lambda: self._keeper.submit_index(layout, texts))
        except sqlite3.Error as error:
            for path in sorted(layout.paths):
                if not await anyio.Path(path).exists():
                    raise FileGone(path) from error
            raise translated(error, texts) from error
        except OSError as error:
            raise DatabaseFailed(texts, error.strerror or str(error)) from error
        return await self._look_up(partial(searching.search, query=query, texts=texts))

    async def chain(self, query: ReadChain) -> EventChain:
        """What an event was caused by, and what it caused. Raises NotFound, StorageError."""
        return await self._read(partial(causes.read_chain, query=query))

    async def blob(self, blob: BlobId) -> bytes:
        """A blob's content. Raises NotFound."""
        try:
            digest = bytes.fromhex(blob)
        except ValueError as error:
            raise NotFound("blob", blob) from error
        path = self.path.with_name(BLOBS_NAME)
        row = await self._read(lambda view: view.files.get(path).execute(queries.BLOB, (digest,)).fetchone())
        if row is None:
            raise NotFound("blob", blob)
        content: bytes = row[0]
        return content

    async def keys(self, events: Sequence[StoredEvent]) -> dict[int, bytes]:
        """The keys of the events' personal text, by number; those that are destroyed are not there."""
        return await self._read(lambda view: living(view.files, view.keys_path, events))

    async def stored(self, after: Position = NOTHING, upto: Position | None = None) -> AsyncIterator[EventPage]:
        """The rows with after < position <= upto as they stand, in order, page by page. Raises PrunedMeanwhile."""
        last = self.head if upto is None else upto
        while after < last:
            query = ReadEvents(
                after=after, before=Position(last + 1), limit=BATCH_EVENTS, is_newest_first=False, types=("#",)
            )
            read = partial(reading.read_page, query=query, is_raw=True)
            page = await self._read(self._without_gap(read, after, last))
            if not page.events:
                return
            yield page
            after = page.events[-1].position

    async def blobs(self) -> AsyncIterator[dict[BlobId, bytes]]:
        """All blobs, some at a time."""
        last = 0
        while rows := await self._read(partial(_blobs_after, path=self.path.with_name(BLOBS_NAME), last=last)):
            last = rows[-1][0]
            yield {BlobId(hash_.hex()): content for _, hash_, content in rows}

    async def own_events(self, address: Address, after: Position) -> AsyncGenerator[OwnEvents, None]:
        """The events that `address` recorded after a position, in order, in batches. Raises PrunedMeanwhile."""
        read = partial(reading.read_own, catalogue=self._catalogue, source=address, limit=BATCH_EVENTS)
        while (own := await self._read(self._without_gap(partial(read, after=after), after, self.head))) is not None:
            yield own
            after = own.position

    async def facts(
        self, topics: tuple[str, ...], agent: str | None, after: Position, upto: Position
    ) -> AsyncIterator[Sequence[Recorded]]:
        """The events that match, with after < position <= upto, in order, in batches. Raises PrunedMeanwhile."""
        before = Position(upto + 1)
        query = ReadEvents(types=topics, agent=agent or "", before=before, limit=BATCH_EVENTS, is_newest_first=False)
        async for batch in self._batches(query, after):
            yield batch

    async def _batches(self, query: ReadEvents, after: Position) -> AsyncIterator[Sequence[Recorded]]:
        upto = Position(query.before - 1)
        while after < upto:
            wanted = msgspec.structs.replace(query, after=after)
            read = partial(reading.read_recorded, catalogue=self._catalogue, query=wanted)
            batch = await self._read(self._without_gap(read, after, upto))
            if not batch:
                return
            yield batch
            if len(batch) < query.limit:
                return
            after = batch[-1].position

    def _without_gap(self, work: Callable[[View], T], after: Position, upto: Position) -> Callable[[View], T]:
        """The work, for whoever must not miss what was there at the opening. It raises PrunedMeanwhile."""
        known = self.layout.pruned_to

        def read(view: View) -> T:
            if upto > known and view.layout.pruned_to > max(after, known):
                raise PrunedMeanwhile(view.layout.pruned_to)
            return work(view)

        return read

    async def _read(self, work: Callable[[View], T]) -> T:
        for _ in range(LOOKS_MAX - 1):
            with suppress(FileGone):  # a prune came between the look at the layout and the file: look again
                return await self._look_up(work)
        return await self._look_up(work)

    async def _look_up(self, work: Callable[[View], T]) -> T:
        try:
            return await self._readers.run(lambda files: work(self._view(files)))
        except CorruptDatabase as error:
            raise CorruptJournal(self.path, 0, error.reason) from error
        except reading.UndecodableEvent as error:
            raise CorruptJournal(self.path, error.position, error.reason) from error

    def _view(self, files: KeyedFiles) -> View:
        """The segments as whoever writes them has them now; of those that went meanwhile, the room is given back."""
        layout = read_layout(files.get(self.path), self.path)
        gone = [s for s in layout.segments if s.is_pruned and s.last > self.layout.pruned_to]
        files.forget([layout.directory / segment.whole_name for segment in gone])
        return View.look(files, layout, self._catalogue)

    def _check(self, files: Files) -> None:
        check(files.get(self.path), self.path, JOURNAL)

    def _look(self, view: View) -> None:
        epochs = view.files.get(self.path).execute(queries.EPOCHS).fetchall()
        self._epochs = tuple((epoch, Position(after)) for epoch, after, _, _ in epochs)
        self.head = view.head
        self.layout = view.layout
        oldest = view.layout.pruned_to + 1
        self.oldest = Position(oldest if oldest <= self.head else 0)


def _blobs_after(view: View, path: Path, last: int) -> list[tuple[int, bytes, bytes]]:
    rows = view.files.get(path).execute(queries.BLOBS_AFTER, (last, BATCH_BLOBS)).fetchall()
    return checked(rows, list[tuple[int, bytes, bytes]], path)


def encoded(stored: StoredEvent) -> EncodedEvent:
    """A row without its hash: what a writer takes."""
    return (
        stored.position,
        stored.time_us,
        stored.type,
        stored.version,
        stored.source,
        stored.subject,
        stored.task,
        stored.agent,
        stored.run,
        stored.correlation,
        stored.cause,
        stored.cursor,
        stored.data,
        stored.sealed,
    )
