"""The file that follows the journal."""

import asyncio
from pathlib import Path

import pytest

from bus.messages.base import Position
from bus.messages.system import SystemInfo
from storage.events import EventStore
from storage.jsonlines import EventLine, Lines
from storage.mirror import FIRST, Mirror, follow
from tests.storage.support import opened, record, records, write


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


@pytest.mark.parametrize(
    "content",
    [b"something else\nwithout an end", b"not a line", b'{"agora":"settings"}\n', b'{"position":"one"}\n', b"\n"],
)
def test_what_is_no_mirror_at_all_is_put_aside_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mirror.jsonl"
    path.write_bytes(content)
    with Mirror(path, 1, Position(0)) as mirror:
        assert mirror.position == 0
        assert Path(mirror.put_aside).read_bytes() == content
    assert path.read_bytes().startswith(FIRST)


async def test_a_file_whose_end_a_loss_of_power_overwrote_is_put_aside_and_told_anew(tmp_path: Path) -> None:
    path = tmp_path / "mirror.jsonl"
    async with opened(tmp_path) as store:
        await write(store, records(1, 300))
        await _followed(path, store)
        whole = path.read_bytes()
        damaged = whole[:-900] + bytes(899) + b"\n"
        path.write_bytes(damaged)
        (warning,) = await _followed(path, store)
    assert "mirror.jsonl.other-1" in warning
    assert path.read_bytes() == whole.replace(b'"head":0', b'"head":300', 1)
    assert (tmp_path / "mirror.jsonl.other-1").read_bytes() == damaged


@pytest.mark.parametrize("torn", range(0, 90, 11))
def test_a_first_line_that_a_crash_tore_is_written_again(tmp_path: Path, torn: int) -> None:
    path = tmp_path / "mirror.jsonl"
    with Mirror(path, 1, Position(0)):
        whole = path.read_bytes()
    path.write_bytes(whole[:torn])
    with Mirror(path, 1, Position(0)) as mirror:
        assert not mirror.put_aside
    assert path.read_bytes() == whole


async def test_where_all_was_pruned_that_the_file_lacks_it_goes_on_after_that(tmp_path: Path) -> None:
    path = tmp_path / "mirror.jsonl"
    pruned = [record(position, SystemInfo("old")) for position in range(1, 21)]
    async with opened(tmp_path, segment_events=20) as store:
        await write(store, pruned)
        await store.prune(Position(20))
        assert await _followed(path, store) == []
        assert await asyncio.to_thread(_positions, path) == []
        await write(store, records(21, 5))
        (warning,) = await _followed(path, store)
    assert "lacks the events before position 21" in warning
    assert await asyncio.to_thread(_positions, path) == list(range(21, 26))
