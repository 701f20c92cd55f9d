"""How much of the past may go, and how much should.

Rules: whole segments only, from the oldest on. Never past what something may still need: the oldest kept checkpoint,
from which a restore folds on, and the slowest durable cursor, from which a subscriber reads on. Without a checkpoint
nothing goes. Kept rows stay whatever happens to the others.

Pure: no clock, no disk.
"""

from collections.abc import Iterable, Sequence

import msgspec

from bus.messages.base import Microseconds, Position
from storage.layout import Segment

DAY_US = 86_400_000_000


class Limits(msgspec.Struct, frozen=True):
    """How much is to be kept; 0 means all."""

    events: int = 0
    age_us: Microseconds = 0

    @property
    def is_any(self) -> bool:
        """Whether anything is ever to go."""
        return bool(self.events or self.age_us)


def floor(checkpoints: Iterable[Position], cursors: Iterable[Position]) -> Position:
    """The last position that may go: that of the oldest checkpoint, and no further than the slowest cursor."""
    return min([min(checkpoints, default=Position(0)), *cursors])


def due(segments: Sequence[Segment], head: Position, now_us: Microseconds, limits: Limits, floor: Position) -> Position:
    """Up to where the journal is to be pruned by its limits; 0 where nothing is."""
    upto = Position(0)
    for segment in segments:
        if segment.state == "pruned":
            continue
        is_beyond = bool(limits.events) and head - segment.last >= limits.events
        is_old = bool(limits.age_us) and segment.ended_us < now_us - limits.age_us
        if segment.state == "open" or segment.last > floor or not (is_beyond or is_old):
            break
        upto = segment.last
    return upto


def allowed(segments: Sequence[Segment], upto: Position, floor: Position) -> Position:
    """How much of a wish to prune up to a position can be granted; 0 where nothing can."""
    ends = [segment.last for segment in segments if segment.state == "closed" and segment.last <= min(upto, floor)]
    return max(ends, default=Position(0))
