"""A file that follows the journal: each committed event is a line of it, for `tail -f` and other tools.

Rules: lines come in order and without a gap, after the commit of what they tell; what a crash tore is cut off and
written again; a file that tells of what the journal does not have is put aside and begun anew. Sealed fields are not
told. The file is not synced: after a loss of power it is caught up from the journal.

The file itself is blocking, and belongs on a thread; `follow` sees to that.
"""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio.to_thread
import msgspec

from bus.envelope import StoredEvent
from bus.messages.base import Position
from bus.messages.system import EVENTS_LIMIT_MAX, EventPage, ReadEvents
from storage.jsonlines import EventLine, event_line, head_line

TAIL_BYTES = 256 * 1024
"""More than the longest line of an event: in so much of the end there is the last whole one."""


class Mirror:
    """The file of one journal; opened, appended to, closed."""

    def __init__(self, path: Path, epoch: int, head: Position) -> None:
        self.path = path
        self._epoch = epoch
        self._head = head
        self.position = Position(0)
        """The last event that the file tells of."""
        self.last_hash = ""
        self.put_aside = ""
        """Where a file is now that told of another timeline."""

    def __enter__(self) -> Self:
        """Take up where the file ends. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab+")
        self._cut_torn_line()
        self._find_position()
        if self.position > self._head:
            self.begin_anew()
        if self._file.seek(0, os.SEEK_END) == 0:
            self._file.write(head_line(self._epoch, self._head, has_sealed=False))
            self._file.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is left to be written: each append is."""
        self._file.close()

    def begin_anew(self) -> None:
        """Put the file aside: it tells of what this journal does not have."""
        self._file.close()
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.other-{number}")).exists():
            number += 1
        os.rename(self.path, aside)
        self.put_aside = str(aside)
        self.position, self.last_hash = Position(0), ""
        self._file = self.path.open("ab+")
        self._file.write(head_line(self._epoch, self._head, has_sealed=False))
        self._file.flush()

    def append(self, events: Sequence[StoredEvent]) -> None:
        """Write the next events. Raises OSError."""
        self._file.write(b"".join(event_line(event, has_sealed=False) for event in events))
        self._file.flush()
        self.position = events[-1].position

    def _cut_torn_line(self) -> None:
        """What follows the last line break was never whole."""
        end = self._file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - TAIL_BYTES)
            self._file.seek(start)
            tail = self._file.read(end - start)
            if (found := tail.rfind(b"\n")) >= 0:
                self._file.truncate(start + found + 1)
                return
            end = start
        self._file.truncate(0)

    def _find_position(self) -> None:
        end = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(0, end - TAIL_BYTES))
        lines = self._file.read().splitlines()
        if not lines or not lines[-1].startswith(b'{"position":'):
            return
        try:
            last = msgspec.json.decode(lines[-1], type=EventLine)
        except msgspec.DecodeError:
            return
        self.position, self.last_hash = last.position, last.hash


def forget(path: Path, data: Mapping[Position, bytes]) -> None:
    """Write the file anew, with these data at these positions. Raises OSError."""
    if not path.exists():
        return
    building = path.with_name(path.name + ".new")
    with path.open("rb") as old, building.open("wb") as new:
        for line in old:
            new.write(_retold(line, data))
        new.flush()
        os.fsync(new.fileno())
    os.replace(building, path)


def _retold(line: bytes, data: Mapping[Position, bytes]) -> bytes:
    if not line.startswith(b'{"position":'):
        return line
    try:
        told = msgspec.json.decode(line, type=EventLine)
    except msgspec.DecodeError:
        return line  # torn: it is cut off when the file is taken up again
    if told.position not in data:
        return line
    return msgspec.json.encode(msgspec.structs.replace(told, data=msgspec.Raw(data[told.position]))) + b"\n"


async def follow(
    path: Path,
    *,
    epoch: int,
    head: Position,
    read: Callable[[ReadEvents], Awaitable[EventPage]],
    committed: Callable[[Position], Awaitable[None]],
    warn: Callable[[str], None],
) -> None:
    """Keep the file up to date for as long as this runs. Reads what is committed, so that no writer waits for it.

    `committed` returns once a position is durable; what it raises ends this. Raises OSError.
    """
    mirror = Mirror(path, epoch, head)
    await anyio.to_thread.run_sync(mirror.__enter__)
    try:
        if mirror.position and await _hash_at(mirror.position, mirror.last_hash, read) != mirror.last_hash:
            await anyio.to_thread.run_sync(mirror.begin_anew)
        if mirror.put_aside:
            warn(f"{path} told of another timeline; it is kept as {mirror.put_aside}")
        while True:
            await committed(Position(mirror.position + 1))
            query = ReadEvents(after=mirror.position, limit=EVENTS_LIMIT_MAX, is_newest_first=False)
            page = await read(query)
            if page.events[0].position != mirror.position + 1:
                warn(f"{path} lacks the events before position {page.events[0].position}: they were pruned")
            await anyio.to_thread.run_sync(mirror.append, page.events)
    finally:
        mirror.close()


async def _hash_at(position: Position, last_hash: str, read: Callable[[ReadEvents], Awaitable[EventPage]]) -> str:
    """Of an event that was pruned nothing is known, and the file is believed."""
    query = ReadEvents(after=Position(position - 1), before=Position(position + 1), limit=1)
    page = await read(query)
    return page.events[0].hash.hex() if page.events else last_hash
