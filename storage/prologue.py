"""What an export of a pruned journal begins with: what is left of the old events, and the states that stand for them.

Rules: it is taken whole or not at all. Kept rows are proved on their chain, up to where the next segment takes it up;
the states are proved by the hash that was told of them. Nothing of it is believed that is not proved, unless it is only
to be looked at.
"""

from collections.abc import Callable
from pathlib import Path

from bus.address import Address
from bus.errors import BadUsage, StorageError
from bus.messages.base import Position
from storage.beginnings import Beginning, KeptRow, begin, building
from storage.chain import KEPT, row_hash
from storage.checkpoints import CheckpointStore
from storage.errors import CorruptCheckpoint, PastPruned
from storage.jsonlines import CheckpointLine, EventLine, Head, Line, PrunedLine, StateLine, keys_of, row_of
from storage.layout import Segment
from storage.manifests import ActorState, state_hash

Amend = Callable[[EventLine], EventLine]
"""Makes up what a line lacks, for who only looks."""


class Prologue:
    """The lines before the blobs and the events that follow each other."""

    def __init__(self, amend: Amend | None) -> None:
        self._amend = amend
        self._beginning: Beginning | None = None
        self.head: Head | None = None
        self.rows: list[KeptRow] = []
        self.keys: dict[int, bytes] = {}
        self.standing: CheckpointLine | None = None
        self._states: dict[Address, ActorState] = {}

    @property
    def following(self) -> Segment:
        """The segment that the first of the events that follow each other is in."""
        return self._beginning.following if self._beginning is not None else Segment(Position(1))

    def take(self, some: list[tuple[int, Line]]) -> list[tuple[int, Line]]:
        """Take lines; those from the first on that does not belong here, none while all did."""
        for at, (_, line) in enumerate(some):
            if not self._takes(line):
                return some[at:]
        return []

    def begin(self, into: Path) -> None:
        """Make the journal that goes on from there, if anything was pruned. Raises BadUsage, StorageError, OSError."""
        beginning = self._beginning
        if beginning is None:
            return
        if self._amend is None:
            if self.standing is None:
                raise BadUsage("no checkpoint stands for what was pruned; export it with --sealed")
            self._prove_rows(beginning)
        begin(into, beginning, building(self.rows, beginning))

    async def keep_checkpoint(self, directory: Path, head: Position) -> None:
        """Save the checkpoint that stands for what was pruned. Raises CorruptCheckpoint, PastPruned, StorageError."""
        if self._beginning is None or self.standing is None:
            return
        told = self.standing
        if len(self._states) != told.states or state_hash(self._states) != told.state_hash:
            raise CorruptCheckpoint(told.checkpoint, "its states are not what the hash in the export says")
        if max(state.position for state in self._states.values()) > head:
            raise PastPruned(head, self._beginning.upto)
        async with CheckpointStore.open(directory) as store:
            await store.save(told.description, self._states, keep=())

    def _takes(self, line: Line) -> bool:
        match line:
            case Head() if self.head is None:
                self.head = line
            case PrunedLine() if self.head is not None and self._beginning is None:
                self._beginning = line.beginning
            case EventLine() if self._beginning is not None and line.position <= self._beginning.upto:
                self.keys |= keys_of([line])
                whole = line if self._amend is None else self._amend(line)
                self.rows.append((row_of(whole), bytes.fromhex(line.hash)))
            case CheckpointLine() if self._beginning is not None and self.standing is None:
                self.standing = line
            case StateLine() if self.standing is not None:
                state = ActorState.of(line.position, line.cursor, bytes(line.state))
                self._states[line.address] = ActorState(state.position, state.cursor, state.pieces, line.follows)
            case _:
                return False
        return True

    def _prove_rows(self, beginning: Beginning) -> None:
        hash_ = bytes.fromhex(beginning.pruned[0].kept.hash)
        for event, told in self.rows:
            hash_ = row_hash(hash_, KEPT, event)
            if hash_ != told:
                raise StorageError(f"the kept event at position {event[0]} is not what its hash says")
        if hash_.hex() != beginning.following.kept.hash:
            raise StorageError(f"kept events are missing before position {beginning.following.first}")
