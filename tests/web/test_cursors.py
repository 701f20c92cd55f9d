"""Cursors: what is next for one, wherever it stands. The sessions' tests walk them through whole lives."""

import pytest

from bus.messages.base import Position
from web.cursors import CONFLATED_KEPT, LAG_EVENTS, next_due, scanned
from web.frames import Horizon, Limits, ReadRing, ReadState, ReadStorage, Send, Subscription
from web.wire import Filter


def cursor(next_: int, *, is_conflating: bool = False, is_behind: bool = False) -> Subscription:
    return Subscription("feed", Filter(), Position(next_), is_conflating, is_behind)


def horizon(head: int, ring_first: int = 1, oldest: int = 1) -> Horizon:
    return Horizon(Position(head), Position(ring_first), Position(oldest))


def test_at_the_head_nothing_is_due_and_a_lag_is_over() -> None:
    at_head = cursor(11, is_behind=True)
    assert next_due(at_head, horizon(10), Limits()) is None
    assert not at_head.is_behind


@pytest.mark.parametrize(("head", "last"), [(5, 5), (600, 512)])
def test_a_batch_from_the_ring_has_a_bound(head: int, last: int) -> None:
    due = next_due(cursor(1), horizon(head), Limits(batch_events=512))
    assert isinstance(due, ReadRing)
    assert (due.first, due.last) == (1, last)


def test_what_is_older_than_the_ring_comes_from_storage_and_what_is_pruned_is_told() -> None:
    assert isinstance(next_due(cursor(5), horizon(50, ring_first=20), Limits()), ReadStorage)
    late = cursor(5)
    told = next_due(late, horizon(50, ring_first=20, oldest=9), Limits())
    assert isinstance(told, Send)
    assert '"from":5,"to":8,"reason":"pruned"' in told.text
    assert late.next == 9


def test_a_lag_is_told_once_and_a_conflating_cursor_skips_instead() -> None:
    lossless, conflating = cursor(1), cursor(1, is_conflating=True)
    far = horizon(LAG_EVENTS + 1)
    told = [next_due(lossless, far, Limits()) for _ in range(2)]
    assert isinstance(told[0], Send)
    assert isinstance(told[1], ReadRing)
    assert isinstance(next_due(conflating, far, Limits()), Send)
    assert conflating.next == far.head - CONFLATED_KEPT + 1


def test_scanning_moves_past_a_batch_and_onto_a_state() -> None:
    events, state = cursor(3), Subscription("s", None, Position(-1))
    assert isinstance(next_due(state, horizon(9), Limits()), ReadState)
    for one in (events, state):
        scanned(one, Position(9))
    assert (events.next, state.next) == (10, 9)
