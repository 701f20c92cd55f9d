"""What is done with a segment once it is closed, beside the writer: its log, its kept rows, the index of its text.

Rules: nothing here is needed for what was acknowledged; whatever is cut short is done again. A file is built under
another name and takes its own when it is whole and durable. All the work is SQLite's own, which needs no interpreter,
so that neither the loop nor the writer is slowed; long work is cut into slices, between which a stop is heard. While
events are written the slices of an index are small, with long pauses between them, and an index that is not whole makes
room for any other work.

Lives on one thread of its own.
"""

import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event
from typing import ParamSpec, TypeVar

from storage import queries
from storage.database import WalKeeper, connect, read_only_uri
from storage.errors import CorruptDatabase
from storage.files import Files
from storage.keys import KEYS_NAME, opener_of
from storage.layout import Layout, Segment
from storage.removal import remove
from storage.schema import SEGMENT, TEXT, create_or_check
from storage.syncing import sync
from storage.transactions import transaction

P = ParamSpec("P")
T = TypeVar("T")

TEXT_SLICE = 5_000
"""Rows that are indexed in one transaction while nothing is written: a tenth of a second."""
TEXT_SLICE_SMALL = 250
"""While events are written: some five milliseconds."""
PAUSE_PER_WORK = 20.0
"""While events are written: what is left to the writer is its disk, its processor and its memory."""
GLANCE_S = 0.01
"""Between two looks at whether they still are."""

Writes = Callable[[], int]
"""How often a write has begun or ended: odd while one goes on."""


class Stopped(Exception):
    """The journal is closing; what was under way is done at the next start."""


class Keeper:
    """The background thread of one journal."""

    def __init__(self, writes: Writes = lambda: 0) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal-keeper")
        self._stop = Event()
        self._writes = writes
        self._waiting: deque[None] = deque()
        """One for each work, indexes apart, that is not begun."""

    def submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Do it after what was submitted before, and before the rest of an index."""
        self._waiting.append(None)
        return self._thread.submit(self._begin, partial(work, *args, **kwargs))

    def submit_index(self, layout: Layout, into: Path | None = None) -> "Future[bool]":
        """As `index_all`, after what was submitted before."""
        return self._thread.submit(self.index_all, layout, into)

    def close(self) -> None:
        """Give up what is under way, and end the thread."""
        self._stop.set()
        self._thread.shutdown(cancel_futures=True)

    def settle(self, layout: Layout, segment: Segment, rows: sqlite3.Connection | None) -> None:
        """Finish a closed segment: empty its log, then make the file of its kept rows and the index of its text.

        Raises sqlite3.Error, OSError, Stopped.
        """
        self._check()
        path = layout.path(segment)
        wal = path.with_name(path.name + "-wal")
        if rows is not None or (wal.exists() and wal.stat().st_size):
            connection = rows if rows is not None else connect(path)
            try:
                WalKeeper(path).empty(connection)
            finally:
                connection.close()
        self.extract_kept(layout, segment)
        self.index_text(layout, segment)

    def extract_kept(self, layout: Layout, segment: Segment) -> None:
        """Make the file that takes the segment's place when it is pruned. Raises sqlite3.Error, OSError."""
        path = layout.directory / segment.kept_name
        if path.exists():
            return
        self._check()
        building = path.with_name(path.name + ".new")
        building.unlink(missing_ok=True)
        with_rows = builder(building)
        try:
            create_or_check(with_rows, building, SEGMENT)
            with_rows.execute(queries.ATTACH, (read_only_uri(layout.path(segment)),))
            with transaction(with_rows):
                for statement in queries.COPY_KEPT:
                    with_rows.execute(statement)
            with_rows.execute(queries.DETACH)
        finally:
            with_rows.close()
        _take_name(building, path)

    def index_all(self, layout: Layout, into: Path | None = None) -> bool:
        """Bring the indexes of all segments up to their rows, here or in another directory.

        Whether they are; if not, other work waits, and there is more to do. Raises sqlite3.Error, OSError, Stopped.
        """
        return all(self.index_text(layout, segment, into) for segment in layout.segments)

    def index_text(self, layout: Layout, segment: Segment, into: Path | None = None) -> bool:
        """Bring the index of a segment's text up to its rows, anew where it is damaged; whether it is.

        Raises sqlite3.Error, OSError, Stopped.
        """
        path = (into or layout.directory) / segment.text_name
        try:
            return self._index_text(layout, segment, path)
        except (CorruptDatabase, sqlite3.DatabaseError) as error:
            if isinstance(error, sqlite3.OperationalError):  # such as a full disk, which is not the index's fault
                raise
            remove(path)
            return self._index_text(layout, segment, path)

    def _index_text(self, layout: Layout, segment: Segment, path: Path) -> bool:
        index = indexer(path)
        keys = Files()
        try:
            create_or_check(index, path, TEXT)
            index.create_function("opened", 1, opener_of(keys, layout.directory.parent / KEYS_NAME).data)
            index.execute(queries.ATTACH, (read_only_uri(layout.path(segment)),))
            (done,) = index.execute(queries.TEXT_PROGRESS).fetchone()
            if done > index.execute(queries.SOURCE_HEAD).fetchone()[0]:
                raise CorruptDatabase(path, "it says what rows did that are not there any more")
            size = TEXT_SLICE_SMALL
            while True:
                self._check()
                writes, began_s = self._writes(), time.monotonic()
                (upto,) = index.execute(queries.SOURCE_NEXT, (done, size)).fetchone()
                if upto is None:
                    return True
                with transaction(index):
                    index.execute(queries.COPY_TEXT, (done, upto))
                    index.execute(queries.SET_TEXT_PROGRESS, (upto,))
                done = upto
                size = TEXT_SLICE
                if self._is_written(writes):
                    size = TEXT_SLICE_SMALL
                    self._give_way((time.monotonic() - began_s) * PAUSE_PER_WORK)
                if self._waiting:
                    return False
        finally:
            index.close()
            keys.close()

    def _is_written(self, writes: int) -> bool:
        """Whether events are written, or were since a look at how often."""
        now = self._writes()
        return now != writes or now % 2 == 1

    def _give_way(self, pause_s: float) -> None:
        """Pause while events are written; for so long at most, so that an index is whole some day."""
        until_s = time.monotonic() + pause_s
        is_written = True
        while is_written and not self._waiting and time.monotonic() < until_s:
            writes = self._writes()
            self._stop.wait(GLANCE_S)
            self._check()
            is_written = self._is_written(writes)

    def _begin(self, work: Callable[[], T]) -> T:
        self._waiting.popleft()
        return work()

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped


def remove_files(layout: Layout, segments: tuple[Segment, ...]) -> int:
    """Remove what segments were stored in before they were pruned; how many bytes that gave back."""
    freed = 0
    for segment in segments:
        for name in (segment.name, segment.text_name):
            path = layout.directory / name
            if path.exists():
                freed += path.stat().st_size
            remove(path)
    return freed


def builder(path: Path) -> sqlite3.Connection:
    """A connection to a file that is synced once it is whole: no syncs, and no log beside it. Raises sqlite3.Error."""
    return _opened(path, queries.BUILDER_PRAGMAS)


def indexer(path: Path) -> sqlite3.Connection:
    """A connection to an index of text, which can be made again, but would look damaged if it were half there.

    Raises sqlite3.Error.
    """
    return _opened(path, queries.INDEXER_PRAGMAS)


def _opened(path: Path, pragmas: tuple[str, ...]) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rwc", uri=True, isolation_level=None)
    for pragma in pragmas:
        connection.execute(pragma).fetchall()
    return connection


def _take_name(building: Path, path: Path) -> None:
    sync(building)
    os.replace(building, path)
    building.with_name(building.name + "-journal").unlink(missing_ok=True)
    sync(path.parent)
