"""Whether the journal on disk is what was written: every row, every blob, every index, every count, every file.

Rules: rows are proved in order, so that the first wrong position is the one that is named: a gap, a row that its hash
does not cover, one that names a blob which is missing or damaged. Where a segment was pruned, its kept rows are proved
on their own chain, and the other chain is taken up at the anchor of the next. Then come what has no position: counts,
SQLite's own structure, the tables themselves, the blobs that nothing names, the epochs. Reads are short and change
nothing; what is committed meanwhile is not looked at. Where old events went meanwhile, what seemed to be missing is no
longer part of the journal: the walk begins again.

It touches the disk for long: it belongs on a thread.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import anyio.from_thread
import anyio.to_thread
import msgspec

from bus.codec import Catalogue, UnknownEvent
from bus.envelope import DATA_FIELD, TYPE_FIELD, EncodedEvent
from bus.errors import StorageError
from bus.messages.base import MAIN_RUN, Position
from bus.messages.system import TextRedacted
from storage import layout as layouts
from storage import queries
from storage.blobs import BLOBS_NAME
from storage.boxes import has_box
from storage.cells import checked, digest
from storage.chain import KEPT, PRUNABLE, row_hash
from storage.database import connect, is_on_a_read_only_disk, translated
from storage.errors import CorruptDatabase, DatabaseLocked, DirectoryNotWritable, DiskFull, FileGone, UnknownSchema
from storage.files import Files
from storage.keeper import indexer
from storage.keys import KEYS_NAME, opener_of
from storage.layout import SEGMENTS_NAME, Layout, Segment, epoch_hash
from storage.migration import JOURNAL_NAME
from storage.schema import BLOBS, JOURNAL, KEYS, SEGMENT, TEXT, Schema, check, unsound

PAGE_ROWS = 2_000
WALKS_MAX = 3
"""Old events go every few minutes at most, and a walk goes past them first."""
PAGE_BLOBS = 16
"""Blobs are large: a page is a few megabytes."""

Progress = Callable[[Position, Position], None]
"""Called with the last position that was proved and the head; on another thread."""
Rows = list[tuple[EncodedEvent, bytes, int]]
Ends = list[tuple[int, Position, bytes]]


class Verification(msgspec.Struct, frozen=True):
    """What was proved, and the first thing that is wrong."""

    events: int
    blobs: int
    position: Position
    """The first position that is wrong; 0 where nothing is, or what is wrong has no position."""
    problem: str
    """Empty when all is as it was written."""


class Wrong(Exception):
    """Something is not as it was written."""

    def __init__(self, position: int, problem: str) -> None:
        super().__init__(problem)
        self.position = Position(position)
        self.problem = problem


async def verify(directory: Path, catalogue: Catalogue, progress: Progress | None = None) -> Verification:
    """Walk the whole journal over connections of its own. Raises StorageError when it cannot be read at all."""
    return await anyio.to_thread.run_sync(partial(_verify, directory, catalogue, progress))


def _verify(directory: Path, catalogue: Catalogue, progress: Progress | None) -> Verification:
    walks = 1
    while True:
        walk = _Walk(directory, catalogue, progress)
        found = _walked(walk)
        if not found.problem or walks == WALKS_MAX or not walk.was_overtaken():
            return found
        walks += 1


def _walked(walk: "_Walk") -> Verification:
    try:
        with closing(walk):
            walk.run()
    except Wrong as wrong:
        return Verification(walk.events, walk.blobs, wrong.position, wrong.problem)
    except UnknownSchema as error:
        return Verification(walk.events, walk.blobs, Position(0), str(error))
    except sqlite3.Error as error:
        found = translated(error, walk.path)
        if isinstance(found, (DiskFull, DatabaseLocked, DirectoryNotWritable)):
            raise found from error
        return Verification(walk.events, walk.blobs, Position(0), str(found))
    except CorruptDatabase as error:
        return Verification(walk.events, walk.blobs, Position(0), str(error))
    except UnicodeDecodeError:  # SQLite quotes a name that is not text any more
        return Verification(walk.events, walk.blobs, Position(0), f"{walk.path.name} is damaged")
    return Verification(walk.events, walk.blobs, Position(0), "")


class _Walk:
    """One walk through all files of a journal."""

    def __init__(self, directory: Path, catalogue: Catalogue, progress: Progress | None) -> None:
        self._directory = directory
        self._catalogue = catalogue
        self._with_blobs = frozenset(catalogue.with_blobs)
        self._sound_blobs: set[str] = set()
        self._damaged_blobs: list[str] = []
        self._redactions: list[tuple[Position, TextRedacted]] = []
        self._progress = progress
        self._head = Position(0)
        self._pruned_to = Position(0)
        self._hashes = {PRUNABLE: b"", KEPT: b""}
        self._positions = {PRUNABLE: 0, KEPT: 0}
        self._keys = Files()
        self._opener = opener_of(self._keys, directory / KEYS_NAME)
        self.path = directory
        """The file that is being read."""
        self.events = 0
        self.blobs = 0

    def run(self) -> None:
        """Prove everything. Raises Wrong, CorruptDatabase, UnknownSchema, StorageError."""
        layout = self._read_layout()
        self._pruned_to = layout.pruned_to
        with closing(self._opened(layout.path(layout.open), SEGMENT)) as rows:
            (head,) = rows.execute(queries.HEAD).fetchall()[0]
        self._head = Position(max(head, layout.open.first - 1))
        self._read_redactions(layout)
        self._read_blobs()  # after the head: a blob is durable before the event that names it
        for number, segment in enumerate(layout.segments):
            following = layout.segments[number + 1] if segment.state != "open" else None
            self._prove_segment(layout, segment, following)
        self._prove_blobs()  # those that no event names
        self._prove_keys()

    def was_overtaken(self) -> bool:
        """Whether old events went since the walk began."""
        try:
            return self._read_layout().pruned_to != self._pruned_to
        except (Wrong, StorageError, sqlite3.Error, UnicodeDecodeError):
            return False  # what is wrong with the catalogue was found

    def close(self) -> None:
        """Let go of the keys."""
        self._keys.close()

    def _read_layout(self) -> Layout:
        path = self._directory / JOURNAL_NAME
        with closing(self._opened(path, JOURNAL)) as catalogue:
            segments: list[Segment] = []
            for content, hash_ in catalogue.execute(queries.SEGMENTS).fetchall():
                try:
                    segments.append(layouts.unpack(content, hash_))
                except ValueError as error:
                    raise Wrong(segments[-1].last + 1 if segments else 1, str(error)) from error
            for epoch, after, begun_us, hash_ in catalogue.execute(queries.EPOCHS).fetchall():
                if epoch_hash(epoch, after, begun_us) != hash_:
                    raise Wrong(0, f"epoch {epoch} is not what its hash says")
            _prove_structure(catalogue, path, JOURNAL)
        if not segments or segments[-1].state != "open":
            raise Wrong(segments[-1].last + 1 if segments else 1, "the catalogue names no open segment")
        return Layout(self._directory / SEGMENTS_NAME, tuple(segments))

    def _prove_segment(self, layout: Layout, segment: Segment, following: Segment | None) -> None:
        for chain, anchor in ((PRUNABLE, segment.prunable), (KEPT, segment.kept)):
            is_known = segment.first > 1 and not (chain == PRUNABLE and self._positions[chain] < 0)
            stood = (self._positions[chain], self._hashes[chain].hex())
            if is_known and stood != (anchor.position, anchor.hash):
                raise Wrong(segment.first, "the segment does not go on where the one before it ends")
            self._positions[chain], self._hashes[chain] = anchor.position, bytes.fromhex(anchor.hash)
        path = layout.path(segment)
        last = segment.last or self._head
        with closing(self._opened(path, SEGMENT)) as rows:
            self._prove_rows(rows, path, segment, last)
            self._prove_ends(rows, path, segment, last)
        if segment.state == "pruned":
            self._positions[PRUNABLE] = -1  # the next segment says where that chain stands
        elif segment.state == "closed":
            self._prove_kept_copy(layout, segment)
        if following is not None and following.first != segment.last + 1:
            raise Wrong(segment.last + 1, "no segment holds it")
        self._prove_text(layout.directory / segment.text_name)

    def _prove_rows(self, rows: sqlite3.Connection, path: Path, segment: Segment, last: Position) -> None:
        done = Position(segment.first - 1)
        for page in _pages(rows, path, done, last):
            for event, stored_hash, chain in page:
                is_pruned = segment.state == "pruned"
                position = Position(event[0] if is_pruned else done + 1)
                if event[0] != position:
                    raise Wrong(position, "the row is missing")
                if chain not in self._hashes or row_hash(self._hashes[chain], chain, event) != stored_hash:
                    raise Wrong(position, "the row is not what its hash says")
                if has_box(event[DATA_FIELD]):
                    self._prove_box(position, event[DATA_FIELD])
                if event[TYPE_FIELD] in self._with_blobs:
                    self._prove_names(event)
                if is_pruned and chain != KEPT:
                    raise Wrong(position, "the row should have been pruned")
                self._hashes[chain], self._positions[chain] = stored_hash, position
                self.events += 1
                done = position
            if self._progress is not None:
                self._progress(done, self._head)
        if segment.state != "pruned" and done != last:
            raise Wrong(done + 1, "the row is missing")

    def _prove_box(self, position: Position, data: bytes) -> None:
        """Personal text is there or was redacted: nothing between."""
        try:
            self._opener.data(data)
        except CorruptDatabase as error:
            raise Wrong(position, f"its personal text cannot be read: {error.reason}") from error
        except FileGone as error:
            raise Wrong(position, f"its personal text cannot be read: {error}") from error

    def _prove_names(self, event: EncodedEvent) -> None:
        """The blobs that an event names are there; where its personal text was redacted, they may have gone with it."""
        position, _, name, version, *_, data, sealed = event
        is_redacted = has_box(data) and any(at > position and _is_meant(event, one) for at, one in self._redactions)
        try:
            found = self._catalogue.decode(name, version, self._opener.data(data), sealed)
        except (UnknownEvent, msgspec.DecodeError):
            return  # the row is what was written; what a program of another version names in it is not known to this
        for blob in self._catalogue.blobs_of(found):
            if blob in self._damaged_blobs:
                raise Wrong(position, f"blob {blob}, which it names, is not what its name says")
            if blob not in self._sound_blobs and not is_redacted:
                raise Wrong(position, f"blob {blob}, which it names, is missing")

    def _prove_ends(self, rows: sqlite3.Connection, path: Path, segment: Segment, last: Position) -> None:
        """What is wrong beside the rows."""
        if segment.state != "open":
            noted = {chain: (position, hash_) for chain, position, hash_ in rows.execute(queries.CHAINS).fetchall()}
            for chain in (PRUNABLE, KEPT) if segment.state == "closed" else (KEPT,):
                if noted.get(chain) != (self._positions[chain], self._hashes[chain]):
                    raise Wrong(0, f"the end of chain {chain} is not the one noted")
        else:
            anchors = {PRUNABLE: segment.prunable, KEPT: segment.kept}
            for chain, position, hash_ in checked(rows.execute(queries.CHAINS).fetchall(), Ends, path):
                if position >= segment.first:
                    is_sound = rows.execute(queries.HASH_AT, (position, chain)).fetchall() == [(hash_,)]
                else:  # nothing was written on this chain since the segment began
                    is_sound = (position, hash_.hex()) == (anchors[chain].position, anchors[chain].hash)
                if not is_sound:
                    raise Wrong(0, f"the end of chain {chain} is not the one noted")
        _prove_rollup(rows, path)
        _prove_structure(rows, path, SEGMENT)

    def _prove_kept_copy(self, layout: Layout, segment: Segment) -> None:
        """The kept rows that wait in their own file for the day when the others go."""
        path = layout.directory / segment.kept_name
        if not path.exists():
            return
        hash_ = bytes.fromhex(segment.kept.hash)
        with closing(self._opened(path, SEGMENT)) as rows:
            for page in _pages(rows, path, Position(segment.first - 1), segment.last):
                for event, stored_hash, chain in page:
                    if chain != KEPT or row_hash(hash_, chain, event) != stored_hash:
                        raise Wrong(event[0], f"the row in {path.name} is not what its hash says")
                    hash_ = stored_hash
            ends = {chain: noted for chain, _, noted in rows.execute(queries.CHAINS)}
            if ends != {KEPT: hash_}:
                raise Wrong(0, f"the end of the kept chain in {path.name} is not the one noted")
            _prove_rollup(rows, path)
            _prove_structure(rows, path, SEGMENT)
        if hash_ != self._hashes[KEPT]:
            raise Wrong(segment.last, f"{path.name} lacks kept rows")

    def _prove_text(self, path: Path) -> None:
        """The index of a segment's text, where it was begun: a kill may have left it without its tables."""
        if not path.exists():
            return
        self.path = path
        # Unlike a reader, an indexer may clear away what a kill left half done.
        opened = connect(path, is_read_only=True) if is_on_a_read_only_disk(path) else indexer(path)
        with closing(opened) as index:
            (tables,) = index.execute(queries.COUNT_TABLES).fetchone()
            if tables:
                check(index, path, TEXT)
                _prove_structure(index, path, TEXT)

    def _opened(self, path: Path, schema: Schema) -> sqlite3.Connection:
        self.path = path
        if not path.exists():
            raise Wrong(0, f"{path.name} is missing")
        connection = connect(path, is_read_only=True)
        try:
            check(connection, path, schema)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prove_keys(self) -> None:
        path = self._directory / KEYS_NAME
        if path.exists():  # a journal that is only looked at may be older than personal text
            with closing(self._opened(path, KEYS)) as keys:
                for block, content, hash_ in keys.execute(queries.ALL_KEYS).fetchall():
                    if digest(content) != hash_:
                        raise Wrong(0, f"block {block} of the keys of personal text is not what its hash says")
                _prove_structure(keys, path, KEYS)

    def _read_redactions(self, layout: Layout) -> None:
        """Whose blobs may be gone. What cannot be read here is found again, and told, when the rows are proved."""
        for segment in layout.segments:
            try:
                with closing(self._opened(layout.path(segment), SEGMENT)) as rows:
                    found = rows.execute(queries.OF_TYPE, (TextRedacted.wire_name,)).fetchall()
                for position, version, data, sealed in found:
                    event = self._catalogue.decode(TextRedacted.wire_name, version, data, sealed)
                    if isinstance(event, TextRedacted):
                        self._redactions.append((position, event))
            except (sqlite3.Error, CorruptDatabase, UnknownSchema, UnknownEvent, Wrong, ValueError):
                continue

    def _read_blobs(self) -> None:
        path = self._directory / BLOBS_NAME
        last = 0
        with closing(self._opened(path, BLOBS)) as contents:
            while rows := contents.execute(queries.BLOBS_AFTER, (last, PAGE_BLOBS)).fetchall():
                anyio.from_thread.check_cancelled()
                for id_, hash_, content in rows:
                    if digest(content) == hash_:
                        self._sound_blobs.add(hash_.hex())
                    else:
                        self._damaged_blobs.append(hash_.hex() if isinstance(hash_, bytes) else str(hash_))
                    last = id_

    def _prove_blobs(self) -> None:
        if self._damaged_blobs:
            raise Wrong(0, f"blob {self._damaged_blobs[0]} is not what its name says")
        path = self._directory / BLOBS_NAME
        with closing(self._opened(path, BLOBS)) as contents:
            _prove_structure(contents, path, BLOBS)
        self.blobs = len(self._sound_blobs)


def _is_meant(event: EncodedEvent, redacted: TextRedacted) -> bool:
    """Whether a redaction was of that event's text; one that names no run is of the journal's own."""
    position, *_, task, agent, run, correlation, _, _, _, _ = event
    wanted = (redacted.task, redacted.agent, redacted.run, redacted.correlation, redacted.position)
    stands = (task, agent, run or MAIN_RUN, correlation, position)
    return all(not one or one == other for one, other in zip(wanted, stands, strict=True))


def _pages(rows: sqlite3.Connection, path: Path, done: Position, last: Position) -> Iterator[Rows]:
    size = PAGE_ROWS
    while done < last:
        anyio.from_thread.check_cancelled()
        try:
            found = rows.execute(queries.ROWS_WITH_CHAIN_AFTER, (done, last, size)).fetchall()
        except sqlite3.Error as error:
            found_wrong = translated(error, path)
            if not isinstance(found_wrong, CorruptDatabase):
                raise
            if size == 1:
                raise Wrong(done + 1, found_wrong.reason) from error
            size = max(1, size // 16)  # closer, until the row itself is found
            continue
        if not found:
            return
        yield [(row[:-2], row[-2], row[-1]) for row in found]
        done = found[-1][0]


def _prove_rollup(rows: sqlite3.Connection, path: Path) -> None:
    (places,) = rows.execute(queries.ROLLUP_DIFFERENCES).fetchone()
    if places:
        raise Wrong(0, f"the rollup differs from the rows of {path.name} in {places} places")


def _prove_structure(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    if problem := unsound(connection, path, schema):
        raise Wrong(0, problem)
