"""Writing a journal to JSON Lines and making one of them.

Rules: what is imported is proved line by line: positions without a gap, each event with the hash that its line says.
The first line that does not fit ends it: what stands before is kept, what follows is counted and told, since events
after a gap mean nothing. Blobs come first, so that no event names what is not there. What was made is a new epoch.
"""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import anyio.to_thread
import msgspec

from bus.clock import Clock
from bus.codec import Catalogue
from bus.errors import BadUsage
from bus.messages.base import Position
from storage.events import EventStore
from storage.forks import Progress, begin_epoch
from storage.jsonlines import (
    FORMAT,
    BlobLine,
    Broken,
    EventLine,
    Head,
    Line,
    Lines,
    blob_line,
    event_line,
    head_line,
    row_of,
)
from storage.past import Past

PROBLEMS_MAX = 100
"""Told one by one; beyond it they are only counted."""

Amend = Callable[[EventLine], EventLine]


class Imported(msgspec.Struct, frozen=True):
    """What came of it."""

    events: int
    blobs: int
    left_out: int
    """Events that stand after the first line that does not fit."""
    problems: tuple[Broken, ...]
    """By line."""
    problems_count: int


async def export_lines(past: Past, file: BinaryIO, *, has_sealed: bool, progress: Progress) -> int:
    """Write all; how many events there were."""
    write = anyio.to_thread.run_sync
    await write(file.write, head_line(past.epoch, past.head, has_sealed=has_sealed))
    async for blobs in past.blobs():
        await write(file.writelines, [blob_line(blob, content) for blob, content in blobs.items()])
    count = 0
    async for page in past.stored():
        await write(file.writelines, [event_line(event, has_sealed=has_sealed) for event in page.events])
        count += len(page.events)
        progress(page.events[-1].position, past.head)
    await write(file.flush)
    return count


async def import_lines(
    file: BinaryIO,
    into: Path,
    *,
    catalogue: Catalogue,
    clock: Clock,
    progress: Progress,
    amend: Amend | None = None,
) -> Imported:
    """Make a journal of lines. Without `amend` they must have their sealed fields. Raises BadUsage, StorageError.

    `amend` is for who only looks: it makes up what a line lacks, and hashes are not compared then.
    """
    async with EventStore.open(into, catalogue, clock) as store:
        if store.head:
            raise BadUsage(f"{into} has a journal already; choose another directory")
        done = _Import(store, amend)
        lines = Lines(file)
        while some := await anyio.to_thread.run_sync(lines.some):
            await done.take(some)
            progress(store.head, max(done.head, store.head))
        imported = done.imported
    if imported.events and amend is None:
        await begin_epoch(into, done.epoch, Position(imported.events), catalogue, clock)
    return imported


class _Import:
    """One import under way."""

    def __init__(self, store: EventStore, amend: Amend | None) -> None:
        self._store = store
        self._amend = amend
        self._problems: list[Broken] = []
        self._problems_count = 0
        self._blobs = 0
        self._left_out = 0
        self._is_over = False
        self.epoch = 1
        self.head = Position(0)

    @property
    def imported(self) -> Imported:
        return Imported(self._store.head, self._blobs, self._left_out, tuple(self._problems), self._problems_count)

    async def take(self, some: list[tuple[int, Line]]) -> None:
        """Take lines in order."""
        batch: list[tuple[int, EventLine]] = []
        for number, line in some:
            match line:
                case Head():
                    self._begin(number, line)
                case BlobLine():
                    self._blobs += 1
                    await self._store.keep_blobs({line.blob: line.content})
                case EventLine():
                    self._queue(batch, number, line)
                case Broken():
                    self._note(line)
                    # Without a blob the events still fit together; without an event nothing after it does.
                    self._is_over = self._is_over or not line.is_blob
        if batch:
            await self._write(batch)

    def _begin(self, number: int, head: Head) -> None:
        if head.format != FORMAT:
            raise BadUsage(f"line {number}: format {head.format} is not known; this program knows {FORMAT}")
        if not head.has_sealed and self._amend is None:
            raise BadUsage("the sealed fields were left out: it can be viewed, not imported; export it with --sealed")
        self.epoch, self.head = head.epoch, head.head

    def _queue(self, batch: list[tuple[int, EventLine]], number: int, line: EventLine) -> None:
        expected = self._store.head + len(batch) + 1
        if not self._is_over and line.position != expected:
            self._note(Broken(number, f"position {line.position} stands where {expected} should"))
            self._is_over = True
        if not self._is_over and line.is_sealed and self._amend is None:
            self._note(Broken(number, "its sealed fields were left out"))
            self._is_over = True
        if self._is_over:
            self._left_out += 1
        else:
            batch.append((number, line if self._amend is None else self._amend(line)))

    async def _write(self, batch: list[tuple[int, EventLine]]) -> None:
        stored = await self._store.write([row_of(line) for _, line in batch], {})
        if self._amend is not None:
            return
        for (number, line), event in zip(batch, stored, strict=True):
            if line.hash != event.hash.hex():
                self._note(Broken(number, f"position {line.position} is not what its hash says"))

    def _note(self, problem: Broken) -> None:
        self._problems_count += 1
        if len(self._problems) < PROBLEMS_MAX:
            self._problems.append(problem)
