"""The writing end of the journal: one transaction for a batch of events, with everything that goes with them.

Rules: positions have no gap; rows, names, rollup and the heads of the hash chains are of one transaction; what
is remembered between batches changes after the commit and not before, so that a batch that failed leaves no trace.
A batch that has landed already (its commit was not heard of) is answered from the rows and not written again.

Lives on the writing connection's thread.
"""

import sqlite3
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import chain as flattened
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from bus.codec import Catalogue
from bus.envelope import EncodedEvent, StoredEvent
from bus.messages.base import Position
from storage import queries
from storage.boxes import Paths, closed, has_box
from storage.chain import KEPT, NOTHING, PRUNABLE, row_hash
from storage.errors import CorruptJournal
from storage.keys import Keys
from storage.layout import Segment
from storage.transactions import transaction

MINUTE_US = 60_000_000
PARTS_AHEAD = 4
"""Parts of a batch that are chained before they are inserted: neither thread waits for each hand-over."""
DATA: Final = 12
"""Where the fields stand in an encoded event."""
NONE = bytearray()
"""Stands for no sealed fields. What is bound as `bytes` or None is looked up among adapters first, at six times the
price of a `bytearray`, and the loop waits for as long as a thousand rows are bound."""

Heads = tuple[tuple[int, bytes], tuple[int, bytes]]
"""Position and hash of the last row of the prunable and of the kept chain."""
Counts = dict[int, list[int]]
"""By type: events, first and last position."""
Rollup = dict[int, Counts]
"""By minute."""
_NO_COUNTS: Counts = {}


class _Kind(NamedTuple):
    """What is the same for all events of a type."""

    chain: int
    id: int
    personal: Paths


class _Chainer:
    """Turns the events of one batch into rows, in order; on whatever thread, one call at a time."""

    def __init__(self, kinds: Mapping[str, _Kind], sources: Mapping[str, int], heads: Heads, keys: Keys) -> None:
        self._kinds = kinds
        self._sources = sources
        self._keys = keys
        self._positions = [position for position, _ in heads]
        self._hashes = [hash_ for _, hash_ in heads]
        self.rollup: Rollup = {}

    @property
    def heads(self) -> Heads:
        """The ends of both chains after what was encoded so far."""
        return (
            (self._positions[PRUNABLE], self._hashes[PRUNABLE]),
            (self._positions[KEPT], self._hashes[KEPT]),
        )

    def rows(self, events: Sequence[EncodedEvent]) -> tuple[list[StoredEvent], list[queries.Value]]:
        """The events as stored, and the parameters of their rows one after another."""
        kinds, sources, hashes, positions = self._kinds, self._sources, self._hashes, self._positions
        rollup, minute, counts = self.rollup, -1, _NO_COUNTS
        stored: list[StoredEvent] = []
        parameters: list[queries.Value] = []
        for event in events:  # some microseconds an event: what is looked up twice is kept in a variable
            position, time_us, name, version, source, subject, task, agent, run, talk, cause, cursor, data, sealed = (
                event
            )
            chain, type_, paths = kinds[name]
            row = event
            if paths and not has_box(data):  # one that comes from another directory has its own
                data = closed(data, paths, *self._keys.next())
                row = (*event[:DATA], data, sealed)
            digest = row_hash(hashes[chain], chain, row)
            hashes[chain], positions[chain] = digest, position
            stored.append(StoredEvent(*event, digest))
            parameters += (position, time_us, type_, version, sources[source], subject, task, agent, run, talk, cause)
            parameters += (cursor, bytearray(data), bytearray(sealed) if sealed else NONE, chain, bytearray(digest))
            if time_us // MINUTE_US != minute:
                minute = time_us // MINUTE_US
                counts = rollup.setdefault(minute, {})
            count = counts.get(type_)
            if count is None:
                counts[type_] = [1, position, position]
            else:
                count[0] += 1
                count[2] = position
        return stored, parameters


class Timeline:
    """What the next row needs to know of those before it."""

    def __init__(self, catalogue: Catalogue, keys: Keys) -> None:
        self._path = Path()
        self._keys = keys
        self._is_kept = catalogue.is_kept
        self._personal = catalogue.personal
        self._types: dict[str, int] = {}
        self._sources: dict[str, int] = {}
        self.heads: Heads = ((0, NOTHING), (0, NOTHING))
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="journal-chainer")
        self.head = Position(0)

    def close(self) -> None:
        """End the thread that chains."""
        self._ahead.shutdown()

    def load(self, connection: sqlite3.Connection, path: Path, segment: Segment) -> None:
        """Take up where the open segment ends. Raises CorruptJournal where its ends do not meet."""
        self._path = path
        self._types = {name: id_ for id_, name in connection.execute(queries.TYPES)}
        self._sources = {name: id_ for id_, name in connection.execute(queries.SOURCES)}
        ends = {chain: (position, hash_) for chain, position, hash_ in connection.execute(queries.CHAINS)}
        self.heads = (ends.get(PRUNABLE, (0, NOTHING)), ends.get(KEPT, (0, NOTHING)))
        (head,) = connection.execute(queries.HEAD).fetchone()
        head = max(head, segment.first - 1)
        for chain, anchor in enumerate((segment.prunable, segment.kept)):
            position, hash_ = self.heads[chain]
            row = connection.execute(queries.HASH_AT, (position, chain)).fetchone()
            found = (bytes.fromhex(anchor.hash),) if position < segment.first and position == anchor.position else row
            if found != (hash_,):
                raise CorruptJournal(path, position, "the last row of a hash chain is not the one noted")
        if head != max(position for position, _ in self.heads):
            raise CorruptJournal(path, head, "the last row is not the one noted")
        self.head = Position(head)

    def begin(self, path: Path) -> None:
        """Go on in a new segment, which has no names yet."""
        self._path = path
        self._types, self._sources = {}, {}

    def write(self, connection: sqlite3.Connection, events: Sequence[EncodedEvent]) -> tuple[StoredEvent, ...]:
        """Make a batch durable, all or nothing. Raises sqlite3.Error."""
        if events[-1][0] <= self.head:
            return self._landed(connection, events)
        assert events[0][0] == self.head + 1, "positions have no gap"
        types, sources = dict(self._types), dict(self._sources)
        with transaction(connection):
            self._name(connection, events, types, sources)
            chainer = _Chainer(self._kinds(types), sources, self.heads, self._keys)
            stored = self._insert(connection, events, chainer)
            heads = chainer.heads
            _roll_up(connection, chainer.rollup)
            connection.execute(queries.SET_CHAINS, (PRUNABLE, *heads[PRUNABLE], KEPT, *heads[KEPT]))
        self._types, self._sources, self.heads = types, sources, heads
        self.head = events[-1][0]
        return tuple(stored)

    def _landed(self, connection: sqlite3.Connection, events: Sequence[EncodedEvent]) -> tuple[StoredEvent, ...]:
        found = connection.execute(queries.ROWS_FROM, (events[0][0], events[-1][0])).fetchall()
        opener = self._keys.opener()
        opened = [(*row[:DATA], opener.data(row[DATA]), *row[DATA + 1 :]) for row in found]
        if [row[:-1] for row in found] != list(events) and [row[:-1] for row in opened] != list(events):
            raise CorruptJournal(self._path, events[0][0], "another event stands where this one was given a place")
        return tuple(StoredEvent(*row) for row in opened)

    def _insert(
        self, connection: sqlite3.Connection, events: Sequence[EncodedEvent], chainer: _Chainer
    ) -> list[StoredEvent]:
        """Insert part by part; the next are chained while SQLite, which needs no interpreter, works on one."""
        if len(events) <= queries.ROWS_MAX:
            stored, parameters = chainer.rows(events)
            _insert(connection, parameters)
            return stored
        parts = (events[start : start + queries.ROWS_MAX] for start in range(0, len(events), queries.ROWS_MAX))
        stored = []
        chained = deque(self._ahead.submit(chainer.rows, part) for part in islice(parts, PARTS_AHEAD))
        try:
            while chained:
                part_stored, parameters = chained.popleft().result()
                chained.extend(self._ahead.submit(chainer.rows, part) for part in islice(parts, 1))
                _insert(connection, parameters)
                stored += part_stored
        finally:
            wait([one for one in chained if not one.cancel()])  # what is chained takes keys: no two batches at once
        return stored

    def _name(
        self,
        connection: sqlite3.Connection,
        events: Sequence[EncodedEvent],
        types: dict[str, int],
        sources: dict[str, int],
    ) -> None:
        for name in sorted({event[2] for event in events} - types.keys()):
            (types[name],) = connection.execute(queries.INSERT_TYPE, (name,)).fetchone()
        for source in sorted({event[4] for event in events} - sources.keys()):
            (sources[source],) = connection.execute(queries.INSERT_SOURCE, (source,)).fetchone()

    def _kinds(self, types: Mapping[str, int]) -> dict[str, _Kind]:
        return {
            name: _Kind(KEPT if self._is_kept(name) else PRUNABLE, id_, self._personal.get(name, ()))
            for name, id_ in types.items()
        }


def _insert(connection: sqlite3.Connection, parameters: list[queries.Value]) -> None:
    rows = len(parameters) // queries.EVENT_COLUMNS
    done = 0
    while done < rows:
        size = queries.insert_size(rows - done)
        part = parameters[done * queries.EVENT_COLUMNS : (done + size) * queries.EVENT_COLUMNS]
        connection.execute(queries.insert_events(size), part)
        done += size


def _roll_up(connection: sqlite3.Connection, rollup: Rollup) -> None:
    rows = [(minute, type_, *count) for minute, by_type in rollup.items() for type_, count in by_type.items()]
    done = 0
    while done < len(rows):
        size = queries.insert_size(len(rows) - done)
        connection.execute(queries.add_to_rollup(size), list(flattened.from_iterable(rows[done : done + size])))
        done += size
