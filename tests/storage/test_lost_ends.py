"""Files that do not belong together any more: an older copy put back, a commit that nobody heard of.

What was acknowledged is never thrown away because of them, and what is lost is not found again under another's name.
"""

import gzip
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio.to_thread
import pytest

from bus.clock import VirtualClock
from bus.envelope import Batch
from bus.messages.system import SearchEvents, SystemInfo
from storage import queries
from storage.errors import CorruptJournal, DatabaseLocked
from storage.segments import SegmentLimits
from storage.writing import JournalEnd
from tests.storage.support import CATALOGUE, encoded, everything, opened, record, records, segment_path, write

SEGMENT_EVENTS = 50
GOLDEN = Path(__file__).parent / "golden" / "journal-1.sqlite.gz"


def _files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.suffix == ".sqlite"}


@pytest.mark.parametrize("is_pruned", [False, True])
async def test_an_older_catalogue_is_refused_and_no_segment_goes(tmp_path: Path, is_pruned: bool) -> None:
    async with opened(tmp_path, segment_events=SEGMENT_EVENTS) as store:
        for _ in range(12 if is_pruned else 2):
            await write(store, records(store.head + 1, 10))
        if is_pruned:
            await store.prune(store.layout.segments[0].last)
    older = (tmp_path / "journal.sqlite").read_bytes()
    async with opened(tmp_path, segment_events=SEGMENT_EVENTS) as store:
        for _ in range(13):
            await write(store, records(store.head + 1, 10))
        head = store.head
    newer = (tmp_path / "journal.sqlite").read_bytes()
    segments = _files(tmp_path / "segments")
    (tmp_path / "journal.sqlite").write_bytes(older)
    with pytest.raises(CorruptJournal, match="does not name it"):
        async with opened(tmp_path, segment_events=SEGMENT_EVENTS):
            pass
    assert _files(tmp_path / "segments").keys() >= segments.keys()
    (tmp_path / "journal.sqlite").write_bytes(newer)
    async with opened(tmp_path, segment_events=SEGMENT_EVENTS) as store:
        assert (store.head, store.epoch) == (head, 1)
        assert (await store.verify()).problem == ""


@pytest.mark.parametrize("later", [30, 80])
async def test_a_search_finds_nothing_that_was_lost_and_all_that_came_since(tmp_path: Path, later: int) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 100))
    shutil.copyfile(segment_path(tmp_path), tmp_path / "older")
    async with opened(tmp_path) as store:
        await write(store, [record(position, SystemInfo("lost")) for position in range(101, 151)])
        assert len((await store.search(SearchEvents("lost"))).events) == 50
    shutil.copyfile(tmp_path / "older", segment_path(tmp_path))
    async with opened(tmp_path) as store:
        assert (store.head, store.epoch) == (100, 2)
        await write(store, [record(position, SystemInfo("found")) for position in range(101, 101 + later)])
        assert (await store.search(SearchEvents("lost"))).events == ()
        assert len((await store.search(SearchEvents("found", limit=200))).events) == later


async def test_an_index_that_is_ahead_of_the_rows_is_made_anew_also_where_no_mark_tells_of_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 100))
    shutil.copyfile(segment_path(tmp_path), tmp_path / "older")
    async with opened(tmp_path) as store:
        await write(store, [record(position, SystemInfo("lost")) for position in range(101, 151)])
        await store.search(SearchEvents("lost"))
    shutil.copyfile(tmp_path / "older", segment_path(tmp_path))
    (tmp_path / "journal.mark").unlink()
    async with opened(tmp_path) as store:
        await write(store, [record(position, SystemInfo("found")) for position in range(101, 131)])
        assert (await store.search(SearchEvents("lost"))).events == ()
        assert len((await store.search(SearchEvents("found", limit=200))).events) == 30


class Unheard(sqlite3.Connection):
    """A catalogue whose next commit lands, while who made it is told that it did not."""

    is_due = False

    def execute(self, statement: str, *parameters: object) -> sqlite3.Cursor:
        cursor = super().execute(statement, *parameters)  # type: ignore[arg-type]  # as it came
        if statement == queries.COMMIT and self.is_due:
            self.is_due = False
            raise sqlite3.OperationalError("disk I/O error")
        return cursor


@contextmanager
def _writer(directory: Path) -> Iterator[tuple[JournalEnd, Unheard]]:
    catalogue = sqlite3.connect(directory / "journal.sqlite", isolation_level=None, factory=Unheard)
    limits = SegmentLimits(SEGMENT_EVENTS)
    end = JournalEnd(directory, CATALOGUE, VirtualClock(), limits, lambda _, rows: rows.close())
    with closing(catalogue):
        end.begin(catalogue)
        yield end, catalogue
        end.let_go(catalogue)


def _write_in_doubt(directory: Path) -> None:
    """A segment's worth, whose end nobody hears of, and ten more."""
    with _writer(directory) as (end, catalogue):
        end.rows.add(encoded(records(1, SEGMENT_EVENTS)), first := Batch())
        end.rows.add(encoded(records(SEGMENT_EVENTS + 1, 10)), second := Batch())
        catalogue.is_due = True
        end.write(catalogue, first, {})
        with pytest.raises(sqlite3.OperationalError):
            end.write(catalogue, second, {})
        end.let_go(catalogue)
        end.begin(catalogue)
        end.write(catalogue, second, {})


async def test_after_a_segment_whose_beginning_is_in_doubt_nothing_is_written_until_it_is_known(tmp_path: Path) -> None:
    await anyio.to_thread.run_sync(_write_in_doubt, tmp_path)
    async with opened(tmp_path, segment_events=SEGMENT_EVENTS) as store:
        assert [segment.first for segment in store.layout.segments] == [1, SEGMENT_EVENTS + 1]
        assert await everything(store) == records(1, SEGMENT_EVENTS + 10)
        assert (await store.verify()).problem == ""


@pytest.mark.slow
async def test_an_old_journal_that_somebody_reads_is_not_migrated_without_what_is_in_its_log(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(gzip.decompress(GOLDEN.read_bytes()))
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("PRAGMA journal_mode = WAL").fetchone()
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        with closing(sqlite3.connect(path, isolation_level=None)) as writer:
            writer.execute("UPDATE epochs SET begun_us = 42")
            with pytest.raises(DatabaseLocked):
                async with opened(tmp_path):
                    pass
    async with opened(tmp_path) as store:
        assert await everything(store) == records(1, 75)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT begun_us FROM epochs WHERE epoch = 1").fetchall() == [(42,)]
