"""Clocks: the machine's, and one that is told."""

import pytest

from bus.clock import SystemClock, VirtualClock


def test_the_machines_clocks_go_on() -> None:
    clock = SystemClock()
    before_us, before_s = clock.now_us(), clock.monotonic_s()
    assert before_us > 1_700_000_000_000_000
    assert clock.monotonic_s() >= before_s


def test_a_virtual_clock_moves_only_when_it_is_told_to() -> None:
    clock = VirtualClock(start_us=1_000)
    assert (clock.now_us(), clock.monotonic_s()) == (1_000, 0.0)
    clock.advance(1.5)
    assert (clock.now_us(), clock.monotonic_s()) == (1_501_000, 1.5)


def test_a_step_of_the_wall_clock_leaves_the_monotonic_side_alone() -> None:
    clock = VirtualClock(start_us=10_000_000)
    clock.step_wall(-5)
    assert (clock.now_us(), clock.monotonic_s()) == (5_000_000, 0.0)


def test_time_does_not_run_backwards() -> None:
    with pytest.raises(AssertionError):
        VirtualClock().advance(-1)
