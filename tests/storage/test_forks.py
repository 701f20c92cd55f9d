"""Another directory that goes on from a position of this one."""

import sqlite3
from pathlib import Path

import pytest

from bus.address import Address
from bus.clock import VirtualClock
from bus.errors import BadUsage, StorageError
from bus.messages.base import BlobId, Position
from storage.checkpoints import CheckpointStore
from storage.forks import check_empty, fork_checkpoints, fork_journal
from storage.manifests import ActorState
from storage.past import Past
from tests.storage.support import CATALOGUE, blob, everything, opened, records, write
from tests.storage.writer import description


def _nobody_looks(done: int, of: int) -> None:
    """No bar."""


async def _fork(data: Path, into: Path, upto: int) -> None:
    clock = VirtualClock()
    async with Past.inspect(data, CATALOGUE, clock) as past:
        await fork_journal(past, into, Position(upto), catalogue=CATALOGUE, clock=clock, progress=_nobody_looks)


async def test_a_fork_holds_the_events_up_to_a_position_and_their_blobs_in_a_new_epoch(tmp_path: Path) -> None:
    data, into = tmp_path / "data", tmp_path / "into"
    async with opened(data) as store:
        await write(store, records(1, 1_500), blob(b"content"))
        written = await everything(store)
    await _fork(data, into, 1_234)
    async with opened(into) as store:
        assert (store.head, store.epoch, store.take_warnings()) == (1_234, 2, ())
        assert await everything(store) == written[:1_234]
        (name,) = blob(b"content")
        assert await store.blob(BlobId(name)) == b"content"
        assert not store.holds(1, Position(1_235))
        assert (await store.verify()).problem == ""
    await _fork(into, tmp_path / "again", 1_234)
    async with opened(tmp_path / "again") as store:
        assert store.epoch == 3


async def test_the_checkpoints_that_stand_on_nothing_later_come_along(tmp_path: Path) -> None:
    data, into = tmp_path / "data", tmp_path / "into"
    async with opened(data) as store:
        await write(store, records(1, 60))
    async with CheckpointStore.open(data / "checkpoints") as checkpoints:
        for position in (10, 20, 30, 40):
            state = ActorState.of(Position(position), Position(0), b"{}")
            names = [view.checkpoint for view in await checkpoints.list()]
            await checkpoints.save(description(f"at {position}"), {Address("ledger"): state}, keep=names)
        await checkpoints.pin("c-10")
    async with Past.inspect(data, CATALOGUE, VirtualClock()) as past:
        taken = await fork_checkpoints(past, data / "checkpoints", into, Position(30))
        assert await fork_checkpoints(past, data / "none", into, Position(30)) == ()
    assert taken == ("c-30", "c-20", "c-10")
    async with CheckpointStore.open(into) as checkpoints:
        assert [(view.label, view.is_pinned) for view in await checkpoints.list()] == [
            ("at 30", False),
            ("at 20", False),
            ("at 10", True),
        ]
        assert all(finding.problem == "" for finding in await checkpoints.verify())


async def test_what_does_not_fit_its_hash_is_not_copied(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with opened(data) as store:
        await write(store, records(1, 50))
    connection = sqlite3.connect(data / "segments" / "0000000000000001.sqlite")
    connection.execute("UPDATE events SET correlation = 'changed' WHERE position = 20")
    connection.commit()
    connection.close()
    with pytest.raises(StorageError, match="agora verify"):
        await _fork(data, tmp_path / "into", 30)


async def test_a_position_that_is_not_there_and_a_directory_that_is_not_empty_are_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with opened(data) as store:
        await write(store, records(1, 5))
    for upto in (0, 6):
        with pytest.raises(BadUsage, match="there is no position"):
            await _fork(data, tmp_path / "into", upto)
    await check_empty(tmp_path / "into")
    with pytest.raises(BadUsage, match="not empty"):
        await check_empty(data)
