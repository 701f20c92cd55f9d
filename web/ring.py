"""The newest committed events, encoded, shared by all readers.

Rules: positions in the ring have no gap; both the number of events and their bytes are bounded, the oldest go first.
An event is encoded when it enters and never again. A reader keeps a position and nothing else.

Pure: no clock, no loop.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from bus.envelope import StoredEvent
from bus.messages.base import Position, RunId
from web.wire import Filter, encode_event

EVENTS_MAX = 10_000
BYTES_MAX = 32 * 1024 * 1024


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An event's JSON and what filters look at."""

    type: str
    source: str
    task: str
    agent: str
    run: str
    correlation: str
    json: bytes


GONE: Final = Entry("", "", "", "", "", "", b"")


class Batch(msgspec.Struct, frozen=True):
    """Events between two positions, both scanned; those that matched, as a JSON list."""

    first: Position
    last: Position
    events: bytes
    count: int


class Ring:
    """A bounded window on the end of the timeline."""

    def __init__(self, epoch: int, run: RunId, *, events_max: int = EVENTS_MAX, bytes_max: int = BYTES_MAX) -> None:
        """All events are of `run` that name no other."""
        self._run = run
        self._epoch = epoch
        self._events_max = max(1, events_max)
        self._bytes_max = bytes_max
        self._entries: list[Entry] = []
        self._start = 0
        """Entries before it are gone; the list is cut now and then, since cutting it each time would move it."""
        self._size_bytes = 0
        self.head = Position(0)

    @property
    def first(self) -> Position:
        """The oldest position that is held, or the one after the head when nothing is."""
        return Position(self.head - len(self) + 1)

    @property
    def size_bytes(self) -> int:
        """The bytes of the events that are held."""
        return self._size_bytes

    def __len__(self) -> int:
        return len(self._entries) - self._start

    def begin(self, head: Position) -> None:
        """Forget all and go on after `head`."""
        self._entries, self._start, self._size_bytes = [], 0, 0
        self.head = head

    def append(self, events: Sequence[StoredEvent]) -> None:
        """Take the next events."""
        for event in events:
            assert event.position == self.head + 1, "the ring has no gap"
            json = encode_event(event, self._epoch)
            run = event.run or self._run
            self._entries.append(Entry(event.type, event.source, event.task, event.agent, run, event.correlation, json))
            self._size_bytes += len(json)
            self.head = event.position
        self._trim()

    def read(self, wanted: Filter, first: Position, last: Position, bytes_max: int) -> Batch:
        """The events from `first` on that match, up to `last` or until they have `bytes_max` bytes."""
        found, scanned = self.select(wanted, first, last, bytes_max)
        return Batch(first, scanned, b"[" + b",".join([json for _, json in found]) + b"]", len(found))

    def select(
        self, wanted: Filter, first: Position, last: Position, bytes_max: int
    ) -> tuple[list[tuple[Position, bytes]], Position]:
        """As `read`: each event with its position, and the last position that was looked at."""
        assert self.first <= first <= last <= self.head, "what is read is held"
        found: list[tuple[Position, bytes]] = []
        size = 0
        offset = self._start - self.first
        scanned = first
        for position in range(first, last + 1):
            scanned = Position(position)
            entry = self._entries[position + offset]
            if wanted.matches(entry):
                found.append((scanned, entry.json))
                size += len(entry.json)
                if size >= bytes_max:
                    break
        return found, scanned

    def _trim(self) -> None:
        while len(self) > self._events_max or (self._size_bytes > self._bytes_max and len(self) > 0):
            self._size_bytes -= len(self._entries[self._start].json)
            self._entries[self._start] = GONE
            self._start += 1
        if self._start > self._events_max:
            del self._entries[: self._start]
            self._start = 0
