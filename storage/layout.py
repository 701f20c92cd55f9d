"""Which files make up the journal: one segment after another, each a stretch of the timeline.

Rules: segments follow each other without a gap; only the last is open and written to, the others never change. A pruned
segment has only its kept rows left, in a file of their own. What a segment says of itself carries a hash, and where the
two hash chains stood before its first row: so a stretch can be proved without the files before it.

Pure: no clock, no disk.
"""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

import msgspec

from bus.messages.base import Microseconds, Position
from storage.cells import digest

SEGMENTS_NAME = "segments"
PATHS_KEPT = 1_024
"""Segments whose paths are remembered: a quarter of a billion events."""

State = Literal["open", "closed", "pruned"]


class Anchor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last row of a hash chain."""

    position: Position
    hash: str
    """In hex."""


NOWHERE = Anchor(Position(0), bytes(32).hex())


class Segment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stretch of the timeline and its file."""

    first: Position
    prunable: Anchor = NOWHERE
    """Where the chain of the prunable rows stood before this segment."""
    kept: Anchor = NOWHERE
    """Where the chain of the kept rows stood before this segment."""
    state: State = "open"
    last: Position = Position(0)
    """0 while it is open."""
    begun_us: Microseconds = 0
    ended_us: Microseconds = 0
    """The minutes of its first and last events; 0 while it is open."""
    counts: dict[str, int] = {}
    """Events by type, those that were pruned included; empty while it is open."""

    @property
    def name(self) -> str:
        """Its file, below the directory of segments."""
        return self.kept_name if self.is_pruned else self.whole_name

    @property
    def is_pruned(self) -> bool:
        """Whether only its kept rows are left."""
        return self.state == "pruned"

    @property
    def whole_name(self) -> str:
        """The file that all its rows are in until it is pruned."""
        return f"{self.first:016d}.sqlite"

    @property
    def kept_name(self) -> str:
        """The file that its kept rows are in once the rest is pruned."""
        return f"{self.first:016d}.kept.sqlite"

    @property
    def text_name(self) -> str:
        """The file with the index of its text."""
        return self.name.replace(".sqlite", ".text.sqlite")


class Layout(msgspec.Struct, frozen=True):
    """All segments, in order, as they are at some time."""

    directory: Path
    segments: tuple[Segment, ...]

    def path(self, segment: Segment) -> Path:
        """The file with the segment's rows."""
        return _path(self.directory, segment.name)

    @property
    def open(self) -> Segment:
        """The one that is written to."""
        return self.segments[-1]

    @property
    def pruned_to(self) -> Position:
        """The last position of which only a kept row can still be there; 0 where nothing was pruned."""
        return max((segment.last for segment in self.segments if segment.state == "pruned"), default=Position(0))

    @property
    def paths(self) -> frozenset[Path]:
        """The files with rows."""
        return frozenset(self.path(segment) for segment in self.segments)

    def between(self, after: int, before: int, *, is_newest_first: bool = False) -> Iterable[Segment]:
        """The segments that may hold a position between two exclusive bounds; a `before` of 0 is none."""
        found = [
            segment
            for segment in self.segments
            if (segment.state == "open" or segment.last > after) and (not before or segment.first < before)
        ]
        return reversed(found) if is_newest_first else found


@lru_cache(PATHS_KEPT)
def _path(directory: Path, name: str) -> Path:
    """The same one each time: who keeps files by their paths compares no texts."""
    return directory / name


def pack(segment: Segment) -> tuple[bytes, bytes]:
    """A segment's description and its hash."""
    content = msgspec.json.encode(segment)
    return content, sha256(content).digest()


def unpack(content: bytes, hash_: bytes) -> Segment:
    """The description as it was. Raises ValueError where it is damaged."""
    if digest(content) != hash_:
        raise ValueError("the description of a segment is not what its hash says")
    return msgspec.json.decode(content, type=Segment)


def epoch_hash(epoch: int, after: int, begun_us: int) -> bytes:
    """What stands beside an epoch, so that a changed one is noticed."""
    return sha256(f"{epoch} {after} {begun_us}".encode()).digest()
