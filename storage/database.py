"""SQLite on threads of its own: one connection that writes, a few that only read.

Rules: a unit of work is one hop to the connection's thread, whatever number of statements it has, since a hop costs
thirty times a statement. One connection writes and checkpoints the write-ahead log, the others never write (SQLite up
to 3.51.2 has a race between connections that do). Automatic checkpoints are off; ours are checked. Reads are short, so
that the write-ahead log can be emptied behind them.
"""

import asyncio
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import aiosqlite
import anyio
import anyio.to_thread

from bus.errors import StorageError
from storage import queries
from storage.errors import CorruptDatabase, DatabaseFailed, DatabaseLocked, DirectoryNotWritable, DiskFull

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

STATEMENTS_CACHED = 256
"""Every statement of a floor stays prepared: inserts come in some forty sizes."""
WAL_BYTES_COPIED = queries.WAL_BYTES
"""Size of the write-ahead log at which it is copied into the database: large enough that a page that several
transactions change is copied once, small enough to be over in some milliseconds."""
ROOM_BYTES_MIN = 1024 * 1024
"""An I/O error with less room than this left is a full disk by another name."""
NOT_FROM_SQLITE = 0
"""Errors of the module itself carry no code; what it finds in a file is a text that is not UTF-8."""


class Database(aiosqlite.Connection):
    """One connection on a thread of its own. `async with` opens and closes it."""

    def __init__(self, path: Path, *, is_read_only: bool = False) -> None:
        super().__init__(partial(connect, path, is_read_only), iter_chunk_size=64)
        self.path = path

    async def __aenter__(self) -> Self:
        """Raises StorageError in its own words."""
        try:
            await super().__aenter__()
        except sqlite3.Error as error:
            # The base class lets its thread end by itself; it must not outlive the loop that it reports to.
            await anyio.to_thread.run_sync(self._thread.join)
            raise await anyio.to_thread.run_sync(translated, error, self.path) from error
        return self

    async def run(self, work: Work[T], then: Work[None] | None = None) -> T:
        """The result of `work(connection)`, run on the thread in one hop. Raises StorageError for SQLite's errors.

        `then` follows on the thread whatever became of the work, while the result is on its way; it raises nothing.
        """
        if self._connection is None or not self._running:
            raise DatabaseFailed(self.path, "the connection is closed")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        # The base class has no public way to run a unit of work; its queue is the one door to the thread.
        self._tx.put_nowait((done, partial(work, self._conn)))
        if then is not None:
            self._tx.put_nowait((None, partial(then, self._conn)))
        try:
            result = await done
        except sqlite3.Error as error:  # looking for room is not for the loop
            raise await anyio.to_thread.run_sync(translated, error, self.path) from error
        except UnicodeDecodeError as error:
            raise CorruptDatabase(self.path, "a name in it is not UTF-8") from error
        return result


class WalKeeper:
    """Copies the write-ahead log of one connection when it has grown. Lives on the connection's thread.

    A log that was copied is not cut but begun anew by the next commit: to write over blocks that are there costs a
    sync half of what new ones do. SQLite cuts what is over its limit then; while a reader stands in the log it grows by
    as much again before the next try.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.with_name(path.name + "-wal")
        self._allowed = WAL_BYTES_COPIED

    def after_commit(self, connection: sqlite3.Connection) -> bool:
        """Copy the log if it has grown; whether all of it was. Raises sqlite3.Error."""
        size = self._file.stat().st_size
        if size <= WAL_BYTES_COPIED:
            self._allowed = WAL_BYTES_COPIED
        if size <= self._allowed:
            return False
        self._allowed = size + WAL_BYTES_COPIED
        return self.copy(connection)

    def copy(self, connection: sqlite3.Connection) -> bool:
        """Copy the log, however small it is; whether all of it was. Raises sqlite3.Error."""
        is_busy, pages, copied = connection.execute(queries.WAL_COPY).fetchone()
        return bool(not is_busy and pages == copied)

    def empty(self, connection: sqlite3.Connection) -> bool:
        """Copy the log into the database and cut it, waiting for nobody; whether it is empty. Raises sqlite3.Error."""
        connection.execute(queries.WAL_COPY).fetchone()
        connection.execute(queries.WAIT_NOT)
        try:
            is_busy, _, _ = connection.execute(queries.WAL_TRUNCATE).fetchone()
        finally:
            connection.execute(queries.WAIT)
        return not is_busy


def is_full(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the disk is full."""
    return _code(error) == sqlite3.SQLITE_FULL


@contextmanager
def unless_full() -> Iterator[None]:
    """Copy a log, or leave it: what is in it is durable, and is copied once there is room for it."""
    try:
        yield
    except sqlite3.Error as error:
        if not is_full(error):
            raise


def translated(error: sqlite3.Error, path: Path) -> StorageError:
    """SQLite's error as one of ours."""
    code = _code(error)
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _has_no_room(path)):
        return DiskFull(path)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DatabaseLocked(path)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return DirectoryNotWritable(path, str(error))
    is_undecodable = code == NOT_FROM_SQLITE and isinstance(error, sqlite3.OperationalError)
    if is_undecodable or code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return CorruptDatabase(path, str(error))
    return DatabaseFailed(path, str(error))


def connect(path: Path, is_read_only: bool = False, *, is_shared: bool = False) -> sqlite3.Connection:
    """A connection with our pragmas; a shared one may go from thread to thread. Raises sqlite3.Error."""
    connection = sqlite3.connect(
        read_only_uri(path) if is_read_only else f"{path.absolute().as_uri()}?mode=rwc",
        uri=True,
        isolation_level=None,
        cached_statements=STATEMENTS_CACHED,
        check_same_thread=not is_shared,
    )
    try:
        for pragma in queries.READER_PRAGMAS if is_read_only else queries.WRITER_PRAGMAS:
            connection.execute(pragma).fetchall()
    except UnicodeDecodeError as error:  # SQLite quotes a name that is not text any more
        connection.close()
        raise sqlite3.OperationalError("a name in it is not UTF-8") from error
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def read_only_uri(path: Path) -> str:
    """What SQLite opens, or attaches, to read a database."""
    mode = "ro"
    if is_on_a_read_only_disk(path) and not path.with_name(path.name + "-wal").exists():
        mode = "ro&immutable=1"  # nobody can write there, and SQLite cannot make the files that readers share
    return f"{path.absolute().as_uri()}?mode={mode}"


def is_on_a_read_only_disk(path: Path) -> bool:
    """Whether nothing at all can be written where a file is, by anyone but the one user to whom modes mean nothing."""
    if not path.exists():
        return False
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return True
    directory = path.parent
    is_ours = directory.stat().st_uid == os.geteuid()
    return is_ours and not os.access(directory, os.W_OK, effective_ids=sys.platform == "linux")


def move_aside(path: Path) -> Path:
    """Let a damaged file keep what it has under another name, where a person may look at it; which name."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):  # they belong to the damaged file; beside a new one they would be taken for its own
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside


def _code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", NOT_FROM_SQLITE)
    return code & 0xFF


def _has_no_room(path: Path) -> bool:
    return shutil.disk_usage(path.parent).free < ROOM_BYTES_MIN
