"""The end of the journal."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from bus.envelope import Batch
from storage.database import WAL_BYTES_COPIED
from tests.storage.support import SmallJournal, blob, records, segment_path, told


def test_segments_end_between_two_batches_and_never_within_one(tmp_path: Path) -> None:
    with closing(SmallJournal(tmp_path, 20)) as journal:
        journal.write(records(1, 70), batch=35)
        segments = journal.view.layout.segments
        assert [(segment.first, segment.last) for segment in segments] == [(1, 35), (36, 70), (71, 0)]
        assert journal.view.head == 70


def test_a_next_segment_that_cannot_be_begun_leaves_the_open_one_as_it_is(tmp_path: Path) -> None:
    with closing(SmallJournal(tmp_path, 20)) as journal:
        journal.write(records(1, 15), batch=15)
        in_the_way = tmp_path / "segments" / "0000000000000031.sqlite"
        (in_the_way / "a directory").mkdir(parents=True)
        journal.write(records(16, 15), batch=15)
        assert len(journal.view.layout.segments) == 1
        (in_the_way / "a directory").rmdir()
        in_the_way.rmdir()
        journal.write(records(31, 15), batch=15)
        assert [segment.first for segment in journal.view.layout.segments] == [1, 46]


def test_blobs_are_kept_by_themselves(tmp_path: Path) -> None:
    with closing(SmallJournal(tmp_path, 20)) as journal:
        journal.keep(blob(b"a document"))
        assert journal.blobs() == [b"a document"]


def test_the_log_of_a_segment_is_copied_when_it_has_grown(tmp_path: Path) -> None:
    rows = segment_path(tmp_path)
    wal = rows.with_name(rows.name + "-wal")
    with closing(SmallJournal(tmp_path, 100_000)) as journal:
        first, last = 1, Batch()
        while wal.stat().st_size <= WAL_BYTES_COPIED:
            last = journal.batch(records(first, 1_000))
            journal.put(last)
            first += 1_000
        before = rows.stat().st_size
        journal.tend(last)
        assert rows.stat().st_size > before
        journal.write(records(first, 10))
        assert wal.stat().st_size <= WAL_BYTES_COPIED, "it is begun anew, and cut"


def test_what_a_kill_left_in_the_logs_is_copied_and_so_synced_before_anything_rests_on_it(tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    (tmp_path / "journal").mkdir()
    with closing(SmallJournal(tmp_path / "journal", 100)) as journal:
        journal.write(told(1, 150))
        journal.keep(blob(b"a document"))
        shutil.copytree(tmp_path / "journal", killed, ignore=shutil.ignore_patterns("*-shm"))
    logs = [killed / f"{name}.sqlite-wal" for name in ("journal", "blobs", "keys", "segments/0000000000000101")]
    assert all(log.stat().st_size for log in logs)
    with closing(SmallJournal(killed, 100)) as journal:
        assert [log.stat().st_size for log in logs] == [0, 0, 0, 0]
        assert (journal.view.head, journal.blobs()) == (150, [b"a document"])


def test_what_fails_after_a_write_is_the_next_ones_error(tmp_path: Path) -> None:
    rows = segment_path(tmp_path)
    wal = rows.with_name(rows.name + "-wal")
    with closing(SmallJournal(tmp_path, 100_000)) as journal:
        first = journal.batch(records(1, 10))
        journal.put(first)
        wal.rename(tmp_path / "aside")
        journal.tend(first)
        (tmp_path / "aside").rename(wal)
        batch = journal.batch(records(11, 10))
        with pytest.raises(FileNotFoundError):
            journal.put(batch)
        journal.put(batch)
        assert journal.view.head == 20
