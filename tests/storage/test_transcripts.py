"""The completion log on disk."""

from pathlib import Path

import pytest

from bus.errors import StorageError
from bus.messages.base import AgentId, CompletionId, TaskId
from bus.messages.transcripts import TranscriptRow
from storage.transcripts import TRANSCRIPTS_NAME, TranscriptStore, forget, kept


def row(number: int, *, agent: str = "scout", task: str = "", content: bytes = b"words") -> TranscriptRow:
    name = CompletionId(f"m-{number}")
    return TranscriptRow(name, number * 1_000, AgentId(agent), TaskId(task), f"s{number}".encode(), content)


async def test_what_was_kept_is_read_again_after_the_file_was_closed(tmp_path: Path) -> None:
    async with TranscriptStore.open(tmp_path) as store:
        await store.add([row(1), row(2, content=b"x" * 3_000_000)])
    async with TranscriptStore.open(tmp_path) as store:
        assert await store.read("m-1") == b"words"
        assert await store.read("m-2") == b"x" * 3_000_000
        assert await store.read("m-3") is None


async def test_an_id_belongs_to_its_newest_completion(tmp_path: Path) -> None:
    async with TranscriptStore.open(tmp_path) as store:
        await store.add([row(1)])
        await store.add([row(1, content=b"others")])
        assert await store.read("m-1") == b"others"
        assert await store.page("", "", 0, 10) == [b"s1"]


@pytest.mark.parametrize(
    ("agent", "task", "before_us", "found"),
    [
        ("", "", 0, [b"s4", b"s3", b"s2", b"s1"]),
        ("", "", 3_000, [b"s2", b"s1"]),
        ("editor", "", 0, [b"s3", b"s2"]),
        ("", "t-1", 0, [b"s4", b"s3"]),
        ("editor", "t-1", 0, [b"s3"]),
        ("nobody", "", 0, []),
    ],
)
async def test_summaries_come_newest_first_of_all_an_agent_or_a_task(
    tmp_path: Path, agent: str, task: str, before_us: int, found: list[bytes]
) -> None:
    async with TranscriptStore.open(tmp_path) as store:
        await store.add([row(1), row(2, agent="editor"), row(3, agent="editor", task="t-1"), row(4, task="t-1")])
        assert await store.page(agent, task, before_us, 10) == found
        assert await store.page(agent, task, before_us, 1) == found[:1]


async def test_what_is_too_old_goes_and_leaves_nothing_in_the_file(tmp_path: Path) -> None:
    async with TranscriptStore.open(tmp_path) as store:
        await store.add([row(number, content=f"unforgettable {number}".encode()) for number in range(1, 1_201)])
        assert await store.prune(1_001_000, 10**9) == 1_000
        assert await store.read("m-1000") is None
        assert await store.read("m-1001") is not None


async def test_of_what_is_too_much_the_oldest_goes(tmp_path: Path) -> None:
    async with TranscriptStore.open(tmp_path) as store:
        await store.add([row(number) for number in range(1, 11)])
        size = len(b"words") + 8  # as it is packed
        assert await store.prune(0, 4 * size) == 6
        assert await store.page("", "", 0, 10) == [b"s10", b"s9", b"s8", b"s7"]
        assert await store.prune(0, 4 * size - 1) == 1


async def test_what_a_task_or_an_agent_said_is_forgotten_for_good(tmp_path: Path) -> None:
    async with TranscriptStore.open(tmp_path) as store:
        await store.add([row(1, task="t-1", content=b"a"), row(2, agent="editor", content=b"b"), row(3, content=b"c")])
    assert await forget(tmp_path, {"t-1", "editor", ""}) == 2
    assert [one async for one in kept(tmp_path)] == [b"c"]
    assert await forget(tmp_path, {"m-3"}) == 1
    assert await forget(tmp_path / "elsewhere", {"m-3"}) == 0


async def test_all_of_it_is_read_beside_who_writes_oldest_first(tmp_path: Path) -> None:
    async with TranscriptStore.open(tmp_path) as store:
        await store.add([row(number, content=str(number).encode()) for number in range(450, 0, -1)])
        found = [one async for one in kept(tmp_path)]
    assert found == [str(number).encode() for number in range(1, 451)]


async def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / TRANSCRIPTS_NAME).write_bytes(b"no database at all" * 100)
    with pytest.raises(StorageError):
        async with TranscriptStore.open(tmp_path):
            pass
