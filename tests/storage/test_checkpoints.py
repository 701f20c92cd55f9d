"""Checkpoints: saved whole, proved before use, passed over where damaged."""

import asyncio
import random
import shutil
import sqlite3
import subprocess
import sys
import zlib
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path

import pytest

from bus.address import Address
from bus.errors import StorageError
from bus.messages.base import Position
from bus.refusals import NotFound
from storage.checkpoints import CheckpointStore, Finding
from storage.errors import CorruptDatabase, DirectoryInUse, DiskFull, UnknownSchema
from storage.manifests import ActorState, state_hash
from storage.schema import CHECKPOINTS
from tests.storage.writer import description
from tests.support.small_disk import BY_ROOT, fill, small_disk

ROOT = Path(__file__).resolve().parents[2]
LEDGER, SCOUT = Address("ledger"), Address("agents/scout")


def actors_at(position: int, *, size: int = 1_000) -> dict[Address, ActorState]:
    noise = random.Random(position).randbytes(size)
    return {
        LEDGER: ActorState.of(Position(position), Position(position - 1), noise),
        SCOUT: ActorState.of(Position(position - 1), Position(0), b'{"unchanged":true}'),
    }


async def save_at(store: CheckpointStore, position: int, *, keep: int = 3) -> None:
    older = [view.checkpoint for view in await store.list()]
    await store.save(description(f"at {position}"), actors_at(position), keep=older[: keep - 1])


async def test_the_newest_is_loaded_as_it_was_saved_after_opening_again(tmp_path: Path) -> None:
    async with CheckpointStore.open(tmp_path) as store:
        assert await store.load_newest() is None
        await save_at(store, 10)
        await save_at(store, 20)
    async with CheckpointStore.open(tmp_path) as store:
        found = await store.load_newest()
        assert found is not None
        assert found.actors == actors_at(20)
        view = found.view
        assert (view.checkpoint, view.position, view.label, view.reason) == ("c-20", 20, "at 20", "manual")
        assert view.state_hash == state_hash(actors_at(20))
        assert view.actors == {SCOUT: 18, LEDGER: 1_000}
        assert 0 < view.size_bytes < 1_200


@pytest.mark.slow
async def test_a_bit_flipped_in_a_checkpoint_is_found_and_the_older_one_is_used(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    async with CheckpointStore.open(origin) as store:
        await save_at(store, 10)
        await save_at(store, 20)
    sound = (origin / "checkpoints.sqlite").read_bytes()
    connection = sqlite3.connect(origin / "checkpoints.sqlite")
    newest = "SELECT max(id) FROM checkpoints"
    parts = connection.execute(f"SELECT manifest, hash FROM checkpoints WHERE id = ({newest})").fetchone()
    (chunk,) = connection.execute("SELECT content FROM chunks WHERE length(content) > 500 ORDER BY id DESC").fetchone()
    connection.close()
    dice = random.Random(1)
    for _ in range(40):
        part = dice.choice([*parts, chunk])
        offset = sound.index(part) + dice.randrange(len(part))
        damaged = bytearray(sound)
        damaged[offset] ^= 1 << dice.randrange(8)
        (origin / "checkpoints.sqlite").write_bytes(damaged)
        async with CheckpointStore.open(origin) as store:
            (first, second) = await store.verify()
            assert first.problem
            assert second == Finding("c-10", "")
            found = await store.load_newest()
            assert found is not None
            assert found.actors == actors_at(10)
            (warning,) = store.take_warnings()
            assert "c-20 is damaged" in warning


async def test_a_table_an_index_or_a_page_that_is_not_what_was_made_is_found(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints.sqlite"
    for damage in (
        "UPDATE sqlite_master SET sql = replace(sql, 'NOT NULL UNIQUE', 'NOT  NULL UNIQUE') WHERE name = 'chunks'",
        "DELETE FROM sqlite_master WHERE name = 'pins'",
        "UPDATE sqlite_master SET sql = replace(sql, 'hash BLOB', 'hash  BLOB') WHERE name = 'checkpoints'",
    ):
        path.unlink(missing_ok=True)
        async with CheckpointStore.open(tmp_path) as store:
            await save_at(store, 10)
            assert [finding.problem for finding in await store.verify()] == [""]
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            assert connection.execute(damage).rowcount == 1
        async with CheckpointStore.inspect(tmp_path) as store:
            with suppress(StorageError):
                assert any(finding.problem for finding in await store.verify()), damage


async def test_one_that_stands_on_what_the_journal_has_lost_is_passed_over(tmp_path: Path) -> None:
    async with CheckpointStore.open(tmp_path) as store:
        await save_at(store, 10)
        await save_at(store, 20)
        found = await store.load_newest(lambda epoch, position: position <= 15)
        assert found is not None
        assert found.view.checkpoint == "c-10"
        assert "which the journal has lost" in store.take_warnings()[0]
        assert await store.load_newest(lambda epoch, position: False) is None


@pytest.mark.parametrize("content", [b"not a database " * 400, b"SQLite format 3\x00" + b"\xff" * 8_000])
async def test_a_destroyed_file_is_moved_aside_with_a_warning(tmp_path: Path, content: bytes) -> None:
    for times in (1, 2):
        (tmp_path / "checkpoints.sqlite").write_bytes(content)
        async with CheckpointStore.open(tmp_path) as store:
            assert await store.load_newest() is None
            (warning,) = store.take_warnings()
            assert f"moved to {tmp_path}/checkpoints.sqlite.damaged-{times}" in warning
            await save_at(store, 10)
            assert (await store.verify())[0] == Finding("c-10", "")
        assert (tmp_path / f"checkpoints.sqlite.damaged-{times}").read_bytes() == content


def damage_all_but_the_first_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for start in range(4_096, len(content), 4_096):
        content[start : start + 100] = b"\xff" * 100
    path.write_bytes(content)


async def test_a_file_that_is_damaged_under_way_is_replaced_at_the_next_save(tmp_path: Path) -> None:
    async with CheckpointStore.open(tmp_path) as store:
        for position in range(10, 40, 10):
            await store.save(description(), actors_at(position, size=300_000), keep=("c-10", "c-20"))
    damage_all_but_the_first_page(tmp_path / "checkpoints.sqlite")
    async with CheckpointStore.open(tmp_path) as store:
        assert await store.load_newest() is None
        await store.save(description(), actors_at(50), keep=())
        assert store.take_warnings()
        assert [view.checkpoint for view in await store.list()] == ["c-50"]


async def test_who_is_about_to_save_is_told_of_no_older_ones_where_the_file_is_damaged_and_can_save(
    tmp_path: Path,
) -> None:
    async with CheckpointStore.open(tmp_path) as store:
        await save_at(store, 10)
    damage_all_but_the_first_page(tmp_path / "checkpoints.sqlite")
    async with CheckpointStore.open(tmp_path) as store:
        with pytest.raises(CorruptDatabase):
            await store.list()
        assert await store.older() == ()
        await save_at(store, 20)
        assert await store.older() == ("c-20",)
        (warning,) = store.take_warnings()
        assert "was moved to" in warning


@BY_ROOT
async def test_a_damaged_file_whose_place_nothing_can_take_on_a_full_disk_is_replaced_once_there_is_room(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        async with CheckpointStore.open(disk) as store:
            await save_at(store, 10)
        damage_all_but_the_first_page(disk / "checkpoints.sqlite")
        async with CheckpointStore.open(disk) as store:
            ballast = fill(disk)
            for _ in range(3):
                with pytest.raises(DiskFull):
                    await store.save(description(), actors_at(20), keep=())
            with pytest.raises(DiskFull):
                await store.list()
            (warning,) = store.take_warnings()
            assert "was moved to" in warning
            ballast.unlink()
            for position in (30, 40):
                await save_at(store, position)
            assert await store.older() == ("c-40", "c-30")
            assert [finding.problem for finding in await store.verify()] == ["", ""]
            assert store.take_warnings() == ()


async def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    async with CheckpointStore.open(tmp_path) as store:
        await save_at(store, 10)
    connection = sqlite3.connect(tmp_path / "checkpoints.sqlite")
    connection.execute("PRAGMA user_version = 5")
    connection.close()
    with pytest.raises(UnknownSchema, match=r"version 5.*up to 2"):
        async with CheckpointStore.open(tmp_path):
            pass


async def test_others_may_look_while_the_directory_is_held(tmp_path: Path) -> None:
    async with CheckpointStore.open(tmp_path) as store:
        await save_at(store, 10)
        async with CheckpointStore.inspect(tmp_path) as onlooker:
            assert [view.checkpoint for view in await onlooker.list()] == ["c-10"]
            await save_at(store, 20)
            assert [finding.checkpoint for finding in await onlooker.verify()] == ["c-20", "c-10"]
        with pytest.raises(DirectoryInUse):
            async with CheckpointStore.open(tmp_path):
                pass
    async with CheckpointStore.inspect(tmp_path) as onlooker:
        assert len(await onlooker.verify("c-20")) == 1
        with pytest.raises(NotFound):
            await onlooker.verify("c-99")


async def test_where_there_are_no_checkpoints_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        async with CheckpointStore.inspect(tmp_path):
            pass


@pytest.mark.slow
async def test_killed_while_saving_a_sound_one_remains(tmp_path: Path) -> None:
    for kill in range(6):
        acknowledged = await asyncio.to_thread(_save_and_kill, tmp_path, after_lines=1 + kill)
        image = tmp_path / f"image-{kill}"
        await asyncio.to_thread(shutil.copytree, tmp_path / "data", image)
        async with CheckpointStore.open(image) as store:
            found = await store.load_newest()
            assert found is not None
            assert found.view.position >= acknowledged
            assert all(finding.problem == "" for finding in await store.verify())
            assert store.take_warnings() == ()


def _save_and_kill(directory: Path, *, after_lines: int) -> int:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.storage.writer", "checkpoints", str(directory / "data")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(after_lines)]
        process.kill()
    return int(lines[-1])


async def test_a_file_of_version_1_is_read_and_migrated_with_a_copy_put_aside(tmp_path: Path) -> None:
    _write_version_1(tmp_path / "checkpoints.sqlite")
    async with CheckpointStore.inspect(tmp_path) as store:
        assert [view.checkpoint for view in await store.list()] == ["c-4"]
    for _ in range(2):
        async with CheckpointStore.open(tmp_path) as store:
            found = await store.load_newest()
            assert found is not None
            assert found.actors == {LEDGER: ActorState.of(Position(4), Position(3), b'{"old":true}')}
            assert (await store.pin("c-4")).is_pinned
    connection = sqlite3.connect(tmp_path / "checkpoints.sqlite.version-1")
    assert connection.execute("SELECT name FROM checkpoints").fetchall() == [("c-4",)]
    connection.close()
    async with CheckpointStore.open(tmp_path) as store:
        await save_at(store, 10)
        await store.pin("c-4", is_pinned=False)
        assert await store.prune(["c-10"]) == ("c-4",)
        assert await store.verify() == (Finding("c-10", ""),)


def _write_version_1(path: Path) -> None:
    """A file as it was written before: chunks of zlib, a manifest in one, and a table of who uses what."""
    state = b'{"old":true}'
    chunk = sha256(state)
    whole = sha256(b"6 12 ledger " + state).hexdigest()
    manifest = (
        b'{"view":{"checkpoint":"c-4","position":4,"reason":"stop","created_us":1,"run":"main","step":0,"label":"",'
        b'"epoch":1,"config_hash":"","agora_version":"0.1.0","actors":{"ledger":12},"size_bytes":10,'
        b'"state_hash":"%b"},"actors":{"ledger":{"position":4,"cursor":3,"chunks":["%b"]}}}'
    ) % (whole.encode(), chunk.hexdigest().encode())
    connection = sqlite3.connect(path)
    chunks, checkpoints, *_ = CHECKPOINTS.statements  # these two have not changed since
    connection.executescript(
        f"""
        PRAGMA application_id = 0x41474F43;
        PRAGMA user_version = 1;
        {chunks};
        {checkpoints};
        CREATE TABLE uses (
            checkpoint INTEGER NOT NULL, chunk BLOB NOT NULL, PRIMARY KEY (checkpoint, chunk)
        ) STRICT, WITHOUT ROWID;
        """
    )
    connection.execute("INSERT INTO chunks (hash, content) VALUES (?, ?)", (chunk.digest(), zlib.compress(state)))
    row = ("c-4", manifest, sha256(manifest).digest())
    connection.execute("INSERT INTO checkpoints (name, manifest, hash) VALUES (?, ?, ?)", row)
    connection.execute("INSERT INTO uses VALUES (1, ?)", (chunk.digest(),))
    connection.commit()
    connection.close()
