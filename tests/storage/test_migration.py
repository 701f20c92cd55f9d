"""Journals of older programs: each golden file was written by the program of its time."""

import gzip
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from storage.errors import UnknownSchema
from storage.migration import backup_name
from tests.storage.support import blob, everything, opened, records, write

GOLDEN = Path(__file__).parent / "golden"


def _old_journal(directory: Path, version: int) -> bytes:
    content = gzip.decompress((GOLDEN / f"journal-{version}.sqlite.gz").read_bytes())
    (directory / "journal.sqlite").write_bytes(content)
    return content


async def test_a_journal_of_version_1_becomes_segments_and_its_old_file_is_kept(tmp_path: Path) -> None:
    old = _old_journal(tmp_path, 1)
    async with opened(tmp_path) as store:
        assert (store.head, store.epoch) == (75, 1)
        assert await everything(store) == records(1, 75)
        [name] = blob(b"a document of some length")
        assert await store.blob(name) == b"a document of some length"
        assert (await store.verify()).problem == ""
        [warning] = store.take_warnings()
        assert "from version 1 to 2" in warning
        await write(store, records(76, 25))
    assert (tmp_path / backup_name(1)).read_bytes() == old
    async with opened(tmp_path) as store:
        assert store.take_warnings() == ()
        assert await everything(store) == records(1, 100)
        assert (await store.verify()).problem == ""


@pytest.mark.parametrize("step", range(4))
async def test_a_migration_that_was_cut_short_is_done_again(tmp_path: Path, step: int) -> None:
    _old_journal(tmp_path, 1)
    shutil.copy(tmp_path / "journal.sqlite", tmp_path / "untouched")
    async with opened(tmp_path):
        pass
    names = (backup_name(1), "blobs.sqlite", "segments/0000000000000001.sqlite", "journal.sqlite.new")
    for name in names[step:]:
        (tmp_path / name).write_bytes(b"half a file")
    shutil.copy(tmp_path / "untouched", tmp_path / "journal.sqlite")
    async with opened(tmp_path) as store:
        assert await everything(store) == records(1, 75)
        assert (await store.verify()).problem == ""


async def test_an_old_journal_that_was_not_closed_keeps_what_is_in_its_log(tmp_path: Path) -> None:
    _old_journal(tmp_path, 1)
    connection = sqlite3.connect(tmp_path / "journal.sqlite")
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute("INSERT INTO epochs VALUES (2, 75, 1)")
    connection.commit()
    shutil.copytree(tmp_path, tmp_path / "left")
    connection.close()
    async with opened(tmp_path / "left") as store:
        assert (store.head, store.epoch) == (75, 2)


async def test_a_newer_journal_is_refused_with_both_versions_and_nothing_is_made(tmp_path: Path) -> None:
    _old_journal(tmp_path, 1)
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(UnknownSchema, match=r"version 9.*up to 2"):
        async with opened(tmp_path):
            pass
    assert not (tmp_path / "segments").exists()


async def test_a_journal_that_was_killed_in_its_first_moment_is_made_anew(tmp_path: Path) -> None:
    """SQLite writes the first page of a file under a journal of its own, which whoever comes next has to roll back."""
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = PERSIST").fetchone()
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE half (done INTEGER)")
        connection.execute("PRAGMA cache_spill = 1")
        connection.execute("PRAGMA cache_size = 1")
        connection.executemany("INSERT INTO half VALUES (?)", [(number,) for number in range(5_000)])
        shutil.copy(path, tmp_path / "killed")
        shutil.copy(tmp_path / "journal.sqlite-journal", tmp_path / "killed-journal")
        connection.execute("ROLLBACK")
    (tmp_path / "killed").replace(path)
    (tmp_path / "killed-journal").replace(tmp_path / "journal.sqlite-journal")
    with (
        pytest.raises(sqlite3.OperationalError, match="readonly"),
        closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as only,
    ):
        only.execute("PRAGMA user_version").fetchone()
    async with opened(tmp_path) as store:
        assert (store.head, (await store.verify()).problem) == (0, "")
