"""Cron expressions in time zones, over the days on which clocks change."""

from datetime import UTC, datetime

import pytest

from actors.calendars import check_cron, is_loaded, load, next_time_us
from bus.refusals import InvalidField


def times(cron: str, zone: str, after: str, count: int) -> list[str]:
    """The next times after one, in UTC."""
    load(zone)
    now_us = _us(after)
    found: list[str] = []
    for _ in range(count):
        now_us = next_time_us(cron, zone, now_us)
        found.append(datetime.fromtimestamp(now_us / 1e6, UTC).strftime("%d %H:%M"))
    return found


def _us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp()) * 1_000_000


def test_a_time_that_the_clock_jumps_over_comes_as_soon_as_it_is_past_it() -> None:
    found = times("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00+00:00", 2)
    assert found == ["29 01:00", "30 00:30"]


def test_a_fixed_time_in_the_hour_that_comes_twice_comes_once() -> None:
    found = times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00+00:00", 2)
    assert found == ["25 00:30", "26 01:30"]


def test_what_comes_each_half_hour_comes_in_both_of_the_hours_that_look_alike() -> None:
    found = times("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00+00:00", 4)
    assert found == ["25 00:30", "25 01:00", "25 01:30", "25 02:00"]


def test_the_zone_decides_when_a_day_begins() -> None:
    assert times("0 0 * * *", "Asia/Tokyo", "2026-01-01T00:00:00+00:00", 1) == ["01 15:00"]
    assert times("0 0 * * *", "UTC", "2026-01-01T00:00:00+00:00", 1) == ["02 00:00"]


@pytest.mark.parametrize(
    ("cron", "zone", "path"),
    [
        ("", "UTC", "spec.cron"),
        ("61 * * * *", "UTC", "spec.cron"),
        ("every day", "UTC", "spec.cron"),
        ("* " * 200, "UTC", "spec.cron"),
        ("* * * * *", "Mars/Olympus", "spec.zone"),
        ("* * * * *", "../etc/passwd", "spec.zone"),
    ],
)
def test_what_no_calendar_understands_is_refused(cron: str, zone: str, path: str) -> None:
    load(zone)
    assert is_loaded(zone)
    with pytest.raises(InvalidField) as refused:
        check_cron(cron, zone)
    assert refused.value.path == path
