"""Letting old events go, beside the checkpoints."""

import sqlite3
from collections.abc import Collection
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from bus.address import Address
from bus.envelope import Recorded
from bus.errors import StorageError
from bus.messages.artifacts import ArtifactWritten
from bus.messages.base import ArtifactId, BlobId, Position, TaskId
from storage.checkpoints import CheckpointStore
from storage.contents import Contents
from storage.events import EventStore
from storage.manifests import ActorState
from storage.pruning import Pruner
from storage.retention import Limits
from tests.storage.support import everything, opened, records, write
from tests.storage.writer import description

SIZE = 20


async def test_nothing_goes_that_a_checkpoint_or_a_cursor_in_it_may_need(tmp_path: Path) -> None:
    async with opened(tmp_path, segment_events=SIZE) as store, CheckpointStore.open(tmp_path / "c") as checkpoints:
        for _ in range(10):
            await write(store, records(store.head + 1, 10))
        pruner = Pruner(store, checkpoints, Limits(events=10))
        assert (await pruner.prune(Position(100))).upto == 0
        actors = {
            Address("ledger"): ActorState.of(Position(90), Position(55), b"{}"),
            Address("critic"): ActorState.of(Position(90), Position(0), b"{}"),
        }
        await checkpoints.save(description(), actors, keep=())
        report = await pruner.prune(Position(0))
        assert (report.upto, report.floor) == (40, 55)
        assert report.events + report.kept == 40
        assert next(r.position for r in await everything(store) if not r.event.is_kept) == 41
        assert (await store.verify()).problem == ""


async def test_an_actor_that_had_handled_all_facts_holds_nothing_back_however_old_its_last_one_is(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, segment_events=SIZE) as store, CheckpointStore.open(tmp_path / "c") as checkpoints:
        for _ in range(10):
            await write(store, records(store.head + 1, 10))
        actors = {
            Address("ledger"): ActorState.of(Position(90), Position(5), b"{}"),
            Address("critic"): ActorState.of(Position(90), Position(35), b"{}"),
        }
        for behind, floor in (((), 90), (("critic",), 35), (("ledger", "critic"), 5), (None, 5)):
            described = msgspec.structs.replace(description(), behind=behind)
            await checkpoints.save(described, actors, keep=())
            assert (await Pruner(store, checkpoints, Limits()).prune(Position(1))).floor == floor


def _artifact(position: int, content: bytes) -> Recorded:
    blob = BlobId(sha256(content).hexdigest())
    event = ArtifactWritten(ArtifactId(f"a-{position}"), "n", "text/plain", len(content), blob, "o", TaskId("t-1"), 1)
    return Recorded(event, Position(position), position, Address("artifacts"), Position(0), "", Position(0))


async def _with_contents(store: EventStore, checkpoints: CheckpointStore) -> dict[str, bytes]:
    """A content that only pruned events name, one that a checkpoint names, one that a later event names."""
    contents = {name: f"content of {name}".encode() * 100 for name in ("nobody", "state", "event", "both")}
    kept = {BlobId(sha256(content).hexdigest()): content for content in contents.values()}
    first = [_artifact(number, content) for number, content in enumerate(contents.values(), 1)]
    await write(store, first, kept)
    await write(store, records(5, SIZE - 4))
    await write(store, records(SIZE + 1, 5))
    later = [_artifact(SIZE + 6 + number, contents[name]) for number, name in enumerate(("event", "both"))]
    await write(store, later)
    state = f'{{"a-2":"{sha256(contents["state"]).hexdigest()}","a-4":"{sha256(contents["both"]).hexdigest()}"}}'
    actors = {Address("artifacts"): ActorState.of(Position(SIZE + 5), Position(0), state.encode())}
    await checkpoints.save(description(), actors, keep=())
    return contents


def _contents(directory: Path) -> set[bytes]:
    with closing(sqlite3.connect(directory / "blobs.sqlite")) as connection:
        return {content for (content,) in connection.execute("SELECT content FROM blobs")}


async def test_contents_go_that_nothing_kept_names_and_never_another(tmp_path: Path) -> None:
    async with opened(tmp_path, segment_events=SIZE) as store, CheckpointStore.open(tmp_path / "c") as checkpoints:
        contents = await _with_contents(store, checkpoints)
        report = await Pruner(store, checkpoints, Limits()).prune(Position(SIZE + 5))
        assert (report.upto, report.blobs) == (SIZE, 1)
        assert (await store.verify()).problem == ""
        for name in ("state", "event", "both"):
            assert await store.blob(BlobId(sha256(contents[name]).hexdigest())) == contents[name]
        again = await Pruner(store, checkpoints, Limits()).prune(Position(SIZE + 5))
        assert again.blobs == 0
    assert _contents(tmp_path) == set(contents.values()) - {contents["nobody"]}


@pytest.mark.parametrize("at", range(3))
async def test_a_kill_in_the_middle_leaves_contents_too_many_and_never_one_too_few(tmp_path: Path, at: int) -> None:
    class Killed(Contents):
        """Ends at one of the steps."""

        def __init__(self, contents: Contents) -> None:
            vars(self).update(vars(contents))
            self.steps = 0

        def _step(self) -> None:
            self.steps += 1
            if self.steps > at:
                raise StorageError("killed")

        async def unnamed(self, named: Collection[bytes], apart_from: Collection[Position] = ()) -> set[bytes]:
            self._step()
            return await super().unnamed(named, apart_from)

        async def remove(self, names: Collection[bytes], after: Position) -> int:
            self._step()
            await super().remove(names, after)
            self._step()
            return 0

    async with opened(tmp_path, segment_events=SIZE) as store, CheckpointStore.open(tmp_path / "c") as checkpoints:
        contents = await _with_contents(store, checkpoints)
        store.contents = Killed(store.contents)
        with pytest.raises(StorageError, match="killed"):
            await Pruner(store, checkpoints, Limits()).prune(Position(SIZE + 5))
    wanted = set(contents.values()) - {contents["nobody"]}
    assert _contents(tmp_path) >= wanted
    async with opened(tmp_path, segment_events=SIZE) as store, CheckpointStore.open(tmp_path / "c") as checkpoints:
        await Pruner(store, checkpoints, Limits()).prune(Position(SIZE + 5))
        assert (await store.verify()).problem == ""
    assert _contents(tmp_path) == wanted


async def test_a_content_that_an_event_names_anew_while_it_is_looked_for_stays(tmp_path: Path) -> None:
    async with opened(tmp_path, segment_events=SIZE) as store, CheckpointStore.open(tmp_path / "c") as checkpoints:
        contents = await _with_contents(store, checkpoints)
        nobody = contents["nobody"]
        head = store.head
        unnamed = {sha256(nobody).digest()}
        await write(store, [_artifact(head + 1, nobody)], {BlobId(sha256(nobody).hexdigest()): nobody})
        assert await store.contents.remove(unnamed, head) == 0
        assert await store.blob(BlobId(sha256(nobody).hexdigest())) == nobody
