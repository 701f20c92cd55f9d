"""A file that follows the journal: each committed event is a line of it, for `tail -f` and other tools.

Rules: lines come in order and without a gap, after the commit of what they tell; what a crash tore is cut off and
written again; a file that tells of what the journal does not have, or of whose end nothing can be read, is put aside as
it is and begun anew. Sealed fields are not told. The file is not synced: after a loss of power it is caught up from the
journal.

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
from storage.jsonlines import EventLine, Head, event_line, head_line

TAIL_BYTES = 256 * 1024
"""More than the longest line of an event: in so much of the end there is the last whole one."""
FIRST = b'{"agora":"journal",'
"""What the first line begins with."""


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
        """Where a file is now that could not be gone on from."""

    def __enter__(self) -> Self:
        """Take up where the file ends. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab+")
        if not self._take_up() or self.position > self._head:
            self.begin_anew()
        elif self._file.seek(0, os.SEEK_END) == 0:
            self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is left to be written: each append is."""
        self._file.close()

    def begin_anew(self) -> None:
        """Put the file aside: it tells of what this journal does not have, or of nothing."""
        self._file.close()
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.other-{number}")).exists():
            number += 1
        os.rename(self.path, aside)
        self.put_aside = str(aside)
        self.position, self.last_hash = Position(0), ""
        self._file = self.path.open("ab+")
        self._begin()

    def append(self, events: Sequence[StoredEvent]) -> None:
        """Write the next events. Raises OSError."""
        self._file.write(b"".join(event_line(event, has_sealed=False) for event in events))
        self._file.flush()
        self.position = events[-1].position

    def _begin(self) -> None:
        self._file.write(head_line(self._epoch, self._head, has_sealed=False))
        self._file.flush()

    def _take_up(self) -> bool:
        """Find the last whole line and cut what follows it, which never was; whether the line is one of ours."""
        end = whole = self._file.seek(0, os.SEEK_END)
        last = b""
        while whole and not last:
            start = max(0, whole - TAIL_BYTES)
            self._file.seek(start)
            tail = self._file.read(whole - start)
            if (found := tail.rfind(b"\n")) >= 0:
                last, whole = tail[: found + 1].splitlines(keepends=True)[-1], start + found + 1
            else:
                whole = start
        if not last:
            self._file.seek(0)
            torn = self._file.read(len(FIRST))
            is_ours = FIRST.startswith(torn)
        else:
            is_ours = self._read_last(last)
        if is_ours and whole < end:
            self._file.truncate(whole)
        return is_ours

    def _read_last(self, line: bytes) -> bool:
        """Note what the last line tells; whether it tells anything."""
        try:
            told = msgspec.json.decode(line, type=Head if line.startswith(FIRST) else EventLine)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        if isinstance(told, EventLine):
            self.position, self.last_hash = told.position, told.hash
        return True


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
            warn(f"{path} is no beginning of this journal's; it is kept as {mirror.put_aside}")
        done = mirror.position
        while True:
            await committed(Position(done + 1))
            query = ReadEvents(after=done, limit=EVENTS_LIMIT_MAX, is_newest_first=False)
            page = await read(query)
            if not page.events:  # all that came since were pruned, and none of them is kept
                done = page.head
                continue
            if page.events[0].position != mirror.position + 1:
                warn(f"{path} lacks the events before position {page.events[0].position}: they were pruned")
            await anyio.to_thread.run_sync(mirror.append, page.events)
            done = mirror.position
    finally:
        mirror.close()


async def _hash_at(position: Position, last_hash: str, read: Callable[[ReadEvents], Awaitable[EventPage]]) -> str:
    """Of an event that was pruned nothing is known, and the file is believed."""
    query = ReadEvents(after=Position(position - 1), before=Position(position + 1), limit=1)
    page = await read(query)
    return page.events[0].hash.hex() if page.events else last_hash
