"""A journal that begins with a stretch that was pruned, made anew elsewhere.

What is left of such a stretch are its kept rows, each segment's in a file of its own, and the ends of the two hash
chains from which the next segment goes on. Both are taken over to the byte; what follows is written as it always is.
The states that stand for the pruned events are a checkpoint's, which has to come along.

These calls touch the disk: they belong on a thread.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from bus.envelope import EncodedEvent
from bus.messages.base import Position
from storage import layout, queries
from storage.chain import KEPT, PRUNABLE
from storage.database import connect
from storage.keeper import builder
from storage.layout import SEGMENTS_NAME, Layout, Segment
from storage.migration import JOURNAL_NAME
from storage.schema import JOURNAL, SEGMENT, create_or_check
from storage.syncing import sync
from storage.transactions import transaction

Place = Callable[[Segment, Path], None]
"""Makes the file with the kept rows of a pruned segment at a path."""
KeptRow = tuple[EncodedEvent, bytes]
"""An event and its hash."""


class Beginning(msgspec.Struct, frozen=True):
    """The pruned segments of a journal, and where the next one takes the hash chains up."""

    pruned: tuple[Segment, ...]
    following: Segment
    """As it was before its first row."""

    @property
    def upto(self) -> Position:
        """The last position of which only a kept row can still be there."""
        return self.pruned[-1].last

    @classmethod
    def of(cls, segments: Layout) -> "Beginning | None":
        """That of a journal; None where nothing of it was pruned."""
        pruned = tuple(segment for segment in segments.segments if segment.state == "pruned")
        if not pruned:
            return None
        following = segments.segments[len(pruned)]
        return cls(pruned, Segment(following.first, following.prunable, following.kept))


def begin(into: Path, beginning: Beginning, place: Place) -> None:
    """Make a journal that has these segments and is empty from there on. Raises sqlite3.Error, OSError."""
    directory = into / SEGMENTS_NAME
    directory.mkdir(mode=0o700, parents=True)
    for segment in beginning.pruned:
        place(segment, directory / segment.name)
    following = beginning.following
    path = directory / following.name
    with closing(connect(path)) as rows:
        create_or_check(rows, path, SEGMENT)
        ends = ((PRUNABLE, following.prunable), (KEPT, following.kept))
        rows.execute(
            queries.SET_CHAINS,
            [value for chain, end in ends for value in (chain, end.position, bytes.fromhex(end.hash))],
        )
    sync(directory)
    catalogue_path = into / JOURNAL_NAME
    with closing(connect(catalogue_path)) as catalogue:
        create_or_check(catalogue, catalogue_path, JOURNAL)
        with transaction(catalogue):
            for segment in (*beginning.pruned, following):
                catalogue.execute(queries.PUT_SEGMENT, (segment.first, *layout.pack(segment)))
    sync(into)


def copying(source: Layout) -> Place:
    """Takes the files over from another directory: they never change."""

    def place(segment: Segment, path: Path) -> None:
        shutil.copyfile(source.path(segment), path)
        with path.open("rb+") as written:
            os.fsync(written.fileno())

    return place


def building(rows: Sequence[KeptRow], beginning: Beginning) -> Place:
    """Makes the files from their rows."""
    ends = {
        segment.first: after.kept
        for segment, after in zip(beginning.pruned, (*beginning.pruned[1:], beginning.following), strict=True)
    }

    def place(segment: Segment, path: Path) -> None:
        theirs = [row for row in rows if segment.first <= row[0][0] <= segment.last]
        with closing(builder(path)) as connection:
            create_or_check(connection, path, SEGMENT)
            with transaction(connection):
                types = {name: number for number, name in enumerate(sorted({row[0][2] for row in theirs}), 1)}
                sources = {name: number for number, name in enumerate(sorted({row[0][4] for row in theirs}), 1)}
                for statement, names in ((queries.PUT_TYPE, types), (queries.PUT_SOURCE, sources)):
                    connection.executemany(statement, [(number, name) for name, number in names.items()])
                for event, hash_ in theirs:
                    position, time_us, name, version, source = event[:5]
                    columns = (position, time_us, types[name], version, sources[source], *event[5:], KEPT, hash_)
                    connection.execute(queries.insert_events(1), columns)
                connection.execute(queries.ROLL_UP_ALL)
                end = ends[segment.first]
                connection.execute(queries.PUT_CHAIN, (KEPT, end.position, bytes.fromhex(end.hash)))
        with path.open("rb+") as written:
            os.fsync(written.fileno())

    return place
