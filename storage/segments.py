"""The segment files as the writer has them: which there are, which one is open, when the next begins.

Rules: a new file is whole and durable before the catalogue names it, and the catalogue changes in one transaction, so
that killed at any point, the journal is the one of before or of after. A file that no entry names is what such a kill
left, and goes. Between two transactions of events a segment that is large enough is closed; what is left to do with it
(emptying its log, the file of its kept rows, the index of its text) is not the writer's business.

Lives on the writing connection's thread; that connection is the catalogue's.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from bus.messages.base import Position
from storage import count_queries, layout, queries
from storage.database import WalKeeper, connect
from storage.errors import CorruptJournal
from storage.layout import SEGMENTS_NAME, Anchor, Layout, Segment
from storage.removal import remove
from storage.rows import Heads
from storage.schema import JOURNAL, SEGMENT, create_or_check
from storage.syncing import sync
from storage.times import MINUTE_US
from storage.transactions import transaction

FOREVER_MINUTES = 2**40


class SegmentLimits(msgspec.Struct, frozen=True):
    """How large a segment may become before the next one begins."""

    events: int = 250_000
    """A prune drops whole segments; a quarter of a million rows are some hundred megabytes."""
    size_bytes: int = 512 * 1024 * 1024


class Segments:
    """The catalogue and the open segment of one journal."""

    def __init__(self, catalogue_path: Path, limits: SegmentLimits) -> None:
        self._catalogue_path = catalogue_path
        self._directory = catalogue_path.parent / SEGMENTS_NAME
        self._limits = limits
        self._rows: sqlite3.Connection | None = None
        self._wal = WalKeeper(catalogue_path)
        self.layout = Layout(self._directory, ())
        self.is_in_doubt = False
        """Whether the catalogue on disk may have a segment more: a commit that failed may have landed all the same."""

    @property
    def rows(self) -> sqlite3.Connection:
        """The connection to the open segment."""
        assert self._rows is not None, "the segments are open"
        return self._rows

    @property
    def path(self) -> Path:
        """The file of the open segment."""
        return self.layout.path(self.layout.open)

    def open(self, catalogue: sqlite3.Connection) -> None:
        """Take up the segments as they are, or make the first. Raises CorruptJournal, UnknownSchema, sqlite3.Error."""
        self.close()
        self.is_in_doubt = False
        is_new = not catalogue.execute(queries.COUNT_TABLES).fetchone()[0]
        if is_new and any(self._directory.glob("*.sqlite")):
            raise CorruptJournal(self._catalogue_path, 0, "the catalogue is empty, but there are segments")
        create_or_check(catalogue, self._catalogue_path, JOURNAL)
        if not self._directory.exists():
            self._directory.mkdir(mode=0o700)
            sync(self._directory.parent)  # before the catalogue names what is in it
        self.layout = read_layout(catalogue, self._catalogue_path)
        if not self.layout.segments:
            first = Segment(Position(1))
            self._make(first).close()
            with transaction(catalogue):
                _put(catalogue, first)
            self.layout = Layout(self._directory, (first,))
        self._remove_leftovers()
        if not self.path.exists():
            raise CorruptJournal(self.path, self.layout.open.first, "the file of the open segment is missing")
        self._rows = connect(self.path, is_shared=True)
        create_or_check(self._rows, self.path, SEGMENT)
        self._wal = WalKeeper(self.path)

    def close(self) -> None:
        """Let go of the open segment."""
        if self._rows is not None:
            self._rows.close()
            self._rows = None

    def tend(self) -> bool:
        """After a commit: empty the write-ahead log if it has grown; whether it was. Raises sqlite3.Error."""
        return self._wal.after_commit(self.rows)

    def empty_wal(self) -> bool:
        """Copy the write-ahead log into the segment. Raises sqlite3.Error."""
        return self._wal.empty(self.rows)

    def is_full(self, head: Position) -> bool:
        """Whether the open segment is as large as one may be."""
        events = head - self.layout.open.first + 1
        if events < 1:
            return False
        return events >= self._limits.events or self.path.stat().st_size >= self._limits.size_bytes

    def rotate(self, catalogue: sqlite3.Connection, head: Position, heads: Heads) -> tuple[Segment, sqlite3.Connection]:
        """Close the open segment and begin the next after `head`. Gives the closed one and the connection to it.

        Raises sqlite3.Error, OSError: then nothing has changed, unless it is in doubt.
        """
        closed = _closed(self.layout.open, self.rows, head)
        prunable, kept = (Anchor(Position(at), hash_.hex()) for at, hash_ in heads)
        following = Segment(Position(head + 1), prunable, kept)
        rows = self._make(following)
        self.is_in_doubt = True
        try:
            with transaction(catalogue):
                _put(catalogue, closed)
                _put(catalogue, following)
        except BaseException:
            rows.close()
            raise
        self.is_in_doubt = False
        old, self._rows = self.rows, rows
        self.layout = Layout(self._directory, (*self.layout.segments[:-1], closed, following))
        self._wal = WalKeeper(self.path)
        return closed, old

    def prune(self, catalogue: sqlite3.Connection, upto: Position) -> tuple[Segment, ...]:
        """Let the closed segments up to a position go, all but their kept rows, whose files are there.

        Gives the segments as they were; their files are still to be removed. Raises sqlite3.Error.
        """
        dropped = [s for s in self.layout.segments if s.state == "closed" and s.last <= upto]
        pruned = {s.first: msgspec.structs.replace(s, state="pruned") for s in dropped}
        with transaction(catalogue):
            for segment in pruned.values():
                _put(catalogue, segment)
        self.layout = Layout(self._directory, tuple(pruned.get(s.first, s) for s in self.layout.segments))
        return tuple(dropped)

    def _make(self, segment: Segment) -> sqlite3.Connection:
        path = self._directory / segment.name
        remove(path)  # what a kill between the file and its entry has left
        rows = connect(path, is_shared=True)
        try:
            create_or_check(rows, path, SEGMENT)
            anchors = (segment.prunable, segment.kept)
            ends = [(chain, anchor.position, bytes.fromhex(anchor.hash)) for chain, anchor in enumerate(anchors)]
            rows.execute(queries.SET_CHAINS, [value for end in ends for value in end])
            sync(self._directory)
        except BaseException:
            rows.close()
            raise
        return rows

    def _remove_leftovers(self) -> None:
        known = {name for s in self.layout.segments for name in (s.name, s.kept_name, s.text_name)}
        pruned = {s.whole_name for s in self.layout.segments if s.is_pruned}
        leftovers = [path for path in self._directory.glob("*.sqlite") if path.name not in known]
        for path in sorted(leftovers):
            # What a kill leaves is empty, or was pruned. Events were acknowledged, by a catalogue that is not this one.
            if path.name not in pruned and (first := _first_event(path)):
                reason = f"{path.name} has events, but the catalogue does not name it: is that an older copy?"
                raise CorruptJournal(self._catalogue_path, first, reason)
        for path in leftovers:
            remove(path)
        for path in self._directory.glob("*.new"):
            path.unlink()


def read_layout(catalogue: sqlite3.Connection, path: Path) -> Layout:
    """The segments that the catalogue at a path names. Raises CorruptJournal, sqlite3.Error."""
    segments: list[Segment] = []
    for content, hash_ in catalogue.execute(queries.SEGMENTS).fetchall():
        first = segments[-1].last + 1 if segments else 1
        try:
            segment = layout.unpack(content, hash_)
        except (ValueError, msgspec.DecodeError) as error:
            raise CorruptJournal(path, first, str(error)) from error
        if segment.first != first:
            raise CorruptJournal(path, first, "the catalogue has no segment for it")
        segments.append(segment)
    return Layout(path.parent / SEGMENTS_NAME, tuple(segments))


def _first_event(path: Path) -> int:
    """The first position that a file has an event at; 0 where it has none, or no tables yet."""
    try:
        with closing(connect(path)) as rows:
            (first,) = rows.execute(queries.FIRST).fetchone()
    except sqlite3.DatabaseError:
        return 0
    return int(first)


def _closed(segment: Segment, rows: sqlite3.Connection, head: Position) -> Segment:
    first, last, _ = rows.execute(count_queries.MINUTES).fetchone()
    counts: dict[str, int] = dict(rows.execute(count_queries.COUNT_BY_TYPE, (-FOREVER_MINUTES,)).fetchall())
    begun_us, ended_us = first * MINUTE_US, (last + 1) * MINUTE_US
    return msgspec.structs.replace(
        segment, state="closed", last=head, begun_us=begun_us, ended_us=ended_us, counts=counts
    )


def _put(catalogue: sqlite3.Connection, segment: Segment) -> None:
    catalogue.execute(queries.PUT_SEGMENT, (segment.first, *layout.pack(segment)))
