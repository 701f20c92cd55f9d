"""Connections on threads of their own."""

import sqlite3
import threading
from functools import partial
from pathlib import Path

import pytest

from storage.database import WAL_BYTES_COPIED, Database, WalKeeper, move_aside, translated, unless_full
from storage.errors import CorruptDatabase, DatabaseFailed, DatabaseLocked, DirectoryNotWritable, DiskFull


def _fill(connection: sqlite3.Connection, rows: int = 1) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS numbers (number INTEGER PRIMARY KEY, filling BLOB)")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO numbers (filling) VALUES (?)", [(bytes(1_000),)] * rows)
    connection.execute("COMMIT")


def _pragma(connection: sqlite3.Connection, *, name: str) -> object:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return value


def _count(connection: sqlite3.Connection) -> int:
    count: int
    (count,) = connection.execute("SELECT count(*) FROM numbers").fetchone()
    return count


async def test_a_unit_of_work_runs_on_the_thread_of_its_connection(tmp_path: Path) -> None:
    async with Database(tmp_path / "a.sqlite") as database:
        first = await database.run(lambda _: threading.get_ident())
        assert first != threading.get_ident()
        assert await database.run(lambda _: threading.get_ident()) == first


async def test_what_is_written_is_synced_and_checkpointed_by_nobody_else(tmp_path: Path) -> None:
    async with Database(tmp_path / "a.sqlite") as database:
        pragmas = {"journal_mode": "wal", "synchronous": 2, "wal_autocheckpoint": 0}
        for name, value in pragmas.items():
            assert await database.run(partial(_pragma, name=name)) == value


async def test_a_full_disk_is_called_one_and_the_transaction_leaves_nothing(tmp_path: Path) -> None:
    async with Database(tmp_path / "a.sqlite") as database:
        await database.run(_fill)
        await database.run(lambda connection: connection.execute("PRAGMA max_page_count = 20").fetchone())
        with pytest.raises(DiskFull, match=r"a\.sqlite"):
            await database.run(lambda connection: _fill(connection, 100))
        await database.run(lambda c: c.in_transaction and c.execute("ROLLBACK"))
        assert await database.run(_count) == 1


async def test_a_file_that_is_no_database_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_bytes(b"these are not the pages of a database" * 100)
    with pytest.raises(CorruptDatabase, match="not a database"):
        async with Database(tmp_path / "a.sqlite"):
            pass


async def test_a_file_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DirectoryNotWritable):
        async with Database(tmp_path / "none" / "a.sqlite"):
            pass


async def test_a_closed_connection_says_so(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.sqlite")
    async with database:
        pass
    with pytest.raises(DatabaseFailed, match="closed"):
        await database.run(_count)


async def test_a_path_with_odd_characters_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a?b#c%20 d.sqlite"
    async with Database(path) as database:
        await database.run(_fill)
    assert path.exists()


async def test_a_write_ahead_log_that_has_grown_is_copied_and_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    wal = tmp_path / "a.sqlite-wal"
    keeper = WalKeeper(path)
    async with Database(path) as database:
        await database.run(_fill)
        assert not await database.run(keeper.after_commit)
        for _ in range(5):
            await database.run(_fill_wal)
            assert wal.stat().st_size > WAL_BYTES_COPIED
            assert await database.run(keeper.after_commit)
            await database.run(_fill)
            assert wal.stat().st_size <= WAL_BYTES_COPIED
            assert not await database.run(keeper.after_commit)
        assert path.stat().st_size > 5 * WAL_BYTES_COPIED


async def test_a_reader_in_the_write_ahead_log_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    keeper = WalKeeper(path)
    async with Database(path) as database, Database(path, is_read_only=True) as reader:
        await database.run(_fill)
        await reader.run(lambda connection: (connection.execute("BEGIN"), _count(connection)))
        await database.run(_fill_wal)
        assert not await database.run(keeper.after_commit)
        await reader.run(lambda connection: connection.execute("COMMIT"))
        await database.run(_fill)
        assert not await database.run(keeper.after_commit)
        await database.run(_fill_wal)
        assert await database.run(keeper.after_commit)
        assert await database.run(keeper.empty)


def _fill_wal(connection: sqlite3.Connection) -> None:
    _fill(connection, WAL_BYTES_COPIED // 1_000)


def _error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("words")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_FULL, DiskFull),
        (sqlite3.SQLITE_IOERR_FSYNC, DatabaseFailed),
        (sqlite3.SQLITE_IOERR_WRITE, DatabaseFailed),
        (sqlite3.SQLITE_BUSY, DatabaseLocked),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, DatabaseLocked),
        (sqlite3.SQLITE_CORRUPT_INDEX, CorruptDatabase),
        (sqlite3.SQLITE_NOTADB, CorruptDatabase),
        (sqlite3.SQLITE_READONLY_DIRECTORY, DirectoryNotWritable),
        (sqlite3.SQLITE_CANTOPEN, DirectoryNotWritable),
        (sqlite3.SQLITE_CONSTRAINT, DatabaseFailed),
    ],
)
def test_an_error_of_sqlite_becomes_the_one_that_says_what_to_do(tmp_path: Path, code: int, kind: type) -> None:
    assert type(translated(_error(code), tmp_path / "a.sqlite")) is kind


def test_a_text_that_is_not_utf8_is_damage(tmp_path: Path) -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises(sqlite3.OperationalError) as undecodable:
        connection.execute("SELECT CAST(x'ff' AS TEXT)").fetchone()
    assert isinstance(translated(undecodable.value, tmp_path / "a"), CorruptDatabase)
    connection.close()


def test_a_damaged_file_keeps_what_it_has_under_a_name_that_nothing_else_has(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    for times in (1, 2):
        path.write_text(f"damaged {times}")
        path.with_name(path.name + "-wal").touch()
        assert move_aside(path) == tmp_path / f"a.sqlite.damaged-{times}"
    assert sorted(left.name for left in tmp_path.iterdir()) == [
        "a.sqlite.damaged-1",
        "a.sqlite.damaged-1-wal",
        "a.sqlite.damaged-2",
        "a.sqlite.damaged-2-wal",
    ]
    assert (tmp_path / "a.sqlite.damaged-1").read_text() == "damaged 1"


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR])
def test_a_log_that_finds_no_room_is_left_for_later_and_any_other_error_is_not(code: int) -> None:
    error = sqlite3.OperationalError("it cannot be copied")
    error.sqlite_errorcode = code
    copied: list[sqlite3.Error] = []

    def copy() -> None:
        raise error

    try:
        with unless_full():
            copy()
    except sqlite3.OperationalError as raised:
        copied.append(raised)
    assert copied == ([] if code == sqlite3.SQLITE_FULL else [error])
