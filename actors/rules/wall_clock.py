"""Whether somebody has set the clock on the wall, told by the one that nobody sets.

Rules: both are read together. How far they are apart changes slowly where a time server only corrects the first; what
is more than that is a step. A machine that sleeps looks the same, since the second stands still meanwhile. Nothing is
undone: positions say what came before what, and times are told as they were.

Pure: no clock, no disk.
"""

import msgspec

from bus.messages.base import Microseconds

STEP_S_MIN = 2.0
"""Less is what a machine under load, or a time server, makes of the time."""
SLEW = 0.001
"""Twice the part of the time that passes by which a kernel corrects its clock."""
SECOND_US = 1_000_000
UNHARMED = "positions and their order are unharmed"


class Reading(msgspec.Struct, frozen=True):
    """Both clocks at one moment."""

    wall_us: Microseconds
    monotonic_s: float


def step_s(before: Reading, now: Reading) -> float:
    """By how many seconds the clock was set between two readings, back where it is below 0; 0 where it only ran."""
    elapsed_s = now.monotonic_s - before.monotonic_s
    moved_s = (now.wall_us - before.wall_us) / SECOND_US - elapsed_s
    return moved_s if abs(moved_s) > STEP_S_MIN + elapsed_s * SLEW else 0.0


def told(by_s: float) -> str:
    """What is said of a step."""
    if by_s < 0:
        return f"the clock was set back by {-by_s:,.0f} s; {UNHARMED}, and events since have times that came before"
    return f"the clock went forward by {by_s:,.0f} s at once: it was set, or the machine slept; {UNHARMED}"


def told_at_start(newest_us: Microseconds, now_us: Microseconds) -> str:
    """What is said at a start where the newest event is of a time that is yet to come; empty where it is not."""
    ahead_s = (newest_us - now_us) / SECOND_US
    if ahead_s <= STEP_S_MIN:
        return ""
    return f"the clock is {ahead_s:,.0f} s behind the newest event: it was set back; {UNHARMED}"
