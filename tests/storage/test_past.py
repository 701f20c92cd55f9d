"""A journal that is only looked at."""

from pathlib import Path

import pytest

from bus.address import Address
from bus.clock import VirtualClock
from bus.messages.base import BlobId, Position
from bus.messages.system import ReadEvents
from bus.refusals import InvalidField, NotFound
from storage.past import Past, encoded
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


async def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
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
        assert [page async for page in past.stored()] == []
