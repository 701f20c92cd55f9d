"""The file that follows the journal."""

import asyncio
from pathlib import Path

import pytest

from bus.messages.base import Position
from storage.events import EventStore
from storage.jsonlines import EventLine, Lines
from storage.mirror import Mirror, follow
from tests.storage.support import opened, records, write


class Over(Exception):
    """The end of the journal is reached."""


def _positions(path: Path) -> list[int]:
    with path.open("rb") as file:
        lines = Lines(file)
        found: list[int] = []
        while some := lines.some():
            found += [line.position for _, line in some if isinstance(line, EventLine)]
    return found


async def _followed(path: Path, store: EventStore) -> list[str]:
    """Follow until the file tells of all; what was warned of."""
    warnings: list[str] = []

    async def committed(position: Position) -> None:
        if position > store.head:
            raise Over

    with pytest.raises(Over):
        await follow(
            path, epoch=store.epoch, head=store.head, read=store.read, committed=committed, warn=warnings.append
        )
    return warnings


async def test_each_committed_event_is_a_line_in_order_and_without_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "mirrors" / "mirror.jsonl"
    async with opened(tmp_path) as store:
        await write(store, records(1, 2_500))
        assert await _followed(path, store) == []
        await write(store, records(2_501, 10))
        assert await _followed(path, store) == []
    assert await asyncio.to_thread(_positions, path) == list(range(1, 2_511))
    assert b'"sealed":' not in path.read_bytes()


@pytest.mark.parametrize("torn", [1, 50, 400, 40_000])
async def test_what_a_crash_tore_is_written_again(tmp_path: Path, torn: int) -> None:
    path = tmp_path / "mirror.jsonl"
    async with opened(tmp_path) as store:
        await write(store, records(1, 300))
        await _followed(path, store)
        whole = path.read_bytes()
        path.write_bytes(whole[:-torn])
        await _followed(path, store)
    assert path.read_bytes() == whole


async def test_a_file_of_another_timeline_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "mirror.jsonl"
    async with opened(tmp_path / "one") as store:
        await write(store, records(1, 30))
        await _followed(path, store)
    before = path.read_bytes()
    async with opened(tmp_path / "shorter") as store:
        await write(store, records(1, 10))
        (warning,) = await _followed(path, store)
        assert "mirror.jsonl.other-1" in warning
    async with opened(tmp_path / "other") as store:
        await write(store, records(1, 20))
        await _followed(path, store)
    assert (tmp_path / "mirror.jsonl.other-1").read_bytes() == before
    assert await asyncio.to_thread(_positions, path) == list(range(1, 21))


def test_what_is_no_mirror_at_all_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "mirror.jsonl"
    path.write_text("something else\nwithout an end")
    with Mirror(path, 1, Position(0)) as mirror:
        assert mirror.position == 0
    assert path.read_text() == "something else\n"
