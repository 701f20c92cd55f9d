"""Reading threads and the files that they have open."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from storage.errors import DirectoryNotWritable, FileGone
from storage.files import Files
from storage.readers import Readers


def _made(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO numbers VALUES (1)")
        connection.commit()
    return path


def _count(files: Files, path: Path) -> int:
    count: int
    (count,) = files.get(path).execute("SELECT count(*) FROM numbers").fetchone()
    return count


async def test_a_reader_sees_what_is_committed_and_cannot_write(tmp_path: Path) -> None:
    path = _made(tmp_path / "a.sqlite")
    async with Readers(path, 2) as readers:
        assert await readers.run(lambda files: _count(files, path)) == 1
        with pytest.raises(DirectoryNotWritable):
            await readers.run(lambda files: files.get(path).execute("INSERT INTO numbers VALUES (2)"))


async def test_a_read_that_finds_no_free_thread_waits_for_one(tmp_path: Path) -> None:
    path = _made(tmp_path / "a.sqlite")
    gate = threading.Event()

    def blocked(files: Files) -> int:
        gate.wait(5)
        return _count(files, path)

    async with Readers(path, 1) as readers, asyncio.TaskGroup() as tasks:
        slow = tasks.create_task(readers.run(blocked))
        quick = tasks.create_task(readers.run(lambda files: _count(files, path)))
        await asyncio.sleep(0)
        assert not quick.done()
        gate.set()
    assert (slow.result(), quick.result()) == (1, 1)


async def test_a_file_that_is_forgotten_is_opened_anew(tmp_path: Path) -> None:
    path = _made(tmp_path / "a.sqlite")
    async with Readers(path, 2) as readers:
        assert await readers.run(lambda files: _count(files, path)) == 1
        await readers.forget([path])
        path.unlink()
        with pytest.raises(FileGone):
            await readers.run(lambda files: _count(files, path))


async def test_a_file_is_let_go_of_by_a_thread_that_reads_as_soon_as_it_has_read(tmp_path: Path) -> None:
    path = _made(tmp_path / "a.sqlite")
    begun, gate = threading.Event(), threading.Event()

    def slow(files: Files) -> None:
        _count(files, path)
        begun.set()
        gate.wait(10)

    async with Readers(path, 2) as readers:
        reading = asyncio.create_task(readers.run(slow))
        await asyncio.to_thread(begun.wait, 10)
        forgetting = asyncio.create_task(readers.forget([path]))
        gate.set()
        await asyncio.gather(reading, forgetting)
        path.unlink()
        for _ in range(2):  # whichever thread it is
            with pytest.raises(FileGone):
                await readers.run(lambda files: _count(files, path))
