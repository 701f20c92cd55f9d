"""Writing batches: whole or not at all, in order, with everything that goes with them."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.envelope import Batch, EncodedEvent, Recorded, StoredEvent
from bus.messages.base import Position
from bus.messages.system import SystemInfo, SystemWarning
from storage.chain import KEPT, NOTHING, PRUNABLE
from storage.errors import CorruptJournal
from storage.keys import FreshKeys
from storage.layout import Segment
from storage.queries import ROLLUP_DIFFERENCES
from storage.rows import Rows
from storage.schema import SEGMENT, create_or_check
from storage.timeline import Timeline
from tests.storage.support import CATALOGUE, encoded, record, records

PATH = Path("journal.sqlite")


class Place:
    """The writing end of a segment in memory, as a start finds it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._rows = Rows(CATALOGUE, FreshKeys())
        self._timeline = Timeline(self._rows)
        self.load()

    @property
    def head(self) -> Position:
        return self._timeline.head

    def load(self) -> None:
        """Open it, or open it again."""
        self._timeline.load(self.connection, PATH, Segment(Position(1)))

    def batch(self, events: Sequence[EncodedEvent]) -> Batch:
        """The events with their rows."""
        self._rows.add(events, batch := Batch())
        return batch

    def write(self, batch: Batch) -> None:
        self._timeline.write(self.connection, batch)

    def append(self, events: Sequence[Recorded]) -> list[StoredEvent]:
        """Make rows of events and write them."""
        batch = self.batch(encoded(events))
        self.write(batch)
        return batch.events

    def select(self, statement: str) -> list[tuple[object, ...]]:
        return self.connection.execute(statement).fetchall()


@contextmanager
def _place() -> Iterator[Place]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    create_or_check(connection, PATH, SEGMENT)
    yield Place(connection)
    connection.close()


@given(st.lists(st.integers(1, 90), min_size=1, max_size=8), st.booleans())
def test_however_it_is_cut_into_batches_the_timeline_is_the_same(sizes: list[int], is_started_between: bool) -> None:
    total = sum(sizes)
    with _place() as whole, _place() as cut:
        expected = whole.append(records(1, total))
        found: list[StoredEvent] = []
        current = cut
        for size in sizes:
            found += current.append(records(current.head + 1, size))
            current = Place(cut.connection) if is_started_between else current
        assert found == expected
        assert current.head == total
        for table in ("events", "rollup", "chains", "types", "sources"):
            assert cut.select(f"SELECT * FROM {table}") == whole.select(f"SELECT * FROM {table}")


@given(st.lists(st.integers(1, 20), min_size=2, max_size=6))
def test_rows_are_chained_to_what_was_appended_whether_it_is_written_yet_or_not(sizes: list[int]) -> None:
    with _place() as at_once, _place() as later:
        expected: list[StoredEvent] = []
        batches: list[Batch] = []
        first = 1
        for size in sizes:
            expected += at_once.append(records(first, size))
            batches.append(later.batch(encoded(records(first, size))))
            first += size
        for batch in batches:
            later.write(batch)
        assert [event for batch in batches for event in batch.events] == expected
        assert later.select("SELECT * FROM events") == at_once.select("SELECT * FROM events")


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(-(10**10), 10**10)), min_size=1, max_size=6))
def test_the_rollup_equals_a_recount_also_when_the_clock_steps_back(batches: list[tuple[int, int]]) -> None:
    with _place() as place:
        for size, step_us in batches:
            first = place.head + 1
            place.append([msgspec.structs.replace(r, time_us=r.time_us + step_us) for r in records(first, size)])
        assert place.select(ROLLUP_DIFFERENCES) == [(0,)]


def test_a_batch_that_fails_in_its_middle_leaves_nothing_behind_and_is_the_same_when_tried_again() -> None:
    with _place() as place, _place() as sound:
        place.append(records(1, 5))
        batch = place.batch(encoded([*records(6, 30), record(36, SystemWarning("of a type that no other is"))]))
        place.connection.execute("CREATE TEMP TRIGGER no BEFORE INSERT ON chains BEGIN SELECT raise(ABORT, 'no'); END")
        with pytest.raises(sqlite3.IntegrityError):
            place.write(batch)
        assert place.head == 5
        assert place.select("SELECT count(*) FROM events") == [(5,)]
        place.connection.execute("DROP TRIGGER no")
        place.load()
        place.write(batch)
        sound.append([*records(1, 35), record(36, SystemWarning("of a type that no other is"))])
        for table in ("events", "rollup", "chains", "types", "sources"):
            assert place.select(f"SELECT * FROM {table}") == sound.select(f"SELECT * FROM {table}")


def test_a_batch_that_has_landed_is_not_written_again() -> None:
    with _place() as place:
        batch = place.batch(encoded(records(1, 20)))
        place.write(batch)
        place.load()
        place.write(batch)
        assert place.select("SELECT count(*) FROM events") == [(20,)]


def test_another_event_at_a_position_that_is_taken_is_damage() -> None:
    with _place() as place:
        else_ = Place(place.connection).batch(encoded([record(1), record(2, SystemInfo("else"))]))
        place.append(records(1, 2))
        with pytest.raises(CorruptJournal, match="another event stands"):
            place.write(else_)


def test_kept_events_have_a_chain_of_their_own() -> None:
    with _place() as place:
        place.append(records(1, 7))
        assert place.select("SELECT chain, position FROM chains") == [(PRUNABLE, 7), (KEPT, 2)]


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM events WHERE position = 9",
        "UPDATE chains SET position = 8 WHERE chain = 1",
        "UPDATE chains SET hash = zeroblob(32) WHERE chain = 0",
        "DELETE FROM chains",
    ],
)
def test_ends_that_do_not_meet_are_noticed_at_the_start(damage: str) -> None:
    with _place() as place:
        place.append(records(1, 9))
        place.connection.execute(damage)
        with pytest.raises(CorruptJournal):
            Place(place.connection)


def test_an_empty_chain_begins_with_nothing() -> None:
    with _place() as place:
        place.append([record(1, SystemInfo("alone"))])
        assert place.select("SELECT hash FROM chains WHERE chain = 1") == [(NOTHING,)]
