"""Writing a journal to JSON Lines and making one of them.

Rules: what is imported is proved line by line: positions without a gap, each event with the hash that its line says.
The first line that does not fit ends it: what stands before is kept, what follows is counted and told, since events
after a gap mean nothing. Blobs come first, so that no event names what is not there. What was made is a new epoch.
Where old events were pruned, their kept rows and the checkpoint that stands for them come before all, and are taken
whole or not at all.
"""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import BinaryIO

import anyio.to_thread
import msgspec

from bus.clock import Clock
from bus.codec import Catalogue
from bus.envelope import StoredEvent
from bus.errors import BadUsage
from bus.messages.base import Position
from storage import boxes
from storage.beginnings import Beginning
from storage.chain import KEPT, PRUNABLE, row_hash
from storage.checkpoints import Checkpoint
from storage.directory import begin_copy, end_copy
from storage.events import EventStore
from storage.forks import Progress, begin_epoch
from storage.jsonlines import (
    FORMAT,
    BlobLine,
    Broken,
    CheckpointLine,
    EventLine,
    Head,
    Line,
    Lines,
    PrunedLine,
    StateLine,
    blob_line,
    checkpoint_lines,
    event_line,
    head_line,
    keys_of,
    pruned_line,
    row_of,
)
from storage.migration import JOURNAL_NAME
from storage.past import Past
from storage.prologue import Amend, Prologue

PROBLEMS_MAX = 100
"""Told one by one; beyond it they are only counted."""


class Imported(msgspec.Struct, frozen=True):
    """What came of it."""

    events: int
    blobs: int
    left_out: int
    """Events that stand after the first line that does not fit."""
    problems: tuple[Broken, ...]
    """By line."""
    problems_count: int


async def export_lines(
    past: Past, file: BinaryIO, *, has_sealed: bool, progress: Progress, standing: Checkpoint | None = None
) -> int:
    """Write all; how many events there were. `standing` stands for what was pruned; its states hold sealed fields."""
    write = anyio.to_thread.run_sync
    await write(file.write, head_line(past.epoch, past.head, has_sealed=has_sealed))
    upto, count = past.layout.pruned_to, 0
    if (beginning := Beginning.of(past.layout)) is not None:
        await write(file.write, pruned_line(beginning))
        async for lines in _lines(past, Position(0), upto, has_sealed=has_sealed):
            await write(file.writelines, lines)
            count += len(lines)
        if standing is not None:
            await write(file.writelines, checkpoint_lines(standing))
    async for blobs in past.blobs():
        await write(file.writelines, [blob_line(blob, content) for blob, content in blobs.items()])
    async for lines in _lines(past, upto, past.head, has_sealed=has_sealed):
        await write(file.writelines, lines)
        count += len(lines)
        progress(count, past.head)
    await write(file.flush)
    return count


async def _lines(past: Past, after: Position, upto: Position, *, has_sealed: bool) -> AsyncIterator[list[bytes]]:
    async for page in past.stored(after, upto):
        keys = await past.keys(page.events)
        yield [_line(event, keys, has_sealed=has_sealed) for event in page.events]


async def import_lines(
    file: BinaryIO,
    into: Path,
    *,
    checkpoints: Path,
    catalogue: Catalogue,
    clock: Clock,
    progress: Progress,
    amend: Amend | None = None,
) -> Imported:
    """Make a journal of lines. Without `amend` they must have their sealed fields. Raises BadUsage, StorageError.

    `amend` is for who only looks: it makes up what a line lacks, and hashes are not compared then. `checkpoints` is
    where the checkpoint goes that stands for pruned events.
    """
    if await anyio.Path(into / JOURNAL_NAME).exists():
        raise BadUsage(f"{into} has a journal already; choose another directory")
    lines, prologue = Lines(file), Prologue(amend)
    some = await anyio.to_thread.run_sync(lines.some)
    while some and not (left := prologue.take(some)):
        some = await anyio.to_thread.run_sync(lines.some)
    some = left if some else []
    if prologue.head is None:
        raise BadUsage(f"it is no export and no mirror: {_beginning(some)}")
    _check(1, prologue.head, amend)
    await anyio.to_thread.run_sync(begin_copy, into)
    await anyio.to_thread.run_sync(prologue.begin, into)
    async with EventStore.open(into, catalogue, clock, is_copy=True) as store:
        await store.contents.keep_keys(prologue.keys)
        done = _Import(store, amend, prologue, catalogue)
        while some:
            await done.take(some)
            progress(store.head, max(done.head, store.head))
            some = await anyio.to_thread.run_sync(lines.some)
        imported, head = done.imported, store.head
    if amend is None or prologue.standing is not None:
        await prologue.keep_checkpoint(checkpoints, head)
    if imported.events and amend is None:
        await begin_epoch(into, done.epoch, head, catalogue, clock)
    await anyio.to_thread.run_sync(end_copy, into)
    return imported


def _beginning(some: list[tuple[int, Line]]) -> str:
    """What stands where the first line should."""
    if not some:
        return "it is empty"
    _, line = some[0]
    return f"line 1: {line.reason}" if isinstance(line, Broken) else "line 1 does not say of what journal it is"


def _check(number: int, head: Head, amend: Amend | None) -> None:
    """Raises BadUsage for lines that cannot be taken at all."""
    if head.format != FORMAT:
        raise BadUsage(f"line {number}: format {head.format} is not known; this program knows {FORMAT}")
    if not head.has_sealed and amend is None:
        raise BadUsage("the sealed fields were left out: it can be viewed, not imported; export it with --sealed")


def _line(event: StoredEvent, keys: Mapping[int, bytes], *, has_sealed: bool) -> bytes:
    key = keys.get(boxes.key_number(event.data)) if boxes.has_box(event.data) else None
    return event_line(event, has_sealed=has_sealed, key=key)


class _Import:
    """One import under way."""

    def __init__(self, store: EventStore, amend: Amend | None, prologue: Prologue, catalogue: Catalogue) -> None:
        self._store = store
        self._catalogue = catalogue
        following = prologue.following
        self._hashes = [bytes.fromhex(anchor.hash) for anchor in (following.prunable, following.kept)]
        """The last of each chain, up to which the lines are proved."""
        self._first = store.head
        self._kept = len(prologue.rows)
        self._amend = amend
        self._problems: list[Broken] = []
        self._problems_count = 0
        self._blobs = 0
        self._left_out = 0
        self._is_over = False
        assert prologue.head is not None, "what has none is refused"
        self.epoch, self.head = prologue.head.epoch, prologue.head.head

    @property
    def imported(self) -> Imported:
        events = self._store.head - self._first + self._kept
        return Imported(events, self._blobs, self._left_out, tuple(self._problems), self._problems_count)

    async def take(self, some: list[tuple[int, Line]]) -> None:
        """Take lines in order."""
        batch: list[tuple[int, EventLine]] = []
        for number, line in some:
            match line:
                case Head():
                    _check(number, line, self._amend)
                    self.epoch, self.head = line.epoch, line.head
                case BlobLine():
                    self._blobs += 1
                    await self._store.contents.keep({line.blob: line.content})
                case EventLine():
                    self._queue(batch, number, line)
                case PrunedLine() | CheckpointLine() | StateLine():
                    self._note(Broken(number, "it stands too late: what was pruned comes before all events"))
                    self._is_over = True
                case Broken():
                    self._note(line)
                    # Without a blob the events still fit together; without an event nothing after it does.
                    self._is_over = self._is_over or not line.is_blob
        if batch:
            await self._write(batch)

    def _queue(self, batch: list[tuple[int, EventLine]], number: int, line: EventLine) -> None:
        expected = self._store.head + len(batch) + 1
        if self._amend is not None and line.position > expected == 1 and not self._problems:
            raise BadUsage(
                f"it begins at position {line.position}: what was before was pruned, and nothing in it stands for "
                "that; view the data directory, or an export with --sealed"
            )
        if not self._is_over and line.position != expected:
            self._note(Broken(number, f"position {line.position} stands where {expected} should"))
            self._is_over = True
        if not self._is_over and line.is_sealed and self._amend is None:
            self._note(Broken(number, "its sealed fields were left out"))
            self._is_over = True
        if not self._is_over and self._amend is None and (reason := self._disproved(line)):
            self._note(Broken(number, reason))
            self._is_over = True
        if self._is_over:
            self._left_out += 1
        else:
            batch.append((number, line if self._amend is None else self._amend(line)))

    async def _write(self, batch: list[tuple[int, EventLine]]) -> None:
        await self._store.contents.keep_keys(keys_of(line for _, line in batch))
        await self._store.copy([row_of(line) for _, line in batch])

    def _disproved(self, line: EventLine) -> str:
        """Why an event is not what follows; empty where it is."""
        if line.type not in self._catalogue.names:
            return f"events of type {line.type} are not known to this program"
        chain = KEPT if self._catalogue.is_kept(line.type) else PRUNABLE
        hash_ = row_hash(self._hashes[chain], chain, row_of(line))
        if hash_.hex() != line.hash:
            return f"position {line.position} is not what its hash says"
        self._hashes[chain] = hash_
        return ""

    def _note(self, problem: Broken) -> None:
        self._problems_count += 1
        if len(self._problems) < PROBLEMS_MAX:
            self._problems.append(problem)
