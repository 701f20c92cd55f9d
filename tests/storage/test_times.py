"""What is remembered of times narrows a query and never loses an event."""

import sqlite3
from contextlib import closing
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.times import BLOCK, SPARSE, Times

EVENTS = SPARSE + 4 * BLOCK


def _journal(times: list[int], *, first: int = 1) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE events (position INTEGER PRIMARY KEY, time_us INTEGER)")
    connection.executemany("INSERT INTO events VALUES (?, ?)", enumerate(times, first))
    return connection


@settings(max_examples=40)
@given(st.lists(st.integers(-30, 40), min_size=12, max_size=12), st.integers(0, 8_000), st.integers(1, 700))
def test_no_event_of_a_window_is_lost_whatever_the_clock_did(steps: list[int], since_us: int, first: int) -> None:
    times = [3_000 + time for time in accumulate(steps[n * len(steps) // EVENTS] for n in range(EVENTS))]
    last = first + EVENTS - 1
    with closing(_journal(times, first=first)) as connection:
        known = Times()
        for _ in range(2):  # the second look finds what the first has left
            lowest = known.lowest(connection, first, last, since_us)
            highest = known.highest(connection, first, last, since_us)
            assert all(position >= lowest for position, time in enumerate(times, first) if time >= since_us)
            assert all(position <= highest for position, time in enumerate(times, first) if time < since_us)


def test_in_a_dense_minute_what_is_left_is_a_block() -> None:
    with closing(_journal(list(range(100_000)))) as connection:
        known = Times()
        assert 0 <= 50_001 - known.lowest(connection, 1, 100_000, 50_000) < BLOCK
        assert 0 <= known.highest(connection, 1, 100_000, 50_000) - 50_000 < BLOCK
        assert known.lowest(connection, 1, 100_000, 100_000) == 100_001, "nothing is that late"
        assert known.highest(connection, 1, 100_000, 0) == 0, "nothing is that early"


@pytest.mark.parametrize("added", [1, BLOCK, 3 * BLOCK])
def test_what_is_added_after_a_look_is_seen_by_the_next(added: int) -> None:
    with closing(_journal(list(range(EVENTS)))) as connection:
        known = Times()
        assert known.lowest(connection, 1, EVENTS, EVENTS) == EVENTS + 1
        more = range(EVENTS + 1, EVENTS + 1 + added)
        connection.executemany("INSERT INTO events VALUES (?, ?)", [(position, position) for position in more])
        assert known.lowest(connection, 1, EVENTS + added, EVENTS) > EVENTS - BLOCK
        assert known.lowest(connection, 1, EVENTS + added, EVENTS) <= EVENTS + 1
        assert known.highest(connection, 1, EVENTS + added, EVENTS + added + 1) == EVENTS + added
