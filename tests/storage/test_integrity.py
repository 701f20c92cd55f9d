"""Proving the journal, and finding whatever is not as it was written."""

import random
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio
import anyio.from_thread
import pytest

from bus.messages.artifacts import ArtifactWritten
from bus.messages.base import ArtifactId, Position, TaskId
from bus.messages.system import ReadEvents
from bus.messages.tasks import TaskCreated, TaskSpec
from storage.errors import CorruptJournal
from storage.integrity import Verification, verify
from tests.storage.support import CATALOGUE, blob, everything, opened, record, records, segment_path, write

EVENTS = 60
FLIPS = 400
FLIPS_ANYWHERE = 80


async def _verify(directory: Path) -> Verification:
    try:
        async with opened(directory) as store:
            return await store.verify()
    except CorruptJournal as error:
        return Verification(0, 0, Position(error.position), error.reason)


async def _written(directory: Path) -> Path:
    async with opened(directory) as store:
        await write(store, records(1, EVENTS), blob(b"a document of some length"))
    return segment_path(directory)


async def test_a_sound_journal_is_proved_to_its_end_with_progress(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 4_500), blob(b"content"))
        seen: list[tuple[int, int]] = []
        found = await store.verify(lambda done, head: seen.append((done, head)))
    assert found == Verification(4_500, 1, Position(0), "")
    assert seen == [(2_000, 4_500), (4_000, 4_500), (4_500, 4_500)]


async def test_an_empty_journal_is_sound(tmp_path: Path) -> None:
    assert await _verify(tmp_path) == Verification(0, 0, Position(0), "")


async def _with_files(directory: Path) -> None:
    """A journal with files of every kind."""
    async with opened(directory, segment_events=20) as store:
        for number in range(6):
            await write(store, records(store.head + 1, 9), blob(b"a document %d" % number))
            await write(store, [record(store.head + 1, TaskCreated(TaskId("t-1"), TaskSpec("a person's words"), 1))])
        await store.prune(Position(20))


@pytest.mark.slow
async def test_every_flipped_bit_in_rows_indexes_blobs_keys_tables_and_the_catalogue_is_found(tmp_path: Path) -> None:
    await _with_files(tmp_path)
    places = sorted({place for path in _databases(tmp_path) for place in _places(path)})  # the same for each run
    assert len(places) > 500
    dice = random.Random(7)
    missed: list[tuple[str, int, int]] = []
    for _ in range(FLIPS):
        path, start, length = dice.choice(places)
        offset, bit = start + dice.randrange(length), dice.randrange(8)
        sound = path.read_bytes()
        damaged = bytearray(sound)
        damaged[offset] ^= 1 << bit
        path.write_bytes(damaged)
        if not (await verify(tmp_path, CATALOGUE)).problem:
            missed.append((path.name, offset, bit))
        path.write_bytes(sound)
    assert (await verify(tmp_path, CATALOGUE)).problem == ""
    assert missed == []


@pytest.mark.slow
async def test_a_flipped_bit_anywhere_in_a_file_is_found_or_lies_where_nothing_is(tmp_path: Path) -> None:
    sound, copy = tmp_path / "sound", tmp_path / "copy"
    await _with_files(sound)
    answers = await _answers(sound)
    dice = random.Random(8)
    count = 0
    for number in range(FLIPS_ANYWHERE):
        shutil.copytree(sound, copy)
        path = dice.choice([one for one in _databases(copy) if ".text." not in one.name])
        content = bytearray(path.read_bytes())
        content[offset := dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        path.write_bytes(content)
        if (await verify(copy, CATALOGUE)).problem:
            count += 1
        else:
            assert await _answers(copy) == answers, (number, path.name, offset)
        shutil.rmtree(copy)
    assert count > FLIPS_ANYWHERE // 10


async def _answers(directory: Path) -> tuple[object, ...]:
    """What a journal says: all of it, by each of its indexes, its contents, and what it warns of."""
    queries = (
        *(ReadEvents(types=(name,), limit=100) for name in ("task.created", "bid.submitted", "system.info")),
        *(ReadEvents(task=task, limit=100) for task in ("t-1", "t-2")),
        *(ReadEvents(agent="scout", limit=100), ReadEvents(run="r-1", limit=100), ReadEvents(correlation="k-1")),
        ReadEvents(source="ledger", limit=100),
    )
    async with opened(directory, segment_events=20) as store:
        pages = [(await store.read(query)).events for query in queries]
        contents = [await store.blob(name) for number in range(6) for name in blob(b"a document %d" % number)]
        return await everything(store), pages, contents, store.epoch, store.take_warnings()


def _databases(directory: Path) -> list[Path]:
    return [
        directory / "journal.sqlite",
        directory / "blobs.sqlite",
        directory / "keys.sqlite",
        *sorted((directory / "segments").glob("*.sqlite")),
    ]


def _places(path: Path) -> Iterator[tuple[Path, int, int]]:
    """Where in a file the values of its rows are, in the tables and in the indexes, and the words of its tables."""
    content = path.read_bytes()
    with closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        if any(name.startswith("text_") for name in tables):
            return  # an index that is made anew from the rows
        statements = ["SELECT sql FROM sqlite_master", *(f"SELECT * FROM {name}" for name in tables)]
        values = {value for statement in statements for row in connection.execute(statement) for value in row if value}
    for value in values:
        found = value.encode() if isinstance(value, str) else value
        if isinstance(found, bytes) and len(found) > 2:
            for match in re.finditer(re.escape(found), content):
                yield path, match.start(), len(found)


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
    connection = sqlite3.connect(tmp_path / "blobs.sqlite" if "blobs" in damage else path)
    # The end of the journal is moved along, so that only the walk can notice.
    connection.execute(damage)
    if "events" in damage:
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


async def test_events_may_be_pruned_while_the_journal_is_proved(tmp_path: Path) -> None:
    async with opened(tmp_path, segment_events=1_000) as store:
        for first in range(1, 4_001, 1_000):
            await write(store, records(first, 1_000), blob(b"content"))
        upto = Position(2_000)
        pruned: list[int] = []

        def prune_once(_done: Position, _head: Position) -> None:
            if not pruned:
                pruned.append(anyio.from_thread.run(store.prune, upto).events)

        found = await verify(tmp_path, CATALOGUE, prune_once)
        assert pruned[0] > 0
        assert found.problem == ""
        assert found.events == 4_000 - pruned[0]


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("DELETE FROM blocks", "its personal text cannot be read: .*missing"),
        ("UPDATE blocks SET keys = zeroblob(32768)", "its personal text cannot be read: .*not what they were"),
    ],
)
async def test_a_key_that_was_lost_and_not_destroyed_is_found_at_its_event(
    tmp_path: Path, damage: str, problem: str
) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 4))
        await write(store, [record(5, TaskCreated(TaskId("t-1"), TaskSpec("a person's words"), 1))])
    with closing(sqlite3.connect(tmp_path / "keys.sqlite")) as connection:
        connection.execute(damage)
        connection.commit()
    found = await verify(tmp_path, CATALOGUE)
    assert found.position == 5
    assert re.search(problem, found.problem)


@pytest.mark.parametrize(
    ("damage", "problem"), [("DELETE FROM blobs", "is missing"), ("UPDATE blobs SET content = x'00'", "its name says")]
)
async def test_an_event_whose_blob_is_missing_or_damaged_is_named_with_the_blob(
    tmp_path: Path, damage: str, problem: str
) -> None:
    [(name, content)] = blob(b"a document").items()
    artifact = ArtifactWritten(ArtifactId("a-1"), "notes", "text/plain", 10, name, "ana", TaskId(""), 1)
    async with opened(tmp_path) as store:
        await write(store, [*records(1, 4), record(5, artifact), *records(6, 3)], {name: content})
    assert (await verify(tmp_path, CATALOGUE)) == Verification(8, 1, Position(0), "")
    with closing(sqlite3.connect(tmp_path / "blobs.sqlite", isolation_level=None)) as connection:
        connection.execute(damage)
    found = await verify(tmp_path, CATALOGUE)
    assert found.position == 5
    assert name in found.problem
    assert problem in found.problem
