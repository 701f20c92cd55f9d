"""The writing end of the journal: one transaction for a batch of rows, with everything that goes with them.

Rules: positions have no gap; rows, names, rollup and the heads of the hash chains are of one transaction; what
is remembered between batches changes after the commit and not before, so that a batch that failed leaves no trace.
A batch that has landed already (its commit was not heard of) is compared with the rows and not written again.

Lives on the writing connection's thread.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bus.envelope import Batch, StoredEvent
from bus.messages.base import Position
from storage import queries
from storage.cells import checked
from storage.chain import KEPT, PRUNABLE
from storage.errors import CorruptJournal
from storage.layout import Segment
from storage.rows import NO_HEADS, Column, Heads, NameIds, Rows
from storage.transactions import transaction

RELEASED_AT_ONCE = 4_096
TYPE: Final = 2
SOURCE: Final = 4
CHAIN: Final = 14
"""Where these columns stand in a row."""


class Timeline:
    """What the next row needs to know of those before it."""

    def __init__(self, rows: Rows) -> None:
        self._path = Path()
        self._rows = rows
        self._types = _Named(rows.types, queries.TYPES, queries.PUT_TYPE)
        self._sources = _Named(rows.sources, queries.SOURCES, queries.PUT_SOURCE)
        self.heads: Heads = NO_HEADS
        self.head = Position(0)

    def load(self, connection: sqlite3.Connection, path: Path, segment: Segment) -> None:
        """Take up where the open segment ends. Raises CorruptJournal where its ends do not meet."""
        self._path = path
        types, sources = self._types.load(connection, path), self._sources.load(connection, path)
        noted = checked(connection.execute(queries.CHAINS).fetchall(), list[tuple[int, int, bytes]], path)
        ends = {chain: (position, hash_) for chain, position, hash_ in noted}
        self.heads = (ends.get(PRUNABLE, NO_HEADS[PRUNABLE]), ends.get(KEPT, NO_HEADS[KEPT]))
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
        if not self._rows.are_begun:  # opened again, they go on with what was appended and is not written yet
            self._rows.begin(self.heads, types, sources)

    def begin(self, path: Path) -> None:
        """Go on in a new segment, which has no names yet."""
        self._path = path
        self._types.written.clear()
        self._sources.written.clear()

    def write(self, connection: sqlite3.Connection, batch: Batch) -> None:
        """Make a batch durable, all or nothing. Raises sqlite3.Error, CorruptJournal."""
        first, last = batch.events[0].position, batch.events[-1].position
        columns = batch.columns
        if last <= self.head:
            self._compare(connection, batch.events)
            return
        assert first == self.head + 1, "positions have no gap"
        types = self._types.new_in(columns[TYPE :: queries.EVENT_COLUMNS])
        sources = self._sources.new_in(columns[SOURCE :: queries.EVENT_COLUMNS])
        heads = _heads_after(batch, self.heads)
        with transaction(connection):
            self._types.write(connection, types)
            self._sources.write(connection, sources)
            _insert(connection, columns)
            connection.execute(queries.ROLL_UP, (first, last))
            connection.execute(queries.SET_CHAINS, (PRUNABLE, *heads[PRUNABLE], KEPT, *heads[KEPT]))
        self._types.written |= types
        self._sources.written |= sources
        self.heads = heads
        self.head = last

    def _compare(self, connection: sqlite3.Connection, events: Sequence[StoredEvent]) -> None:
        first = events[0].position
        found = connection.execute(queries.HASHES_BETWEEN, (first, events[-1].position)).fetchall()
        if [hash_ for (hash_,) in found] != [event.hash for event in events]:
            raise CorruptJournal(self._path, first, "another event stands where this one was given a place")


def release(batch: Batch) -> None:
    """Let go of the rows of a batch that stands, some at a time: the loop waits while memory is given back."""
    while batch.columns:
        del batch.columns[-RELEASED_AT_ONCE:]


class _Named:
    """Which names the open segment has."""

    def __init__(self, names: NameIds, select: str, put: str) -> None:
        self._names = names
        self._select = select
        self._put = put
        self.written: set[int] = set()
        """Their ids."""

    def load(self, connection: sqlite3.Connection, path: Path) -> dict[str, int]:
        rows = checked(connection.execute(self._select).fetchall(), list[tuple[int, str]], path)
        found = {name: id_ for id_, name in rows}
        self.written = set(found.values())
        return found

    def new_in(self, ids: Sequence[Column]) -> set[int]:
        return {id_ for id_ in set(ids) if isinstance(id_, int)} - self.written

    def write(self, connection: sqlite3.Connection, ids: set[int]) -> None:
        for id_ in sorted(ids):
            connection.execute(self._put, (id_, self._names.names[id_]))


def _heads_after(batch: Batch, before: Heads) -> Heads:
    """The ends of both chains after a batch."""
    chains = batch.columns[CHAIN :: queries.EVENT_COLUMNS]
    chains.reverse()
    after = list(before)
    for chain in (PRUNABLE, KEPT):
        if chain in chains:
            last = batch.events[-1 - chains.index(chain)]
            after[chain] = (last.position, last.hash)
    return after[PRUNABLE], after[KEPT]


def _insert(connection: sqlite3.Connection, columns: Sequence[Column]) -> None:
    rows = len(columns) // queries.EVENT_COLUMNS
    done = 0
    while done < rows:
        size = queries.insert_size(rows - done)
        part = columns[done * queries.EVENT_COLUMNS : (done + size) * queries.EVENT_COLUMNS]
        connection.execute(queries.insert_events(size), part)
        done += size
