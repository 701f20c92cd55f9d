"""Writing batches: whole or not at all, in order, with everything that goes with them."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.codec import Catalogue
from bus.envelope import StoredEvent
from bus.messages.base import Event, Position
from bus.messages.system import SystemInfo
from storage.chain import KEPT, NOTHING, PRUNABLE
from storage.errors import CorruptJournal
from storage.keys import Keys
from storage.layout import Segment
from storage.queries import ROLLUP_DIFFERENCES
from storage.schema import SEGMENT, create_or_check
from storage.timeline import Timeline
from tests.storage.support import CATALOGUE, encoded, record, records

PATH = Path("journal.sqlite")


class Unheard(Event, frozen=True):
    """An event that no catalogue knows."""

    wire_name = "unheard.of"


@contextmanager
def _timeline() -> Iterator[tuple[sqlite3.Connection, Timeline]]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    create_or_check(connection, PATH, SEGMENT)
    yield connection, _loaded(connection)
    connection.close()


def _loaded(connection: sqlite3.Connection) -> Timeline:
    timeline = Timeline(CATALOGUE, Keys(Path()))  # none of these events has personal text
    timeline.load(connection, PATH, Segment(Position(1)))
    return timeline


@given(st.lists(st.integers(1, 90), min_size=1, max_size=8), st.booleans())
def test_however_it_is_cut_into_batches_the_timeline_is_the_same(sizes: list[int], is_loaded_between: bool) -> None:
    total = sum(sizes)
    with _timeline() as (whole_connection, whole), _timeline() as (connection, timeline):
        expected = whole.write(whole_connection, encoded(records(1, total)))
        found: list[StoredEvent] = []
        current = timeline
        for size in sizes:
            found.extend(current.write(connection, encoded(records(current.head + 1, size))))
            current = _loaded(connection) if is_loaded_between else current
        assert tuple(found) == expected
        assert current.head == total
        dump = "SELECT * FROM events", "SELECT * FROM rollup", "SELECT * FROM chains"
        for statement in dump:
            assert connection.execute(statement).fetchall() == whole_connection.execute(statement).fetchall()


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(-(10**10), 10**10)), min_size=1, max_size=6))
def test_the_rollup_equals_a_recount_also_when_the_clock_steps_back(batches: list[tuple[int, int]]) -> None:
    with _timeline() as (connection, timeline):
        for size, step_us in batches:
            first = timeline.head + 1
            batch = [msgspec.structs.replace(r, time_us=r.time_us + step_us) for r in records(first, size)]
            timeline.write(connection, encoded(batch))
        assert connection.execute(ROLLUP_DIFFERENCES).fetchone() == (0,)


def test_a_batch_that_fails_in_its_middle_leaves_nothing_behind() -> None:
    with _timeline() as (connection, timeline):
        timeline.write(connection, encoded(records(1, 5)))
        unheard = Catalogue((Unheard,)).encode_record(record(9, Unheard()))
        with pytest.raises(KeyError):
            timeline.write(connection, [*encoded(records(6, 3)), unheard, *encoded([record(10)])])
        assert timeline.head == 5
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (5,)
        assert connection.execute("SELECT count(*) FROM types WHERE name = 'unheard.of'").fetchone() == (0,)
        after = timeline.write(connection, encoded(records(6, 5)))
        with _timeline() as (other_connection, other):
            assert other.write(other_connection, encoded(records(1, 10)))[5:] == after


def test_a_batch_that_has_landed_is_answered_and_not_written_again() -> None:
    with _timeline() as (connection, timeline):
        first = timeline.write(connection, encoded(records(1, 20)))
        assert _loaded(connection).write(connection, encoded(records(1, 20))) == first
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (20,)


def test_another_event_at_a_position_that_is_taken_is_damage() -> None:
    with _timeline() as (connection, timeline):
        timeline.write(connection, encoded(records(1, 2)))
        with pytest.raises(CorruptJournal, match="another event stands"):
            timeline.write(connection, encoded([record(2, SystemInfo("else"))]))


def test_kept_events_have_a_chain_of_their_own() -> None:
    with _timeline() as (connection, timeline):
        timeline.write(connection, encoded(records(1, 7)))
        ends = dict(connection.execute("SELECT chain, position FROM chains").fetchall())
        assert ends == {PRUNABLE: 7, KEPT: 2}


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
    with _timeline() as (connection, timeline):
        timeline.write(connection, encoded(records(1, 9)))
        connection.execute(damage)
        with pytest.raises(CorruptJournal):
            _loaded(connection)


def test_an_empty_chain_begins_with_nothing() -> None:
    with _timeline() as (connection, timeline):
        timeline.write(connection, encoded([record(1, SystemInfo("alone"))]))
        assert connection.execute("SELECT hash FROM chains WHERE chain = 1").fetchone() == (NOTHING,)
