"""The end of the journal, where it grows: the open segment, the blobs, the epoch, the mark.

Rules: blobs and keys are durable before the events that name them; a batch of events is one transaction of the open
segment; the next segment begins between two batches. A journal that came back shorter than its mark goes on as a new
epoch.

Lives on the writing connection's thread, `rows` apart; that connection is the catalogue's.
"""

import sqlite3
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from bus.clock import Clock
from bus.codec import Catalogue
from bus.envelope import Batch
from bus.messages.base import BlobId, Position
from storage import queries
from storage.blobs import Blobs, named_in
from storage.database import WalKeeper, unless_full
from storage.errors import CorruptJournal
from storage.keys import Keys
from storage.layout import Layout, Segment, epoch_hash
from storage.mark import MARK_NAME, Mark, MarkFile, UnreadableMark, read_mark
from storage.migration import JOURNAL_NAME
from storage.removal import remove
from storage.rows import Rows
from storage.segments import SegmentLimits, Segments
from storage.timeline import Timeline, release
from storage.transactions import transaction

OnClosed = Callable[[Segment, sqlite3.Connection], None]


class JournalEnd:
    """The writing end of one journal."""

    def __init__(
        self, directory: Path, catalogue: Catalogue, clock: Clock, limits: SegmentLimits, on_closed: OnClosed
    ) -> None:
        self.path = directory / JOURNAL_NAME
        self._clock = clock
        self._segments = Segments(self.path, limits)
        self._blobs = Blobs(directory)
        self._keys = Keys(directory)
        self.rows = Rows(catalogue, self._keys.fresh)
        """Makes what `write` takes."""
        self._timeline = Timeline(self.rows)
        self._on_closed = on_closed
        self._mark = MarkFile(directory / MARK_NAME)
        self.epochs: tuple[tuple[int, Position], ...] = ()
        self._warnings: list[str] = []
        self._told: set[str] = set()
        """What is wrong at the moment, and was said."""
        self._untended: sqlite3.Error | OSError | None = None

    @property
    def head(self) -> Position:
        """The last position that is durable."""
        return self._timeline.head

    @property
    def epoch(self) -> int:
        """How often this timeline has lost its end, plus one."""
        return self.epochs[-1][0]

    @property
    def is_open(self) -> bool:
        """Whether it was opened ever."""
        return bool(self.epochs)

    @property
    def layout(self) -> Layout:
        """The segments as they are now."""
        return self._segments.layout

    @property
    def blobs_path(self) -> Path:
        """The file with the blobs."""
        return self._blobs.path

    def take_warnings(self) -> tuple[str, ...]:
        """What was not as it should be; each is given once."""
        taken: list[str] = []
        while self._warnings:  # one by one: the writer's thread may add to them
            taken.append(self._warnings.pop(0))
        return tuple(taken)

    def let_go(self, _: sqlite3.Connection) -> None:
        """Close what is open."""
        self._segments.close()
        self._blobs.close()
        self._keys.close()
        self._mark.close()

    def begin(self, catalogue: sqlite3.Connection) -> None:
        """On the writer's thread: check the files, take up the end, and see whether it came back shorter."""
        self._untended = None
        self._segments.open(catalogue)
        # What was found in a log may never have been synced: a kill or an error came first. To copy it syncs it, before
        # anything rests on it; a sync that has failed once may succeed the next time without having written a byte.
        self._empty_wal(lambda: WalKeeper(self.path).empty(catalogue))
        self._empty_wal(self._segments.empty_wal)
        self._blobs.open()
        self._keys.open()
        self._timeline.load(self._segments.rows, self._segments.path, self.layout.open)
        epochs = [self._checked(row) for row in catalogue.execute(queries.EPOCHS)]
        current = epochs[-1][0] if epochs else 0
        mark = self._read_mark()
        if mark is not None and (mark.position > self.head or mark.epoch > current):
            self._warnings.append(
                f"the journal ends at position {self.head} of epoch {current}, but position {mark.position} of epoch "
                f"{mark.epoch} was reached before: its end is lost; epoch {max(current, mark.epoch) + 1} begins"
            )
            current = max(current, mark.epoch)
            remove(self.layout.directory / self.layout.open.text_name)  # it says what stood at the lost positions
        elif epochs:
            self.epochs = tuple(epochs)
            self._note_head()
            return
        begun_us = self._clock.now_us()
        with transaction(catalogue):
            hash_ = epoch_hash(current + 1, self.head, begun_us)
            catalogue.execute(queries.INSERT_EPOCH, (current + 1, self.head, begun_us, hash_))
        self.epochs = (*epochs, (current + 1, self.head))
        self._note_head()

    def _checked(self, row: tuple[int, int, int, bytes]) -> tuple[int, Position]:
        epoch, after, begun_us, hash_ = row
        if epoch_hash(epoch, after, begun_us) != hash_:
            raise CorruptJournal(self.path, 0, f"epoch {epoch} is not what its hash says")
        return epoch, Position(after)

    def finish(self, _: sqlite3.Connection) -> None:
        """Empty the log, before all is closed. Raises sqlite3.Error."""
        self._empty_wal(self._segments.empty_wal)

    def write(self, catalogue: sqlite3.Connection, batch: Batch, blobs: Mapping[BlobId, bytes]) -> None:
        """Make a batch durable, all or nothing; its blobs and keys before it. Raises sqlite3.Error, CorruptJournal."""
        if self._untended is not None:
            error, self._untended = self._untended, None
            raise error
        if blobs:
            self._blobs.put(blobs)
        self._keys.save()
        self._timeline.write(self._segments.rows, batch)
        self._note_head()
        if self._segments.is_full(self.head):
            self._rotate(catalogue)

    def tend(self, _: sqlite3.Connection, batch: Batch) -> None:
        """What follows a write, while its answer is on its way; an error of it is the next write's."""
        if batch.events[-1].position <= self.head:
            release(batch)
        try:
            self._empty_wal(self._segments.tend)
        except (sqlite3.Error, OSError) as error:
            self._untended = error

    def _rotate(self, catalogue: sqlite3.Connection) -> None:
        """Begin the next segment; where that fails, the open one goes on and the next batch tries again."""
        try:
            closed, rows = self._segments.rotate(catalogue, self.head, self._timeline.heads)
        except (sqlite3.Error, OSError) as error:
            what = f"the next file of the journal cannot be begun: {_reason(error)}; the one that is full goes on"
            self._warn_once("segment", f"{what}, and it is tried again")
            if self._segments.is_in_doubt:
                self._untended = error  # what is written next must not follow a segment that may have ended
            return
        self._told.discard("segment")
        self._timeline.begin(self._segments.path)
        self._on_closed(closed, rows)

    def keep_keys(self, _: sqlite3.Connection, keys: Mapping[int, bytes]) -> None:
        """Take along the keys of personal text that another directory has. Raises sqlite3.Error."""
        self._keys.keep(keys)

    def destroy_keys(self, _: sqlite3.Connection, numbers: Collection[int]) -> int:
        """Destroy keys for good; how many were still there. Raises sqlite3.Error, CorruptDatabase."""
        return self._keys.destroy(numbers)

    def keep_blobs(self, _: sqlite3.Connection, blobs: Mapping[BlobId, bytes]) -> None:
        """Make blobs durable by themselves. Raises sqlite3.Error."""
        self._blobs.put(blobs)

    def remove_blobs(self, _: sqlite3.Connection, names: Collection[bytes], after: Position) -> int:
        """Remove contents that were named by nothing up to a position, but for those that were since.

        Raises sqlite3.Error.
        """
        named: set[bytes] = set()
        for segment in self.layout.between(after, 0):
            if segment.state == "open":
                rows = self._segments.rows.execute(queries.DATA_AFTER, (after,))
                named |= named_in(data for (data,) in rows)
            elif segment.last > after:
                return 0  # a segment ended meanwhile; the next prune looks again
        return self._blobs.remove([name for name in names if name not in named])

    def settle_blobs(self, _: sqlite3.Connection) -> None:
        """Overwrite in the file what was removed. Raises sqlite3.Error."""
        self._blobs.settle()

    def prune(self, catalogue: sqlite3.Connection, upto: Position) -> tuple[Segment, ...]:
        """Let the closed segments up to a position go. Raises sqlite3.Error."""
        return self._segments.prune(catalogue, upto)

    def _empty_wal(self, empty: Callable[[], bool]) -> None:
        with unless_full():
            empty()

    def _read_mark(self) -> Mark | None:
        try:
            return read_mark(self._mark.path)
        except UnreadableMark as error:
            self._warnings.append(
                f"{self._mark.path} cannot be read ({error}); a lost end would go unnoticed this once"
            )
            return None

    def _note_head(self) -> None:
        try:
            self._mark.note(Mark(self.epoch, self.head))
        except OSError as error:
            self._mark.close()
            # The mark lags at worst; an event whose commit stands is not refused because of it.
            what = f"{self._mark.path} cannot be written: {_reason(error)}"
            self._warn_once("mark", f"{what}; a lost end would go unnoticed back to the last time that it could")
        else:
            self._told.discard("mark")

    def _warn_once(self, about: str, text: str) -> None:
        """Until it is over: the same again says nothing new."""
        if about not in self._told:
            self._told.add(about)
            self._warnings.append(text)


def _reason(error: sqlite3.Error | OSError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
