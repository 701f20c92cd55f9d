"""How checkpoints share their file: chunks are written once, and go with the last that uses them."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bus.address import Address
from bus.messages.base import Position
from bus.refusals import NotFound
from storage.checkpoints import CheckpointStore, Finding
from storage.manifests import ActorState, Changes
from tests.storage.test_checkpoints import LEDGER, actors_at, save_at
from tests.storage.writer import description


async def test_those_that_are_named_stay_and_the_chunks_of_the_others_go(tmp_path: Path) -> None:
    async with CheckpointStore.open(tmp_path) as store:
        for position in range(10, 60, 10):
            await save_at(store, position)
        assert [view.checkpoint for view in await store.list()] == ["c-50", "c-40", "c-30"]
        assert await store.verify() == (Finding("c-50", ""), Finding("c-40", ""), Finding("c-30", ""))
        with pytest.raises(NotFound):
            await store.load("c-10")
    connection = sqlite3.connect(tmp_path / "checkpoints.sqlite")
    assert connection.execute("SELECT count(*) FROM chunks").fetchone() == (3 + 1 + 3,), "states, and lists of actors"
    connection.close()


async def test_chunks_that_a_kill_left_go_with_the_next_save_unless_a_damaged_checkpoint_may_use_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "checkpoints.sqlite"

    def left() -> int:
        with closing(sqlite3.connect(path)) as connection:
            found: int
            (found,) = connection.execute("SELECT count(*) FROM chunks WHERE content = x'00'").fetchone()
            return found

    async with CheckpointStore.open(tmp_path) as store:
        await save_at(store, 10)
        await save_at(store, 20)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO chunks (hash, content) VALUES (?, x'00')", (bytes(32),))
        (sound,) = connection.execute("SELECT hash FROM checkpoints WHERE name = 'c-20'").fetchone()
        connection.execute("UPDATE checkpoints SET hash = ? WHERE name = 'c-20'", (bytes(32),))
        connection.commit()
    async with CheckpointStore.open(tmp_path) as store:
        await store.save(description(), actors_at(30), keep=["c-10", "c-20"])
    assert left() == 1
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE checkpoints SET hash = ? WHERE name = 'c-20'", (sound,))
        connection.commit()
    async with CheckpointStore.open(tmp_path) as store:
        await store.save(description(), actors_at(40), keep=["c-10", "c-20"])
        assert all(finding.problem == "" for finding in await store.verify())
    assert left() == 0


async def test_what_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    async with CheckpointStore.open(tmp_path) as store:
        actors = {
            Address(f"agents/{n}"): ActorState.of(Position(1), Position(0), os.urandom(50_000)) for n in range(40)
        }
        await store.save(description(), actors, keep=())
        wal = tmp_path / "checkpoints.sqlite-wal"
        before = wal.stat().st_size
        actors[Address("agents/7")] = ActorState.of(Position(2), Position(0), os.urandom(50_000))
        view = await store.save(description(), actors, keep=("c-1",))
        assert wal.stat().st_size - before < 200_000
        assert view.size_bytes > 2_000_000
        assert (await store.load("c-2")).actors == actors


async def test_what_did_not_change_is_written_again_where_the_last_checkpoint_is_gone(tmp_path: Path) -> None:
    async with CheckpointStore.open(tmp_path) as store:
        await store.save(description(), actors_at(10), keep=())
        assert await store.prune(()) == ("c-10",)
        await store.save(description(), actors_at(20), keep=(), changes=Changes((), Position(20)))
        found = (await store.load("c-20")).actors
        assert {address: state.state for address, state in found.items()} == {
            address: state.state for address, state in actors_at(20).items()
        }
        assert await store.verify() == (Finding("c-20", ""),)


async def test_a_list_says_of_the_same_checkpoints_the_same_whether_they_were_read_or_remembered(
    tmp_path: Path,
) -> None:
    async with CheckpointStore.open(tmp_path) as store:
        for position in (10, 20, 30):
            await save_at(store, position)
        await store.pin("c-20")
        remembered = await store.list()
        assert [view.is_pinned for view in remembered] == [False, True, False]
    async with CheckpointStore.open(tmp_path) as store:
        assert await store.list() == remembered == await store.list()
        await store.pin("c-20", is_pinned=False)
        assert [view.is_pinned for view in await store.list()] == [False, False, False]
        await store.prune(("c-30",))
        assert [view.checkpoint for view in await store.list()] == ["c-30"]


async def test_one_whose_manifest_is_damaged_is_listed_apart_with_why_and_is_never_the_newest(tmp_path: Path) -> None:
    async with CheckpointStore.open(tmp_path) as store:
        await save_at(store, 10)
        await save_at(store, 20)
    with closing(sqlite3.connect(tmp_path / "checkpoints.sqlite", isolation_level=None)) as connection:
        connection.execute("UPDATE checkpoints SET hash = zeroblob(32) WHERE name = 'c-20'")
    async with CheckpointStore.open(tmp_path) as store:
        page = await store.page()
        assert [view.checkpoint for view in page.checkpoints] == ["c-10"]
        (damaged,) = page.damaged
        assert damaged.checkpoint == "c-20"
        assert Finding("c-20", damaged.problem) == (await store.verify("c-20"))[0]
        assert damaged.problem
        newest = await store.load_newest()
        assert newest is not None
        assert newest.view.checkpoint == "c-10"


async def test_one_at_the_same_position_takes_the_place_of_the_older(tmp_path: Path) -> None:
    async with CheckpointStore.open(tmp_path) as store:
        await store.save(description("first"), actors_at(10), keep=())
        await store.save(description("second"), actors_at(10), keep=("c-10",))
        assert [view.label for view in await store.list()] == ["second"]


async def test_the_pinned_ones_stay_until_they_are_unpinned(tmp_path: Path) -> None:
    async with CheckpointStore.open(tmp_path) as store:
        await save_at(store, 10)
        assert (await store.pin("c-10")).is_pinned
        for position in (20, 30, 40):
            await save_at(store, position, keep=2)
        assert [(view.checkpoint, view.is_pinned) for view in await store.list()] == [
            ("c-40", False),
            ("c-30", False),
            ("c-10", True),
        ]
        assert await store.prune(["c-40"]) == ("c-30",)
        assert (await store.load("c-10")).actors == actors_at(10)
        assert not (await store.pin("c-10", is_pinned=False)).is_pinned
        assert await store.prune(["c-40"]) == ("c-10",)
        assert await store.verify() == (Finding("c-40", ""),)
        with pytest.raises(NotFound):
            await store.pin("c-10")


async def test_the_states_of_unchanged_actors_are_not_looked_at_again(tmp_path: Path) -> None:
    noise = {Address(f"agents/{n}"): os.urandom(5_000) for n in range(200)}
    states = {address: ActorState.of(Position(1), Position(0), state) for address, state in noise.items()}
    async with CheckpointStore.open(tmp_path) as store:
        await store.save(description(), states, keep=())
        later = {address: ActorState(Position(1), Position(0), ()) for address in states}
        changed = Address("agents/7")
        later[changed] = ActorState.of(Position(9), Position(8), b"{}")
        view = await store.save(description(), later, keep=(), changes=Changes((changed,), Position(7)))
        assert view.written_bytes < 100
        assert view.size_bytes > 900_000
        found = await store.load_newest()
        assert found is not None
        assert {address: state.state for address, state in found.actors.items()} == {**noise, changed: b"{}"}
        assert {(state.position, state.cursor) for state in found.actors.values()} == {(7, 0), (9, 8)}
        assert await store.state("c-9", changed) == b"{}"
        with pytest.raises(NotFound, match="agents/none"):
            await store.state("c-9", Address("agents/none"))


async def test_a_save_that_failed_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    async with CheckpointStore.open(tmp_path) as store:
        await save_at(store, 10)
        too_large = {LEDGER: ActorState(Position(20), Position(0), (b"x", "no bytes"))}  # type: ignore[arg-type]  # what fails half way
        with pytest.raises(TypeError):
            await store.save(description(), too_large, keep=())
        assert await store.verify() == (Finding("c-10", ""),)
        await save_at(store, 30)
        assert await store.verify() == (Finding("c-30", ""), Finding("c-10", ""))
