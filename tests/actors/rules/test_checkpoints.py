"""When a checkpoint is due, what it holds, and how it is found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.rules.checkpoints import (
    Schedule,
    Since,
    check_leave_out,
    find,
    is_due,
    kept,
    kind_of,
    left_out,
    next_look_s,
)
from bus.address import Address
from bus.messages.base import Position
from bus.messages.system import CheckpointView
from bus.refusals import InvalidField, NotFound

SCHEDULE = Schedule(every_events=100, every_s=60.0, every_steps=5, retry_s=10.0)
OFF = Schedule(every_events=0, every_s=0.0, every_steps=0, retry_s=10.0)


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        (Since(events=99, elapsed_s=59.9, steps=4), False),
        (Since(events=100, elapsed_s=0.0, steps=0), True),
        (Since(events=1, elapsed_s=60.0, steps=0), True),
        (Since(events=5, elapsed_s=0.0, steps=5), True),
        (Since(events=0, elapsed_s=1e9, steps=0), False),
        (Since(events=-1, elapsed_s=1e9, steps=0), False),
        (Since(events=500, elapsed_s=90.0, steps=9, failed_s=9.9), False),
        (Since(events=500, elapsed_s=90.0, steps=9, failed_s=10.0), True),
    ],
)
def test_one_is_due_after_so_many_events_seconds_or_steps(since: Since, expected: bool) -> None:
    assert is_due(SCHEDULE, since) is expected


@given(st.integers(1, 10**9), st.floats(0, 1e9), st.integers(0, 10**6))
def test_none_is_ever_due_where_all_measures_are_off(events: int, elapsed_s: float, steps: int) -> None:
    assert not is_due(OFF, Since(events, elapsed_s, steps))
    assert next_look_s(OFF, Since(events, elapsed_s, steps)) is None


@given(st.integers(1, 50), st.floats(0, 200), st.none() | st.floats(0, 20))
def test_after_the_wait_the_time_has_come(events: int, elapsed_s: float, failed_s: float | None) -> None:
    since = Since(events, elapsed_s, 0, failed_s)
    wait_s = next_look_s(SCHEDULE, since)
    assert wait_s is not None
    assert 0 < wait_s <= SCHEDULE.every_s
    later_s = wait_s + 1e-6
    later = Since(events, elapsed_s + later_s, 0, None if failed_s is None else failed_s + later_s)
    is_retry = failed_s is not None and failed_s < SCHEDULE.retry_s
    assert is_due(SCHEDULE, later) or is_retry


def test_a_failure_is_looked_at_again_when_its_wait_is_over() -> None:
    assert next_look_s(SCHEDULE, Since(500, 90.0, 0, failed_s=4.0)) == 6.0


@given(st.lists(st.integers(0, 99).map(str), unique=True, max_size=9), st.integers(1, 6))
def test_the_newest_stay_beside_the_one_that_is_saved(newest_first: list[str], keep: int) -> None:
    stay = kept(newest_first, keep)
    assert list(stay) == newest_first[: len(stay)]
    assert len(stay) == min(len(newest_first), keep - 1)


def _view(position: int, *, label: str = "", step: int = 0, created_us: int = 0) -> CheckpointView:
    return CheckpointView(
        f"c-{position}", Position(position), "manual", created_us, "main", step, label, 1, "", "0", {}, 1, ""
    )


VIEWS = (
    _view(30, label="b", step=3, created_us=300),
    _view(20, label="a", step=2, created_us=200),
    _view(10, label="b", step=1, created_us=100),
)


@pytest.mark.parametrize(
    ("wanted", "position"),
    [
        ("newest", 30),
        ("c-20", 20),
        ("20", 20),
        ("29", 20),
        ("position:999", 30),
        ("step:1", 10),
        ("step:2", 20),
        ("a", 20),
        ("label:b", 30),
    ],
)
def test_one_is_found_by_id_position_step_or_label(wanted: str, position: int) -> None:
    assert find(VIEWS, wanted).position == position


def test_one_is_found_by_the_time_at_which_it_was_the_newest() -> None:
    assert find(VIEWS, "", time_us=299).position == 20
    with pytest.raises(NotFound):
        find(VIEWS, "then", time_us=99)


@pytest.mark.parametrize("wanted", ["c-15", "9", "step:0", "none", "", "label:"])
def test_what_names_none_is_not_found(wanted: str) -> None:
    with pytest.raises(NotFound, match=r"are kept, from position 10 and step \d+ on"):
        find(VIEWS, wanted)
    with pytest.raises(NotFound, match="none is kept yet"):
        find((), wanted)


def test_money_and_work_are_never_left_out() -> None:
    addresses = [Address(name) for name in ("ledger", "coordinator", "router", "agents/scout", "agents/editor")]
    assert left_out(("*",), addresses) == ("agents/editor", "agents/scout", "router")
    assert left_out(("agents/*",), addresses) == ("agents/editor", "agents/scout")
    assert left_out((), addresses) == ()
    check_leave_out(("agents/*", "router"))
    with pytest.raises(InvalidField, match=r"'\*' matches ledger"):
        check_leave_out(("*",))


def test_what_is_held_is_told_by_kind_of_actor() -> None:
    assert [kind_of(Address(name)) for name in ("agents/a", "agents/b/c", "ledger")] == ["agents", "agents", "ledger"]
