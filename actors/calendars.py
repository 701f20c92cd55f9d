"""The times of a cron expression in a time zone: what the scheduler asks a calendar.

The expression is parsed and walked by `cronsim`, as Debian's cron would: where the clock jumps forward, a time that
does not exist comes as soon as the clock is past it; where it is set back, a fixed time comes once.

Zones are read from disk once, by `load`; all else is a function of its arguments.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from bus.messages.base import Microseconds
from bus.refusals import InvalidField

CRON_CHARS_MAX = 200
ZONES_MAX = 2_000
"""There are some 600; names that are none are remembered too."""


_zones: dict[str, ZoneInfo | None] = {"UTC": ZoneInfo("UTC")}
"""Those that were read from disk; None for a name that is none."""


def is_loaded(zone: str) -> bool:
    """Whether the zone is in memory, or known not to be one: then nothing here touches the disk."""
    return zone in _zones


def load(zone: str) -> None:
    """Read a zone. Blocking."""
    if len(_zones) >= ZONES_MAX:
        for name in [name for name, found in _zones.items() if found is None]:
            del _zones[name]
    try:
        _zones[zone] = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        _zones[zone] = None


def check_cron(cron: str, zone: str) -> None:
    """Refuse what no calendar understands; the zone has been loaded. Raises InvalidField."""
    if len(cron) > CRON_CHARS_MAX:
        raise InvalidField("spec.cron", f"is longer than {CRON_CHARS_MAX} characters")
    if _zones.get(zone) is None:
        raise InvalidField("spec.zone", f"{zone!r} is not the name of a time zone")
    try:
        CronSim(cron, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise InvalidField("spec.cron", str(error) or "is no cron expression") from error


def next_time_us(cron: str, zone: str, after_us: Microseconds) -> Microseconds:
    """The first time after another one; 0 when there is none within the next decades."""
    after = datetime.fromtimestamp(after_us // 1_000_000, UTC).astimezone(_zones[zone] or UTC)
    found = next(CronSim(cron, after), None)
    return round(found.timestamp()) * 1_000_000 if found is not None else 0
