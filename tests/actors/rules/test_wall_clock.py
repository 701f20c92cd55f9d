"""Whether the clock was set, as a table."""

import pytest

from actors.rules.wall_clock import Reading, step_s, told, told_at_start

HOUR_US = 3_600_000_000
NOON = Reading(12 * HOUR_US, 100.0)


@pytest.mark.parametrize(
    ("wall_us", "monotonic_s", "wanted_s"),
    [
        (0, 0.0, 0.0),
        (10_000_000, 10.0, 0.0),
        (11_900_000, 10.0, 0.0),
        (8_100_000, 10.0, 0.0),
        (HOUR_US + 3_000_000, 3_600.0, 0.0),
        (HOUR_US + 10_000_000, 3_600.0, 10.0),
        (HOUR_US, 1.0, 3_599.0),
        (1_000_000 - HOUR_US, 1.0, -3_600.0),
    ],
)
def test_what_is_more_than_a_time_server_corrects_is_a_step(wall_us: int, monotonic_s: float, wanted_s: float) -> None:
    now = Reading(NOON.wall_us + wall_us, NOON.monotonic_s + monotonic_s)
    assert step_s(NOON, now) == pytest.approx(wanted_s)


def test_what_is_said_names_the_direction_and_by_how_much() -> None:
    assert told(-3_600.0).startswith("the clock was set back by 3,600 s; positions")
    assert told(86_400.0).startswith("the clock went forward by 86,400 s at once")
    assert told_at_start(NOON.wall_us, NOON.wall_us - HOUR_US).startswith("the clock is 3,600 s behind the newest")
    assert told_at_start(NOON.wall_us, NOON.wall_us - 1_000_000) == ""
    assert told_at_start(0, NOON.wall_us) == ""
