"""Asking the journal, against a model that filters a list."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.address import Address
from bus.envelope import StoredEvent
from bus.messages.base import Event, Position, RunId
from bus.messages.system import EventPage, ReadEvents
from bus.refusals import InvalidField
from bus.topics import matches_any
from storage import reading
from storage.reading import View
from tests.storage.support import CATALOGUE, START_US, SmallJournal, records, segment_path, set_back_journal

EVENTS = 120
HOUR_US = 3_600_000_000
Journal = tuple[View, tuple[StoredEvent, ...]]
QUERIES = st.builds(
    ReadEvents,
    types=st.sampled_from(
        [(), ("#",), ("task.*",), ("*.started", "bid.submitted"), ("step.started",), ("nothing.*",), ("*.*", "x")]
    ),
    source=st.sampled_from(["", "", "agents/scout", "ledger", "nobody"]),
    task=st.sampled_from(["", "", "t-1", "t-3", "t-99"]),
    agent=st.sampled_from(["", "", "scout", "scribe"]),
    run=st.sampled_from(["", "", "", "r-1", "main"]),
    correlation=st.sampled_from(["", "", "k-1", "k-4"]),
    after=st.sampled_from([0, 0, 3, 50, EVENTS, 10_000]),
    before=st.sampled_from([0, 0, 1, 40, EVENTS + 1, 10_000]),
    since_us=st.sampled_from([0, 0, START_US, START_US + 400_000_000, START_US + HOUR_US]),
    until_us=st.sampled_from([0, 0, START_US + 1, START_US + 700_000_000, START_US + HOUR_US]),
    limit=st.sampled_from([1, 2, 7, 50, 1_000]),
    is_newest_first=st.booleans(),
).map(lambda query: query.within(RunId("main")))


@pytest.fixture(scope="module")
def journal() -> Iterator[Journal]:
    with set_back_journal(EVENTS) as journal:
        yield journal


def _model(stored: tuple[StoredEvent, ...], query: ReadEvents) -> list[StoredEvent]:
    def is_wanted(event: StoredEvent) -> bool:
        return (
            (not query.types or matches_any(query.types, event.type))
            and query.source in ("", event.source)
            and query.task in ("", event.task)
            and query.agent in ("", event.agent)
            and query.run in ("", event.run or "main")
            and query.correlation in ("", event.correlation)
            and event.position > query.after
            and (not query.before or event.position < query.before)
            and event.time_us >= query.since_us
            and (not query.until_us or event.time_us < query.until_us)
        )

    found = [event for event in stored if is_wanted(event)]
    return found[::-1] if query.is_newest_first else found


def _pages(view: View, query: ReadEvents) -> Iterator[EventPage]:
    """All pages, by going on from where the last one has looked to."""
    while True:
        page = reading.read_page(view, query)
        yield page
        if query.is_newest_first:
            if page.scanned <= query.after + 1:
                return
            query = msgspec.structs.replace(query, before=page.scanned)
        else:
            if page.scanned >= page.head or (query.before and page.scanned >= query.before - 1):
                return
            query = msgspec.structs.replace(query, after=page.scanned)


@given(st.lists(QUERIES, min_size=1, max_size=12))
def test_paging_through_any_query_gives_what_a_filter_over_all_events_gives(
    journal: Journal, queries: list[ReadEvents]
) -> None:
    view, stored = journal
    for query in queries:
        pages = list(_pages(view, query))
        assert [event for page in pages for event in page.events] == _model(stored, query)
        assert all(len(page.events) <= query.limit and page.head == EVENTS for page in pages)


@pytest.fixture(scope="module")
def dense() -> Iterator[Journal]:
    """Many events in two minutes, in two segments; the wall clock is set back by twenty seconds in the middle."""
    batch = [
        msgspec.structs.replace(
            record, time_us=START_US + record.position * 15_000 - (20_000_000 if record.position > 3_500 else 0)
        )
        for record in records(1, 7_000)
    ]
    with TemporaryDirectory() as directory, closing(SmallJournal(Path(directory), 6_000)) as journal:
        stored = journal.write(batch, batch=500)
        yield journal.view, stored


@settings(max_examples=30)
@given(st.integers(-5_000, 110_000), st.integers(0, 40_000), st.booleans())
def test_in_a_dense_minute_a_window_of_time_holds_what_a_filter_finds(
    dense: Journal, since_ms: int, length_ms: int, is_newest_first: bool
) -> None:
    view, stored = dense
    since_us = START_US + since_ms * 1_000
    query = ReadEvents(since_us=since_us, until_us=since_us + length_ms * 1_000, is_newest_first=is_newest_first)
    query = msgspec.structs.replace(query, limit=1_000)
    found = [event for page in _pages(view, query) for event in page.events]
    assert found == _model(stored, query)


@given(QUERIES)
def test_a_page_looks_no_further_than_asked(journal: Journal, query: ReadEvents) -> None:
    view, _ = journal
    page = reading.read_page(view, query)
    assert all(event.position <= page.scanned or query.is_newest_first for event in page.events)
    if not query.is_newest_first:
        assert page.scanned >= query.after


def test_a_page_of_an_empty_journal_is_empty(tmp_path: Path) -> None:
    with closing(SmallJournal(tmp_path, 10)) as journal:
        for query in (ReadEvents(), ReadEvents(types=("task.*",)), ReadEvents(since_us=1), ReadEvents(source="x")):
            assert reading.read_page(journal.view, query) == EventPage((), Position(0), Position(0))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (ReadEvents(limit=0), "limit"),
        (ReadEvents(limit=1_001), "limit"),
        (ReadEvents(types=("task created",)), "types"),
        (ReadEvents(types=("",)), "types"),
        (ReadEvents(types=("a.b",) * 65), "types"),
        (ReadEvents(after=Position(-1)), "after"),
        (ReadEvents(until_us=2**63), "until_us"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused_by_its_field(query: ReadEvents, field: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        reading.check_query(query)
    assert refusal.value.path == field


def test_what_cannot_be_decoded_is_named_by_its_position(tmp_path: Path) -> None:
    with closing(SmallJournal(tmp_path, 100)) as journal:
        journal.write(records(1, 20))
        with closing(sqlite3.connect(segment_path(tmp_path))) as connection:
            connection.execute("UPDATE events SET data = x'7b' WHERE position = 9")
            connection.commit()
        with pytest.raises(reading.UndecodableEvent) as damage:
            reading.read_recorded(journal.view, CATALOGUE, ReadEvents(limit=100))
        assert damage.value.position == 9
        with pytest.raises(reading.UndecodableEvent) as damage:
            reading.read_own(journal.view, CATALOGUE, records(9, 1)[0].source, Position(0), 100)
        assert damage.value.position == 9


def test_own_events_come_from_all_segments_some_at_a_time(journal: Journal) -> None:
    view, _ = journal
    wanted = [record for record in records(1, EVENTS) if record.source == "ledger"]
    found: list[Event] = []
    after = Position(0)
    while (own := reading.read_own(view, CATALOGUE, Address("ledger"), after, 7)) is not None:
        assert len(own.events) <= 7
        found += own.events
        last = wanted[len(found) - 1]
        assert (own.position, own.cursor) == (last.position, last.cursor)
        after = own.position
    assert found == [record.event for record in wanted]
    assert reading.read_own(view, CATALOGUE, Address("nobody"), Position(0), 7) is None
