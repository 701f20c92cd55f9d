"""A copy of a directory in one file; tests/actors/commands/test_exchange.py makes one beside a server."""

import asyncio
import os
import sqlite3
import tarfile
from pathlib import Path

import pytest

from bus.clock import VirtualClock
from bus.errors import StorageError
from bus.messages.base import Position
from bus.refusals import NotFound
from storage.backup import BackedUp, back_up
from tests.storage.support import CATALOGUE, blob, everything, opened, records, segment_path, write


def _nobody_looks(done: int, of: int) -> None:
    """No bar."""


async def _backed_up(data: Path, file: Path) -> BackedUp:
    return await back_up(
        data, data / "checkpoints", file, catalogue=CATALOGUE, clock=VirtualClock(), progress=_nobody_looks
    )


async def test_a_copy_is_of_one_moment_while_the_journal_is_written_to(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "backup.tar"
    async with opened(data) as store:
        await write(store, records(1, 5_000), blob(b"content" * 1_000))
        async with asyncio.TaskGroup() as tasks:
            copying = tasks.create_task(_backed_up(data, file))
            while not copying.done():
                await write(store, records(store.head + 1, 50))
        before = await everything(store)
    done = copying.result()
    assert done.events == done.position >= 5_000
    assert (done.blobs, done.checkpoints, done.size_bytes) == (1, 0, file.stat().st_size)
    with tarfile.open(file) as archive:
        archive.extractall(tmp_path / "other", filter="data")
    async with opened(tmp_path / "other") as store:
        assert await everything(store) == before[: done.position]
    assert sorted(await asyncio.to_thread(os.listdir, tmp_path)) == ["backup.tar", "data", "other"]


async def test_a_copy_that_a_prune_overtakes_is_begun_again(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "backup.tar"
    loop = asyncio.get_running_loop()
    async with opened(data, segment_events=100) as store:
        for first in range(1, 501, 50):
            await write(store, records(first, 50))
        prunes = [100, 200]

        def overtaken(done: int, of: int) -> None:
            """Called between two files, on the thread that copies."""
            if prunes and not done % of:
                upto = Position(prunes.pop(0))
                asyncio.run_coroutine_threadsafe(store.prune(upto), loop).result(timeout=10.0)

        done = await back_up(
            data, data / "checkpoints", file, catalogue=CATALOGUE, clock=VirtualClock(), progress=overtaken
        )
        assert not prunes
        assert (done.position, done.events) == (500, len(await everything(store)))
    with tarfile.open(file) as archive:
        archive.extractall(tmp_path / "other", filter="data")
    async with opened(tmp_path / "other") as store:
        assert store.layout.pruned_to == 200


async def test_a_damaged_journal_gives_no_copy(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "backup.tar"
    async with opened(data) as store:
        await write(store, records(1, 50))
    connection = sqlite3.connect(segment_path(data))
    connection.execute("UPDATE events SET correlation = 'changed' WHERE position = 20")
    connection.commit()
    connection.close()
    with pytest.raises(StorageError, match="damaged"):
        await _backed_up(data, file)
    with pytest.raises(NotFound):
        await _backed_up(tmp_path / "none", file)
    assert not file.exists()
