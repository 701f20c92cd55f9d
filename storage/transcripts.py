"""The completion log on disk: what was asked of models and what they said, each for a while.

Rules: it stands beside the journal and is no part of it: what is lost with a crash are the last moments of it, and
nothing else rests on it. An id belongs to its newest completion: a crash can undo one and give its id anew. What is
older than allowed goes, and the oldest of what is more than allowed; what went leaves nothing in the file.
"""

import sqlite3
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Self

import anyio

from bus.errors import StorageError
from bus.messages.base import Microseconds
from bus.messages.transcripts import TranscriptRow
from storage import queries
from storage.cells import checked
from storage.database import Database, WalKeeper
from storage.errors import CorruptDatabase
from storage.schema import TRANSCRIPTS, check, create_or_check
from storage.transactions import transaction

TRANSCRIPTS_NAME = "completions.sqlite"
PRUNED_AT_A_TIME = 500
"""Rows that one transaction lets go of: some ten milliseconds."""
READ_AT_A_TIME = 200

_Row = tuple[Microseconds, str, str, str, int, bytes, bytes]
"""When it was asked, its id, whose, for what, its size, its summary and its content, as they are stored."""


class TranscriptStore:
    """The log of one data directory."""

    def __init__(self, path: Path, database: Database) -> None:
        self._path = path
        self._database = database
        self._wal = WalKeeper(path)

    @classmethod
    @asynccontextmanager
    async def open(cls, directory: Path) -> AsyncIterator[Self]:
        """Open the log of a directory, made where there is none. Raises StorageError."""
        path = directory / TRANSCRIPTS_NAME
        async with Database(path) as database:
            await database.run(partial(_prepare, path=path))
            yield cls(path, database)

    async def add(self, rows: Sequence[TranscriptRow]) -> None:
        """Keep completions. Raises StorageError."""
        await self._database.run(partial(self._add, rows=rows))

    async def read(self, completion: str) -> bytes | None:
        """A completion, whole; None if it is not kept. Raises StorageError."""
        return await self._database.run(partial(_content, path=self._path, completion=completion))

    async def page(self, agent: str, task: str, before_us: Microseconds, limit: int) -> list[bytes]:
        """Summaries, newest first, of an agent or a task or all. Raises StorageError."""
        query = queries.transcripts(by_agent=bool(agent), by_task=bool(task))
        values = (before_us or queries.INTEGER_MAX, *(value for value in (agent, task) if value), limit)
        rows = await self._database.run(lambda c: c.execute(query, values).fetchall())
        return [summary for (summary,) in checked(rows, list[tuple[bytes]], self._path)]

    async def prune(self, before_us: Microseconds, bytes_max: int) -> int:
        """Let go of what is older, and of the oldest of what is too much; how many went. Raises StorageError."""
        gone = 0
        while removed := await self._database.run(partial(self._prune, before_us=before_us, bytes_max=bytes_max)):
            gone += removed
        return gone

    def _add(self, connection: sqlite3.Connection, *, rows: Sequence[TranscriptRow]) -> None:
        with transaction(connection):
            for row in rows:
                content = zlib.compress(row.content)
                values = (row.completion, row.asked_us, row.agent, row.task, len(content), row.summary, content)
                connection.execute(queries.PUT_TRANSCRIPT, values)
        self._wal.after_commit(connection)

    def _prune(self, connection: sqlite3.Connection, *, before_us: Microseconds, bytes_max: int) -> int:
        (size,) = connection.execute(queries.TRANSCRIPTS_SIZE).fetchone()
        with transaction(connection):
            gone = connection.execute(queries.DROP_TRANSCRIPTS, (before_us, PRUNED_AT_A_TIME)).rowcount
            if not gone and size > bytes_max:
                gone = connection.execute(
                    queries.DROP_OLDEST_TRANSCRIPTS, (size - bytes_max, PRUNED_AT_A_TIME)
                ).rowcount
        self._wal.after_commit(connection)
        return gone


async def kept(directory: Path) -> AsyncGenerator[bytes]:
    """All completions that a directory keeps, whole, oldest first, beside who writes. Raises StorageError."""
    path = directory / TRANSCRIPTS_NAME
    async with Database(path, is_read_only=True) as database:
        await database.run(partial(_check, path=path))
        last = (-queries.INTEGER_MAX, "")
        while rows := await database.run(partial(_after, path=path, last=last)):
            for asked_us, completion, *_, content in rows:
                last = (asked_us, completion)
                yield _inflated(content, path)


async def forget(directory: Path, names: Collection[str]) -> int:
    """Let go for good of what was said in these tasks, by these agents or in these completions; how many went.

    Raises:
        StorageError: the file cannot be used.
    """
    path = directory / TRANSCRIPTS_NAME
    if not await anyio.Path(path).is_file():
        return 0
    async with Database(path) as database:
        await database.run(partial(_prepare, path=path))
        return await database.run(partial(_forget, path=path, names=names))


def _forget(connection: sqlite3.Connection, *, path: Path, names: Collection[str]) -> int:
    gone = 0
    with transaction(connection):
        for name in names:
            gone += connection.execute(queries.FORGET_TRANSCRIPTS, (name,)).rowcount
    WalKeeper(path).empty(connection)
    return gone


def _prepare(connection: sqlite3.Connection, *, path: Path) -> None:
    create_or_check(connection, path, TRANSCRIPTS)
    connection.execute(queries.COMMIT_WITHOUT_WAITING)


def _content(connection: sqlite3.Connection, *, path: Path, completion: str) -> bytes | None:
    rows = connection.execute(queries.TRANSCRIPT, (completion,)).fetchall()
    found = checked(rows, list[tuple[bytes]], path)
    return _inflated(found[0][0], completion) if found else None


def _inflated(content: bytes, name: object) -> bytes:
    try:
        return zlib.decompress(content)
    except zlib.error as error:
        raise StorageError(f"{name}: what is kept of a completion is damaged: {error}") from error


def _check(connection: sqlite3.Connection, *, path: Path) -> None:
    check(connection, path, TRANSCRIPTS)
    (rows,) = connection.execute(queries.TRANSCRIPTS_OUT_OF_ORDER).fetchone()
    if rows:
        raise CorruptDatabase(path, f"{rows} completions in it have no time or no name")


def _after(connection: sqlite3.Connection, *, path: Path, last: tuple[int, str]) -> list[_Row]:
    rows = connection.execute(queries.TRANSCRIPTS_AFTER, (*last, READ_AT_A_TIME)).fetchall()
    return checked(rows, list[_Row], path)
