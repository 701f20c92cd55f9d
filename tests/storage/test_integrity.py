"""Proving the journal, and finding whatever is not as it was written."""

import random
import sqlite3
from pathlib import Path

import anyio
import pytest

from bus.messages.base import Position
from storage.errors import CorruptJournal
from storage.integrity import Verification
from tests.storage.support import blob, opened, records, write

EVENTS = 60
FLIPS = 150


async def _verify(directory: Path) -> Verification:
    try:
        async with opened(directory) as store:
            return await store.verify()
    except CorruptJournal as error:
        return Verification(0, 0, Position(error.position), error.reason)


async def _written(directory: Path) -> Path:
    async with opened(directory) as store:
        await write(store, records(1, EVENTS), blob(b"a document of some length"))
    return directory / "journal.sqlite"


async def test_a_sound_journal_is_proved_to_its_end_with_progress(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 4_500), blob(b"content"))
        seen: list[tuple[int, int]] = []
        found = await store.verify(lambda done, head: seen.append((done, head)))
    assert found == Verification(4_500, 1, Position(0), "")
    assert seen == [(2_000, 4_500), (4_000, 4_500), (4_500, 4_500)]


async def test_an_empty_journal_is_sound(tmp_path: Path) -> None:
    assert await _verify(tmp_path) == Verification(0, 0, Position(0), "")


@pytest.mark.slow
async def test_every_flipped_bit_in_rows_and_blobs_is_found(tmp_path: Path) -> None:
    path = await _written(tmp_path)
    sound = path.read_bytes()
    connection = sqlite3.connect(path)
    columns = "data", "sealed", "hash", "correlation", "task", "subject"
    values = [
        value if isinstance(value, bytes) else value.encode()
        for row in connection.execute(f"SELECT {', '.join(columns)} FROM events")
        for value in row
        if value
    ]
    values += [value for row in connection.execute("SELECT hash, content FROM blobs") for value in row]
    connection.close()
    dice = random.Random(7)
    missed: list[tuple[int, int]] = []
    for _ in range(FLIPS):
        value = dice.choice(values)
        start = sound.index(value)
        offset, bit = start + dice.randrange(len(value)), dice.randrange(8)
        damaged = bytearray(sound)
        damaged[offset] ^= 1 << bit
        path.write_bytes(damaged)
        if not (await _verify(tmp_path)).problem:
            missed.append((offset, bit))
    assert missed == []


@pytest.mark.parametrize(
    ("damage", "position", "problem"),
    [
        ("UPDATE events SET time_us = time_us + 1 WHERE position = 17", 17, "not what its hash says"),
        ("UPDATE events SET chain = 1 - chain WHERE position = 17", 17, "not what its hash says"),
        ("UPDATE events SET type = 1 + type % 3 WHERE position = 17", 17, "not what its hash says"),
        ("UPDATE events SET type = 4711 WHERE position = 17", 17, "missing"),
        ("UPDATE events SET sealed = NULL WHERE position = 15", 15, "not what its hash says"),
        ("UPDATE sources SET name = 'mallory' WHERE name = 'ledger'", 4, "not what its hash says"),
        ("DELETE FROM events WHERE position = 17", 17, "missing"),
        ("DELETE FROM events WHERE position < 3", 1, "missing"),
        ("UPDATE events SET position = 400 WHERE position = 17", 17, "missing"),
        ("UPDATE rollup SET events = events + 1", 0, "the rollup differs"),
        ("DELETE FROM rollup", 0, "the rollup differs"),
        ("UPDATE blobs SET content = x'00'", 0, "not what its name says"),
    ],
)
async def test_what_was_changed_is_named_by_its_first_position(
    tmp_path: Path, damage: str, position: int, problem: str
) -> None:
    path = await _written(tmp_path)
    connection = sqlite3.connect(path)
    # The end of the journal is moved along, so that only the walk can notice.
    connection.execute(damage)
    connection.execute("UPDATE chains SET position = (SELECT max(position) FROM events) WHERE position = 60")
    connection.commit()
    connection.close()
    found = await _verify(tmp_path)
    assert problem in found.problem or "end" in found.problem or "last" in found.problem
    if problem in found.problem:
        assert found.position == position


async def test_an_index_that_lost_an_entry_is_found(tmp_path: Path) -> None:
    path = await _written(tmp_path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA writable_schema = ON")
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events_by_task'").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    content = bytearray(path.read_bytes())
    start = (page - 1) * size
    cells = int.from_bytes(content[start + 3 : start + 5], "big")
    content[start + 3 : start + 5] = (cells - 1).to_bytes(2, "big")
    path.write_bytes(content)
    assert (await _verify(tmp_path)).problem != ""


async def test_events_may_be_written_while_the_journal_is_proved(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 5_000), {})
        async with anyio.create_task_group() as tasks:
            found: list[Verification] = []

            async def verify() -> None:
                found.append(await store.verify())

            tasks.start_soon(verify)
            for _ in range(10):
                await write(store, records(store.head + 1, 50), {})
    assert [verification.problem for verification in found] == [""]
