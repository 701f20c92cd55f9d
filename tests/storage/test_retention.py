"""How much of the past may go."""

from hypothesis import given
from hypothesis import strategies as st

from bus.messages.base import Position
from storage.layout import Segment
from storage.retention import DAY_US, Limits, allowed, due, floor

NOW_US = 100 * DAY_US


def _segments(ages_days: list[int], size: int = 10) -> list[Segment]:
    """Closed segments of equal size, the first so many days old at its end, and an open one."""
    closed = [
        Segment(
            Position(number * size + 1),
            state="closed",
            last=Position((number + 1) * size),
            ended_us=NOW_US - age * DAY_US,
        )
        for number, age in enumerate(ages_days)
    ]
    return [*closed, Segment(Position(len(closed) * size + 1))]


def test_the_floor_is_the_oldest_checkpoint_or_the_slowest_cursor() -> None:
    assert floor([Position(50), Position(30)], []) == 30
    assert floor([Position(50), Position(30)], [Position(70), Position(20)]) == 20


def test_without_a_checkpoint_nothing_goes() -> None:
    assert floor([], [Position(70)]) == 0
    assert due(_segments([90, 80]), Position(25), NOW_US, Limits(events=1), Position(0)) == 0


def test_what_is_old_or_beyond_the_count_goes_by_whole_segments() -> None:
    segments = _segments([9, 6, 3])
    assert due(segments, Position(35), NOW_US, Limits(age_us=5 * DAY_US), Position(35)) == 20
    assert due(segments, Position(35), NOW_US, Limits(events=24), Position(35)) == 10
    assert due(segments, Position(35), NOW_US, Limits(events=25, age_us=5 * DAY_US), Position(35)) == 20
    assert due(segments, Position(35), NOW_US, Limits(age_us=5 * DAY_US), Position(19)) == 10
    assert due(segments, Position(35), NOW_US, Limits(), Position(35)) == 0


@given(st.integers(0, 60), st.integers(0, 60))
def test_a_wish_is_granted_up_to_the_floor_and_never_for_the_open_segment(upto: int, floor_: int) -> None:
    granted = allowed(_segments([9, 6, 3]), Position(upto), Position(floor_))
    assert granted <= min(upto, floor_, 30)
    assert granted % 10 == 0
    assert min(upto, floor_, 30) - granted < 10
