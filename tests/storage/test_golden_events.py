"""Every event that was ever stored can be read, by its type and version, wherever it is read."""

import io
from pathlib import Path

import msgspec
import pytest

from bus.address import Address
from bus.clock import VirtualClock
from bus.codec import Catalogue
from bus.messages.base import Position
from bus.messages.catalogue import EVENTS
from bus.messages.system import JournalPruned, ReadChain, ReadEvents, SearchEvents
from storage.exchange import export_lines, import_lines
from storage.past import Past
from tests.storage.golden_events import Stored, example, golden
from tests.storage.support import encoded, opened, record

CATALOGUE = Catalogue(EVENTS)


@pytest.mark.parametrize("stored", golden(), ids=lambda stored: f"{stored.type}-{stored.version}")
def test_an_event_that_was_stored_is_read(stored: Stored) -> None:
    sealed = stored.sealed.encode() if stored.sealed is not None else None
    event = CATALOGUE.decode(stored.type, stored.version, stored.data.encode(), sealed)
    assert event.wire_name == stored.type
    if event.version == stored.version:
        assert CATALOGUE.encode(event) == (stored.data.encode(), sealed)


def test_every_type_has_a_line_in_its_newest_version() -> None:
    known = {(line.type, line.version) for line in golden()}
    missing = [kind.wire_name for kind in EVENTS if (kind.wire_name, kind.version) not in known]
    assert missing == [], "run `python -m tests.storage.golden_events`"


def test_an_example_has_something_in_every_field() -> None:
    for kind in EVENTS:
        assert CATALOGUE.decode(kind.wire_name, kind.version, *CATALOGUE.encode(example(kind))) == example(kind)


def test_every_older_version_has_an_upcaster_and_an_example() -> None:
    known = {(line.type, line.version) for line in golden()}
    for kind in EVENTS:
        assert len(kind.upcasters) == kind.version - 1, kind.wire_name
        assert {(kind.wire_name, version) for version in range(1, kind.version)} <= known


async def test_an_event_of_an_older_version_has_the_fields_of_today_in_queries_recovery_and_imports(
    tmp_path: Path,
) -> None:
    old = next(line for line in golden() if (line.type, line.version) == ("journal.pruned", 1))
    assert "blobs" not in old.data
    today = JournalPruned(**{**msgspec.json.decode(old.data), "blobs": 0})
    (row,) = encoded([record(1, today, correlation="k")])
    async with opened(tmp_path / "data") as store:
        await store.copy([(*row[:3], 1, *row[4:12], old.data.encode(), None)])
    file = io.BytesIO()
    async with Past.inspect(tmp_path / "data", CATALOGUE, VirtualClock()) as past:
        (page,) = [page async for page in past.stored()]
        assert (page.events[0].version, page.events[0].data) == (1, old.data.encode()), "the row itself never changes"
        assert (await past.read(ReadEvents())).events[0].version == 2
        await export_lines(past, file, has_sealed=True, progress=lambda _done, _of: None)
    file.seek(0)
    imported = await import_lines(
        file,
        tmp_path / "into",
        checkpoints=tmp_path / "into" / "checkpoints",
        catalogue=CATALOGUE,
        clock=VirtualClock(),
        progress=lambda _done, _of: None,
    )
    assert imported.problems == ()
    for directory in ("data", "into"):
        async with opened(tmp_path / directory) as store:
            (read,) = (await store.read(ReadEvents())).events
            (found,) = (await store.search(SearchEvents("1"))).events or (read,)
            chained = (await store.chain(ReadChain(Position(1)))).event
            for event in (read, found, chained):
                assert (event.version, CATALOGUE.decode(event.type, 2, event.data)) == (2, today)
            (own,) = [batch async for batch in store.own_events(Address(read.source), Position(0))]
            assert own.events == [today]
            assert (await store.verify()).problem == ""
