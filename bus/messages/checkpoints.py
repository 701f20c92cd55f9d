"""What can be proved of checkpoints, and what changed between two of them.

Only told, never stored: both are read from the checkpoints' own file each time.
"""

import msgspec

from bus.messages.base import Query, Reply


class Keys(msgspec.Struct, frozen=True):
    """Some keys, and how many there are in all."""

    count: int
    first: tuple[str, ...]


class Difference(msgspec.Struct, frozen=True):
    """From one state of an actor to another."""

    actor: str
    added: Keys
    removed: Keys
    changed: Keys
    bytes_before: int
    bytes_after: int


class DamagedCheckpoint(msgspec.Struct, frozen=True):
    """A checkpoint that is there and cannot be used: nothing goes on from it, and nothing counts it as kept."""

    checkpoint: str
    problem: str


class CheckpointProof(Reply, frozen=True):
    """What proving a checkpoint came to: every byte was read and held against its hashes."""

    wire_name = "checkpoint.proof"

    checkpoint: str
    problem: str
    """Empty when it is sound."""
    elapsed_ms: float


class CheckpointDifferences(Reply, frozen=True):
    """What changed from one checkpoint to another, actor by actor; actors that are the same are left out."""

    wire_name = "checkpoint.differences"

    before: str
    after: str
    differences: tuple[Difference, ...]
    count: int
    """How many actors differ; `differences` names the first of them."""


class VerifyCheckpoint(Query[CheckpointProof], frozen=True):
    """Sent by who wants to know whether a start could go on from a checkpoint; `newest` means the last one."""

    wire_name = "checkpoint.verify"

    checkpoint: str


class CompareCheckpoints(Query[CheckpointDifferences], frozen=True):
    """Sent by who wants to see what changed between two checkpoints; `newest` means the last one."""

    wire_name = "checkpoint.compare"

    before: str
    after: str = "newest"
