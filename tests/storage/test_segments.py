"""Segments: how the journal goes from file to file, and how whole files go."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bus.messages.base import Position
from bus.messages.system import ReadEvents
from storage.errors import CorruptJournal
from tests.storage.support import everything, opened, records, segment_path, write

SIZE = 50


async def test_the_timeline_goes_on_from_file_to_file_and_from_start_to_start(tmp_path: Path) -> None:
    for opening in range(4):
        async with opened(tmp_path, segment_events=SIZE) as store:
            for _ in range(9):
                await write(store, records(store.head + 1, 10))
            assert len(store.layout.segments) == (opening + 1) * 90 // SIZE + 1
    async with opened(tmp_path, segment_events=SIZE) as store:
        assert await everything(store) == records(1, 360)
        assert (await store.verify()).problem == ""
        assert (await store.count("step.completed")) == (51, 360)
        newest = await store.read(ReadEvents(limit=200))
        assert [event.position for event in newest.events] == list(range(360, 160, -1))


async def test_an_epoch_and_positions_survive_a_rotation_that_was_the_last_thing_done(tmp_path: Path) -> None:
    async with opened(tmp_path, segment_events=SIZE) as store:
        await write(store, records(1, SIZE))
        assert store.layout.open.first == SIZE + 1
    async with opened(tmp_path, segment_events=SIZE) as store:
        assert (store.head, store.epoch) == (SIZE, 1)
        await write(store, records(SIZE + 1, 1))
        assert await everything(store) == records(1, SIZE + 1)


async def test_a_segment_that_no_entry_names_is_what_a_kill_left_and_goes(tmp_path: Path) -> None:
    async with opened(tmp_path, segment_events=SIZE) as store:
        await write(store, records(1, SIZE))
    stray = segment_path(tmp_path, SIZE + 2)
    stray.write_bytes(b"half a file")
    async with opened(tmp_path, segment_events=SIZE) as store:
        assert not stray.exists()
        await write(store, records(SIZE + 1, 5))


async def test_pruning_drops_files_and_leaves_what_is_kept(tmp_path: Path) -> None:
    async with opened(tmp_path, segment_events=SIZE) as store:
        for _ in range(20):
            await write(store, records(store.head + 1, 10))
        pruned = await store.prune(Position(120))
        kept = [record for record in records(1, 100) if record.event.is_kept]
        assert (pruned.upto, pruned.events, pruned.kept) == (100, 100 - len(kept), len(kept))
        assert pruned.freed_bytes > 0
        assert await everything(store) == [*kept, *records(101, 100)]
        assert (await store.measure()).oldest == 101
        assert (await store.verify()).problem == ""
        assert not segment_path(tmp_path, 1).exists()
        assert (await store.prune(Position(120))).upto == 0
        assert await store.count("step.completed") == (28, 200)
        await write(store, records(201, 10))
    async with opened(tmp_path, segment_events=SIZE) as store:
        assert await everything(store) == [*kept, *records(101, 110)]
        assert (await store.verify()).problem == ""
        assert (await store.prune(Position(10_000))).upto == 200
        assert (await store.verify()).problem == ""


@pytest.mark.parametrize(
    ("damage", "first", "problem"),
    [
        ("UPDATE events SET correlation = 'x' WHERE position = 9", 1, "not what its hash says"),
        ("DELETE FROM events WHERE chain = 1 AND position = (SELECT max(position) FROM events)", 1, "end of chain"),
        ("UPDATE events SET correlation = 'x' WHERE position = 103", 101, "not what its hash says"),
        ("DELETE FROM events WHERE position = 101", 101, "missing"),
        ("DELETE FROM events WHERE position = 150", 101, "missing"),
    ],
)
async def test_damage_in_pruned_and_closed_segments_is_found(
    tmp_path: Path, damage: str, first: int, problem: str
) -> None:
    async with opened(tmp_path, segment_events=SIZE) as store:
        for _ in range(20):
            await write(store, records(store.head + 1, 10))
        await store.prune(Position(100))
    path = segment_path(tmp_path, first)
    with closing(sqlite3.connect(path if first > 1 else path.with_suffix(".kept.sqlite"))) as connection:
        connection.execute(damage)
        connection.commit()
    async with opened(tmp_path, segment_events=SIZE) as store:
        assert problem in (await store.verify()).problem


async def test_a_missing_segment_is_named_and_a_missing_open_one_refused(tmp_path: Path) -> None:
    async with opened(tmp_path, segment_events=SIZE) as store:
        for _ in range(11):
            await write(store, records(store.head + 1, 10))
    segment_path(tmp_path, 51).rename(tmp_path / "aside")
    async with opened(tmp_path, segment_events=SIZE) as store:
        assert "missing" in (await store.verify()).problem
    segment_path(tmp_path, 101).unlink()
    with pytest.raises(CorruptJournal, match="open segment is missing"):
        async with opened(tmp_path, segment_events=SIZE):
            pass
