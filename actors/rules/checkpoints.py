"""When a checkpoint is due, what it holds, which older ones stay, and how one is found.

Rules: one is due after so many events, so many seconds or so many steps since the last, whichever comes first, each of
which may be switched off; never when nothing has happened since. After one that failed the next waits a while. The
newest stay, and those that are pinned, and the others go. Money, work and decisions are always in it.

Pure: no clock, no disk.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import msgspec

from bus.address import Address
from bus.messages.base import Microseconds
from bus.messages.system import CheckpointView
from bus.refusals import InvalidField, NotFound

NEVER_LEFT_OUT = ("ledger", "coordinator", "approvals")
"""The books, the tasks with their auctions, and what people have decided."""


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


def check_leave_out(patterns: Sequence[str]) -> None:
    """Raises InvalidField for a pattern that would leave out what may not be."""
    for pattern in patterns:
        for address in NEVER_LEFT_OUT:
            if fnmatchcase(address, pattern):
                raise InvalidField("checkpoint_leave_out", f"{pattern!r} matches {address}, which cannot be left out")


def left_out(patterns: Sequence[str], addresses: Iterable[Address]) -> tuple[Address, ...]:
    """Which actors the settings leave out."""
    found = (a for a in addresses if a not in NEVER_LEFT_OUT and any(fnmatchcase(a, pattern) for pattern in patterns))
    return tuple(sorted(found))


def kind_of(address: Address) -> str:
    """Those whose states are made of the same: `agents/scout` is one of the `agents`."""
    return address.partition("/")[0]


def find(newest_first: Sequence[CheckpointView], wanted: str, time_us: Microseconds | None = None) -> CheckpointView:
    """The checkpoint that `wanted` names. Raises NotFound.

    An id (`c-120`), a label, `newest`, a position or `step:7` (the newest that is not beyond it); with `time_us`, the
    newest that was made by then.
    """
    if time_us is not None:
        fitting = [view for view in newest_first if view.created_us <= time_us]
    elif wanted == "newest":
        fitting = list(newest_first)
    elif wanted.removeprefix("position:").isdecimal():
        position = int(wanted.removeprefix("position:"))
        fitting = _latest([view for view in newest_first if view.position <= position])
    elif wanted.startswith("step:") and wanted.removeprefix("step:").isdecimal():
        step = int(wanted.removeprefix("step:"))
        fitting = _latest([view for view in newest_first if view.step <= step])
    else:
        named = wanted.removeprefix("label:")
        fitting = [view for view in newest_first if wanted == view.checkpoint]
        fitting = fitting or [view for view in newest_first if named and named == view.label]
    if not fitting:
        raise NotFound("checkpoint", wanted, _oldest(newest_first))
    return fitting[0]


def _oldest(newest_first: Sequence[CheckpointView]) -> str:
    """What whoever looked for one should know of those that there are."""
    if not newest_first:
        return "none is kept yet"
    oldest = min(newest_first, key=lambda view: view.position)
    return f"{len(newest_first)} are kept, from position {oldest.position} and step {oldest.step} on"


def _latest(views: Sequence[CheckpointView]) -> list[CheckpointView]:
    return sorted(views, key=lambda view: view.position, reverse=True)
