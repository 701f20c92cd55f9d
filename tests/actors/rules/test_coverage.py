"""How far the newest checkpoint reaches, and when the next is due."""

from hypothesis import given
from hypothesis import strategies as st

from actors.rules.checkpoints import Schedule
from actors.rules.coverage import Coverage
from bus.messages.base import Position

SCHEDULE = Schedule(every_events=100, every_s=60.0, every_steps=5, retry_s=10.0)


def counted(steps: int = 0, now_s: float = 0.0) -> Coverage:
    coverage = Coverage(SCHEDULE)
    coverage.begin(now_s)
    coverage.count_on(steps, Position(0))
    return coverage


def test_the_event_that_tells_of_a_checkpoint_is_no_reason_for_another() -> None:
    coverage = counted()
    coverage.note_saved(Position(120), 0, now_s=0.0)
    assert not coverage.is_due(Position(121), now_s=1e6)
    assert coverage.is_due(Position(122), now_s=60.0)
    assert not coverage.is_due(Position(220), now_s=1.0)
    assert coverage.is_due(Position(221), now_s=1.0)


def test_steps_are_measured_from_the_one_that_the_checkpoint_holds() -> None:
    coverage = counted(steps=7)
    coverage.note_saved(Position(10), 7, now_s=0.0)
    coverage.note_steps([Position(12), Position(13), Position(14), Position(15)])
    assert not coverage.is_due(Position(15), now_s=1.0)
    coverage.note_steps([Position(16)])
    assert coverage.is_due(Position(16), now_s=1.0)
    assert coverage.step == 12


def test_after_one_that_failed_the_next_waits_and_one_that_is_saved_ends_the_wait() -> None:
    coverage = counted()
    coverage.note_failed(now_s=100.0)
    assert not coverage.is_due(Position(500), now_s=109.0)
    assert coverage.next_look_s(Position(500), now_s=109.0) == 1.0
    assert coverage.is_due(Position(500), now_s=110.0)
    coverage.note_failed(now_s=110.0)
    coverage.note_saved(Position(300), 0, now_s=111.0)
    assert coverage.is_due(Position(500), now_s=111.0)


def test_time_without_a_checkpoint_counts_from_the_start() -> None:
    coverage = counted(now_s=1_000.0)
    assert not coverage.is_due(Position(5), now_s=1_059.0)
    assert coverage.next_look_s(Position(5), now_s=1_059.0) == 1.0
    assert coverage.is_due(Position(5), now_s=1_060.0)


@given(st.lists(st.booleans(), max_size=40), st.data())
def test_each_step_counts_once_however_commits_and_the_count_at_the_start_meet(
    are_steps: list[bool], data: st.DataObject
) -> None:
    began = data.draw(st.integers(0, len(are_steps)), label="commits are heard of from here on")
    head = data.draw(st.integers(began, len(are_steps)), label="the count reaches up to here")
    known = data.draw(st.integers(head, len(are_steps)), label="heard of when the count is known")
    coverage = Coverage(SCHEDULE)
    steps = [Position(position) for position, is_step in enumerate(are_steps, 1) if is_step]
    coverage.note_steps([step for step in steps if began < step <= known])
    assert not coverage.is_due(Position(10_000), now_s=1e9), "before they are counted"
    coverage.count_on(sum(step <= head for step in steps), Position(head))
    coverage.note_steps([step for step in steps if step > known])
    assert coverage.step == len(steps)
