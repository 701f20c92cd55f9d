"""When a checkpoint is due, and which older ones stay.

Rules: one is due after so many events, so many seconds or so many steps since the last, whichever comes first, each of
which may be switched off; never when nothing has happened since. After one that failed the next waits a while. The
newest stay and the others go.

Pure: no clock, no disk.
"""

from collections.abc import Sequence

import msgspec


class Schedule(msgspec.Struct, frozen=True):
    """After how much a checkpoint is due; 0 switches a measure off."""

    every_events: int
    every_s: float
    every_steps: int
    retry_s: float


class Since(msgspec.Struct, frozen=True):
    """What there has been since the last checkpoint."""

    events: int
    elapsed_s: float
    steps: int
    failed_s: float | None = None
    """Seconds since the last try, when that failed."""


def is_due(schedule: Schedule, since: Since) -> bool:
    """Whether a checkpoint is to be made now."""
    if since.events <= 0:
        return False
    if since.failed_s is not None and since.failed_s < schedule.retry_s:
        return False
    return (
        0 < schedule.every_events <= since.events
        or 0 < schedule.every_s <= since.elapsed_s
        or 0 < schedule.every_steps <= since.steps
    )


def next_look_s(schedule: Schedule, since: Since) -> float | None:
    """After how many seconds one may become due by the passing of time alone; None when never.

    Where the time is over and nothing has happened yet, that is a whole period: whatever happens is looked at anyway.
    """
    waits: list[float] = []
    if schedule.every_s > 0:
        left_s = schedule.every_s - since.elapsed_s
        waits.append(left_s if left_s > 0 else schedule.every_s)
    if since.failed_s is not None and since.failed_s < schedule.retry_s:
        waits.append(schedule.retry_s - since.failed_s)
    return min(waits, default=None)


def kept(newest_first: Sequence[str], keep: int) -> tuple[str, ...]:
    """Which of the older checkpoints stay when a new one joins them, so that there are at most `keep` in all."""
    return tuple(newest_first[: max(0, keep - 1)])
