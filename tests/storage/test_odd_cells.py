"""A cell that holds something of another type than its column: found, and never another error than the storage's own.

SQLite itself refuses to write such a cell. A damaged page may hold one all the same: the type stands in the row.
"""

import re
import shutil
import sqlite3
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest

from bus.address import Address
from bus.errors import StorageError
from bus.messages.base import Position, RunId, TaskId
from bus.messages.system import SearchEvents
from bus.messages.tasks import TaskCreated, TaskSpec
from storage.checkpoints import CHECKPOINTS_NAME, CheckpointStore
from storage.integrity import verify
from storage.manifests import ActorState, Description
from storage.transcripts import TRANSCRIPTS_NAME, TranscriptStore, kept
from tests.storage.asking import OURS, ask_checkpoints, ask_past, ask_store, ask_transcripts
from tests.storage.support import CATALOGUE, blob, opened, record, records, write
from tests.storage.test_transcripts import row

ODD = (None, -7, "text", b"bytes")
CONTENT = blob(b"a document")
NOT_PROVED = ("pins", "transcripts")
"""No hash covers them: what is of its column's type is believed."""
Value = None | int | float | str | bytes
FILES = (
    "journal.sqlite",
    "blobs.sqlite",
    "keys.sqlite",
    CHECKPOINTS_NAME,
    TRANSCRIPTS_NAME,
    "segments/0000000000000041.sqlite",
    "segments/0000000000000001.kept.sqlite",
)


async def _write(directory: Path) -> None:
    async with opened(directory, segment_events=20) as store:
        for first in range(1, 51, 10):
            await write(store, records(first, 9), CONTENT)
            await write(store, [record(first + 9, TaskCreated(TaskId("t-1"), TaskSpec("a person's words"), 1))])
        await store.search(SearchEvents("number"))
        await store.prune(Position(20))
    async with CheckpointStore.open(directory) as checkpoints:
        actors = {Address("ledger"): ActorState(Position(50), Position(50), (b'{"a":1}',))}
        view = await checkpoints.save(Description("manual", 1, RunId("r-1"), 0, "", 1, "", "1"), actors, keep=())
        await checkpoints.pin(view.checkpoint)
    async with TranscriptStore.open(directory) as transcripts:
        await transcripts.add([row(number, task="t-1") for number in range(1, 4)])


def _cells(path: Path) -> list[tuple[str, str]]:
    """The columns of the tables that have rows; a row's own number is of no type but one."""
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return [
            (table, column)
            for (table,) in names
            if not table.startswith("sqlite_") and connection.execute(f"SELECT 1 FROM {table}").fetchone()
            for _, column, type_, _, _, is_key in connection.execute(f"PRAGMA table_info({table})").fetchall()
            if not (is_key and type_ == "INTEGER")
        ]


def _put(path: Path, table: str, column: str, value: Value) -> bool:
    """Write a cell of the first row past all checks; whether it is another one than before."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        schema = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND sql <> ''").fetchall()
        _define(connection, [(name, _loose(sql)) for name, sql in schema])
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        rows = connection.execute(f"SELECT * FROM {table} LIMIT 1")
        names, before = [one[0] for one in rows.description], rows.fetchone()
        same = " AND ".join(f"{name} IS ?" for name in names)
        try:
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {same}", (value, *before))
        except sqlite3.IntegrityError:
            return False  # a key that the table's own structure refuses
        _define(connection, schema)
    return bool(before[names.index(column)] != value)


def _define(connection: sqlite3.Connection, schema: Sequence[tuple[str, str]]) -> None:
    connection.execute("PRAGMA writable_schema = ON")
    for name, sql in schema:
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = ? AND type = 'table'", (sql, name))


def _loose(sql: str) -> str:
    """The table without what its columns must hold."""
    bare = re.sub(r"\b(INTEGER|TEXT|BLOB)\b(?! PRIMARY KEY)|\bNOT NULL\b", "", sql)
    return bare.replace("STRICT, WITHOUT", "WITHOUT").replace("STRICT", "")


def _all(directory: Path) -> Iterator[Awaitable[None]]:
    (content,) = CONTENT
    yield ask_past(directory, content)
    yield ask_checkpoints(directory)
    yield ask_store(directory, content)
    yield ask_transcripts(directory)


def _is_believed(table: str, path: Path) -> bool:
    """Whether a cell of a table that no hash covers is of its column's type."""
    with closing(sqlite3.connect(path)) as connection:
        return table in NOT_PROVED and connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def _is_found(directory: Path, file: str) -> bool:
    try:
        if file == TRANSCRIPTS_NAME:
            async with TranscriptStore.open(directory) as transcripts:
                await transcripts.page("", "", 0, 100)
            async for _ in kept(directory):
                pass
            return False
        if file != CHECKPOINTS_NAME:
            return bool((await verify(directory, CATALOGUE)).problem)
        async with CheckpointStore.inspect(directory) as checkpoints:
            found = await checkpoints.verify()
            return not found or any(finding.problem for finding in found)
    except StorageError:
        return True


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
async def test_a_cell_of_another_type_is_found_and_raises_nothing_but_a_storage_error(
    tmp_path: Path, file: str
) -> None:
    sound, copy = tmp_path / "sound", tmp_path / "copy"
    sound.mkdir()
    await _write(sound)
    missed: list[tuple[str, str, Value]] = []
    count = 0
    for table, column in _cells(sound / file):
        for value in ODD:
            shutil.copytree(sound, copy)
            if _put(copy / file, table, column, value):
                count += 1
                if not await _is_found(copy, file) and not _is_believed(table, copy / file):
                    missed.append((table, column, value))
                for asking in _all(copy):
                    with suppress(*OURS):
                        await asking
            shutil.rmtree(copy)
    assert count >= 2 * len(ODD) - 2
    assert missed == []
