"""What lies beside the rows; tests/storage/test_pruning.py removes it with old events, test_redaction.py for good."""

from hashlib import sha256
from pathlib import Path

from bus.messages.base import Position
from bus.messages.system import ReadEvents
from storage.contents import ROWS_AT_A_TIME
from tests.storage.support import blob, opened, records, write


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
