"""A journal that begins with a stretch that was pruned; tests/storage/test_prologue.py makes one of lines."""

from functools import partial
from pathlib import Path

import anyio.to_thread
import pytest

from bus.clock import VirtualClock
from bus.messages.base import Position
from storage.beginnings import Beginning, begin, building, copying
from storage.errors import PastPruned
from storage.forks import fork_journal
from storage.past import Past, encoded
from tests.storage.support import CATALOGUE, everything, opened, records, write

SIZE = 20


async def pruned(directory: Path) -> Beginning:
    """A journal of 90 events of which the first forty were pruned."""
    async with opened(directory, segment_events=SIZE) as store:
        for _ in range(9):
            await write(store, records(store.head + 1, 10))
        assert (await store.prune(Position(50))).upto == 40
        beginning = Beginning.of(store.layout)
    assert beginning is not None
    return beginning


async def test_what_was_not_pruned_has_no_such_beginning(tmp_path: Path) -> None:
    async with opened(tmp_path, segment_events=SIZE) as store:
        await write(store, records(1, 50))
        assert Beginning.of(store.layout) is None


@pytest.mark.parametrize("is_copied", [True, False])
async def test_a_journal_is_begun_where_another_was_pruned_to_and_proves_itself(
    tmp_path: Path, is_copied: bool
) -> None:
    beginning = await pruned(tmp_path / "data")
    assert (beginning.upto, beginning.following.first) == (40, 41)
    async with Past.inspect(tmp_path / "data", CATALOGUE, VirtualClock()) as past:
        rows = [event async for page in past.stored(upto=Position(40)) for event in page.events]
        kept = [(encoded(event), event.hash) for event in rows]
        place = copying(past.layout) if is_copied else building(kept, beginning)
        await anyio.to_thread.run_sync(begin, tmp_path / "into", beginning, place)
    async with opened(tmp_path / "into", segment_events=SIZE) as store:
        assert (store.head, store.layout.pruned_to) == (40, 40)
        await write(store, records(41, 30))
        assert (await store.verify()).problem == ""
        assert [one.position for one in await everything(store)][: len(rows)] == [event.position for event in rows]


async def test_a_fork_of_it_has_the_same_rows_and_none_can_be_made_from_before(tmp_path: Path) -> None:
    await pruned(tmp_path / "data")
    async with Past.inspect(tmp_path / "data", CATALOGUE, VirtualClock()) as past:
        fork = partial(fork_journal, past, catalogue=CATALOGUE, clock=VirtualClock(), progress=lambda _done, _of: None)
        await fork(tmp_path / "into", Position(70))
        with pytest.raises(PastPruned, match="the events up to 40 were pruned"):
            await fork(tmp_path / "other", Position(39))
    async with opened(tmp_path / "data") as old, opened(tmp_path / "into") as new:
        assert await everything(new) == [one for one in await everything(old) if one.position <= 70]
        assert new.epoch == 2
