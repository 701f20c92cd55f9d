"""What lies beside the rows; tests/storage/test_pruning.py removes it with old events, test_redaction.py for good."""

from hashlib import sha256
from pathlib import Path

from bus.messages.artifacts import ArtifactWritten
from bus.messages.base import ArtifactId, Position, TaskId
from bus.messages.system import ReadEvents
from storage.contents import ROWS_AT_A_TIME, portions
from tests.storage.support import blob, opened, record, records, write


async def test_rows_come_as_they_are_stored_each_once_and_in_order(tmp_path: Path) -> None:
    count = 2 * ROWS_AT_A_TIME + 5
    async with opened(tmp_path, segment_events=700) as store:
        stored = await write(store, records(1, count))
        found = [event async for some in store.contents.rows(ReadEvents(types=("#",))) for event in some]
        assert tuple(found) == stored
        some = [event.position async for rows in store.contents.rows(ReadEvents(task="t-3")) for event in rows]
        assert some == [event.position for event in stored if event.task == "t-3"]


async def test_a_blob_that_is_named_elsewhere_is_not_among_the_unnamed(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 3), blob(b"one") | blob(b"two"))
        one, two = sha256(b"one").digest(), sha256(b"two").digest()
        assert await store.contents.unnamed(()) == {one, two}
        assert await store.contents.unnamed({one}) == {two}
        assert await store.contents.remove({one}, Position(3)) == 1
        assert await store.contents.unnamed(()) == {two}


def test_contents_are_removed_a_few_at_a_time_and_never_many_bytes() -> None:
    small = {bytes([number]): 20_000 for number in range(40)}
    assert [len(some) for some in portions(small)] == [16, 16, 8]
    large = {bytes([number]): size for number, size in enumerate((200_000, 200_000, 200_000, 4_000_000, 1))}
    assert portions(large) == [[b"\0", b"\1"], [b"\2"], [b"\3"], [b"\4"]]
    assert portions({}) == []


async def test_a_content_that_was_named_again_meanwhile_stays(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        contents = blob(b"one") | blob(b"two")
        await write(store, records(1, 3), contents)
        unnamed = await store.contents.unnamed(())
        (name, _) = contents
        event = ArtifactWritten(ArtifactId("a-1"), "n", "text/plain", 3, name, "o", TaskId("t-1"), 1)
        await write(store, [record(4, event)])
        assert await store.contents.remove(unnamed, Position(3)) == 1
        assert await store.blob(name) == b"one"
        assert await store.contents.remove({bytes(32)}, Position(3)) == 0
