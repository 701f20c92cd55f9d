"""No file can be made any more while the journal is open: the open one goes on, and it is said, once.

A directory stands where the file should be: the one reason that holds for every user.
"""

from pathlib import Path

import anyio

from tests.storage.support import everything, opened, records, segment_path, write

SEGMENT_EVENTS = 50


async def test_where_the_next_segment_cannot_be_begun_the_open_one_goes_on_and_it_is_said_once(tmp_path: Path) -> None:
    in_the_way = [anyio.Path(segment_path(tmp_path, first)) for first in range(51, 121, 10)]
    async with opened(tmp_path, segment_events=SEGMENT_EVENTS) as store:
        for directory in in_the_way:
            await directory.mkdir()
        for _ in range(10):
            await write(store, records(store.head + 1, 10))
        told = store.take_warnings()
        assert ["the next file of the journal cannot be begun" in one for one in told] == [True], told
        assert len(store.layout.segments) == 1
        for directory in in_the_way:
            await directory.rmdir()
        await write(store, records(store.head + 1, 10))
        assert (len(store.layout.segments), store.take_warnings()) == (2, ())
    async with opened(tmp_path, segment_events=SEGMENT_EVENTS) as store:
        assert (store.epoch, store.take_warnings()) == (1, ())
        assert await everything(store) == records(1, 110)
        assert (await store.verify()).problem == ""


async def test_a_mark_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    await anyio.Path(tmp_path / "journal.mark").mkdir()
    async with opened(tmp_path) as store:
        for _ in range(3):
            await write(store, records(store.head + 1, 10))
    told = store.take_warnings()
    assert sum("journal.mark cannot be written: Is a directory" in one for one in told) == 1, told
