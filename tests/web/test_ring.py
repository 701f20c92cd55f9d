"""The ring: bounded, without a gap, encoded once."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.messages.base import MAIN_RUN, Position, RunId, TaskId
from bus.messages.system import CheckpointFailed, SystemInfo
from bus.messages.tasks import TaskFailed
from tests.web.support import stored
from web.ring import Ring
from web.wire import Filter

PLENTY = 1 << 20


def filled(count: int, events_max: int = 10_000, bytes_max: int = PLENTY) -> Ring:
    ring = Ring(1, MAIN_RUN, events_max=events_max, bytes_max=bytes_max)
    ring.append([stored(position, SystemInfo(f"event {position}")) for position in range(1, count + 1)])
    return ring


def positions(events: bytes) -> list[int]:
    return [int(event["position"]) for event in msgspec.json.decode(events, type=list[dict[str, object]])]  # type: ignore[call-overload]  # a test reads what it wrote


def test_an_empty_ring_begins_after_its_head() -> None:
    ring = Ring(1, MAIN_RUN)
    ring.begin(Position(41))
    assert (ring.first, ring.head, len(ring)) == (42, 41, 0)


def test_the_oldest_go_first_when_there_are_too_many() -> None:
    ring = filled(25, events_max=10)
    assert (ring.first, ring.head, len(ring)) == (16, 25, 10)
    assert positions(ring.read(Filter(), Position(16), Position(25), PLENTY).events) == list(range(16, 26))


def test_the_oldest_go_first_when_they_have_too_many_bytes() -> None:
    ring = filled(50, bytes_max=2_000)
    assert ring.size_bytes <= 2_000
    assert 0 < len(ring) < 20
    assert ring.head == 50


def test_what_names_no_run_is_of_the_run_whose_ring_it_is() -> None:
    ring = Ring(1, MAIN_RUN)
    ring.append([stored(1, SystemInfo("x")), stored(2, CheckpointFailed("c-1", "no room", RunId("r-2")))])
    found = {run: ring.read(Filter(run=run), Position(1), Position(2), PLENTY).events for run in ("main", "r-2", "r-3")}
    assert {run: positions(events) for run, events in found.items()} == {"main": [1], "r-2": [2], "r-3": []}


def test_an_event_that_is_larger_than_the_ring_leaves_it_empty_and_in_order() -> None:
    ring = filled(3, bytes_max=10)
    assert (ring.first, ring.head, ring.size_bytes) == (4, 3, 0)
    with pytest.raises(AssertionError, match="no gap"):
        ring.append([stored(5, SystemInfo("x"))])


def test_a_batch_scans_what_does_not_match_too() -> None:
    ring = Ring(1, MAIN_RUN)
    ring.append([stored(1, SystemInfo("x")), stored(2, TaskFailed(TaskId("t-1"), "no")), stored(3, SystemInfo("y"))])
    batch = ring.read(Filter(topics=("task.*",)), Position(1), Position(3), PLENTY)
    assert (batch.first, batch.last, batch.count, positions(batch.events)) == (1, 3, 1, [2])


def test_a_batch_ends_where_it_has_enough_bytes() -> None:
    ring = filled(10)
    batch = ring.read(Filter(), Position(3), Position(10), 1)
    assert (batch.first, batch.last, batch.count) == (3, 3, 1)


@given(chunks=st.lists(st.integers(1, 30), max_size=20), events_max=st.integers(1, 20))
def test_the_ring_is_always_the_end_of_the_timeline(chunks: list[int], events_max: int) -> None:
    ring = Ring(1, MAIN_RUN, events_max=events_max)
    position = 0
    for chunk in chunks:
        ring.append([stored(position + n, SystemInfo("x")) for n in range(1, chunk + 1)])
        position += chunk
        assert (ring.head, len(ring)) == (position, min(position, events_max))
        read = ring.read(Filter(), ring.first, ring.head, PLENTY)
        assert positions(read.events) == list(range(ring.first, position + 1))
