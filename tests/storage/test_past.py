"""A journal that is only looked at."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from bus.address import Address
from bus.clock import VirtualClock
from bus.messages.base import BlobId, Position
from bus.messages.system import ReadEvents, SearchEvents
from bus.refusals import InvalidField, NotFound
from storage.errors import PrunedMeanwhile
from storage.events import Pruned
from storage.keyring import KeyedFiles
from storage.past import Past, encoded
from storage.reading import View
from tests.storage.support import CATALOGUE, blob, everything, opened, records, write


async def test_what_was_written_is_read_beside_the_writer_and_without_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 2_500), blob(b"content"))
        written = await everything(store)
        async with Past.inspect(tmp_path, CATALOGUE, VirtualClock()) as past:
            assert (past.head, past.oldest, past.epoch) == (2_500, 1, 1)
            await write(store, records(2_501, 1))
    async with Past.inspect(tmp_path, CATALOGUE, VirtualClock()) as past:
        assert past.head == 2_501
        assert past.holds(1, Position(2_501))
        assert not past.holds(1, Position(2_502))
        facts = [record async for batch in past.facts(("#",), None, Position(0), Position(2_500)) for record in batch]
        assert facts == written
        own = [event async for batch in past.own_events(Address("ledger"), Position(9)) for event in batch.events]
        assert own == [record.event for record in written if record.source == "ledger" and record.position > 9]
        rows = [event async for page in past.stored(Position(10), Position(2_400)) for event in page.events]
        assert [row.position for row in rows] == list(range(11, 2_401))
        assert len(encoded(rows[0])) == 14
        (name,) = blob(b"content")
        assert await past.blob(name) == b"content"
        assert [found async for found in past.blobs()] == [blob(b"content")]
        assert len((await past.read(ReadEvents(limit=7))).events) == 7
        assert (await past.summarise(60.0)).head == 2_501


async def test_what_is_not_there_is_not_found_and_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="journal"):
        async with Past.inspect(tmp_path, CATALOGUE, VirtualClock()):
            pass
    async with opened(tmp_path):
        pass
    async with Past.inspect(tmp_path, CATALOGUE, VirtualClock()) as past:
        for name in ("00", "no hex"):
            with pytest.raises(NotFound):
                await past.blob(BlobId(name))
        with pytest.raises(InvalidField):
            await past.read(ReadEvents(limit=0))
        with pytest.raises(InvalidField):
            await past.histogram(0)
        assert [page async for page in past.stored()] == []


class Overtaken(Past):
    """A past whose reads are overtaken, as often as there are prunes, between the look at the segments and the rows."""

    prunes: Sequence[Callable[[], Future[Pruned]]] = ()

    def _view(self, files: KeyedFiles) -> View:
        view = super()._view(files)
        if self.prunes:
            prune, *self.prunes = self.prunes
            prune().result(timeout=10.0)
        return view


@asynccontextmanager
async def _overtaken(directory: Path, *prunes: int) -> AsyncIterator[Overtaken]:
    """The past of ten segments of a hundred events, of which that many are pruned during the reads."""
    loop = asyncio.get_running_loop()
    async with opened(directory, segment_events=100) as store:

        def prune(upto: int) -> Future[Pruned]:
            return asyncio.run_coroutine_threadsafe(store.prune(Position(upto)), loop)

        for first in range(1, 1_001, 50):
            await write(store, records(first, 50))
        async with Overtaken.inspect(directory, CATALOGUE, VirtualClock()) as past:
            assert isinstance(past, Overtaken), "that is what was asked for"
            past.prunes = [partial(prune, upto) for upto in prunes]
            yield past


async def test_a_read_that_prunes_overtake_looks_again(tmp_path: Path) -> None:
    async with _overtaken(tmp_path, 100, 200) as past:
        page = await past.read(ReadEvents(types=("#",), is_newest_first=False, limit=1_000))
        assert [event.position for event in page.events if event.position > 200] == list(range(201, 1_001))
        assert 800 < len(page.events) < 900
        assert not past.prunes


async def test_a_search_that_prunes_overtake_looks_again(tmp_path: Path) -> None:
    async with _overtaken(tmp_path / "data", 100, 200) as past:
        texts = tmp_path / "texts"
        texts.mkdir()
        found = [event.position for event in (await past.search(SearchEvents("number", limit=1_000), texts)).events]
        assert found == [position for position in range(1_000, 200, -1) if position % 7 == 6]
        assert not past.prunes


async def test_who_goes_through_all_events_is_told_that_some_were_pruned_meanwhile(tmp_path: Path) -> None:
    async with _overtaken(tmp_path, 100) as past:
        with pytest.raises(PrunedMeanwhile, match="up to 100 were pruned"):
            assert [page async for page in past.stored()] == []
        with pytest.raises(PrunedMeanwhile):
            assert [batch async for batch in past.facts(("#",), None, Position(50), past.head)] == []
        with pytest.raises(PrunedMeanwhile):
            assert [own async for own in past.own_events(Address("ledger"), Position(0))] == []
        rows = [event async for page in past.stored(Position(100)) for event in page.events]
        assert [row.position for row in rows] == list(range(101, 1_001))
    async with Past.inspect(tmp_path, CATALOGUE, VirtualClock()) as past:
        assert past.oldest == 101
        assert len([event async for page in past.stored(upto=Position(100)) for event in page.events]) < 100
