"""Letting old events go, within what may go.

Rules: as `storage.retention` says. What a checkpoint may need is read from its manifest: a restore folds on from the
position, and reads facts from the cursors of those actors for which some were waiting.
"""

from contextlib import suppress

import anyio.to_thread

from bus.address import Address
from bus.messages.base import Position
from bus.messages.system import PruneReport
from storage import retention
from storage.blobs import named_in
from storage.checkpoints import Checkpoint, CheckpointStore
from storage.errors import CorruptCheckpoint
from storage.events import EventStore, Pruned
from storage.retention import Limits


class Pruner:
    """Prunes one journal beside its checkpoints."""

    def __init__(self, events: EventStore, checkpoints: CheckpointStore, limits: Limits) -> None:
        self._events = events
        self._checkpoints = checkpoints
        self._limits = limits

    async def prune(self, upto: Position) -> PruneReport:
        """Let go of what may go: up to a position, or by the limits where that is 0. Raises StorageError."""
        floor = await self._floor()
        segments = self._events.layout.segments
        if upto:
            granted = retention.allowed(segments, upto, floor)
        else:
            granted = retention.due(segments, self._events.head, self._events.now_us, self._limits, floor)
        pruned = await self._events.prune(granted) if granted else Pruned(Position(0), 0, 0, 0)
        blobs = await self._remove_blobs() if pruned.upto or upto else 0
        return PruneReport(pruned.upto, pruned.events, pruned.kept, pruned.freed_bytes, floor, blobs)

    async def _remove_blobs(self) -> int:
        """Let go of the contents that nothing names any more; how many."""
        head = self._events.head
        named: set[bytes] = set()
        for view in await self._checkpoints.list():
            with suppress(CorruptCheckpoint):  # one that is damaged is never gone back to
                checkpoint = await self._checkpoints.load(view.checkpoint)
                named |= await anyio.to_thread.run_sync(_named_by, checkpoint)
        contents = self._events.contents
        return await contents.remove(await contents.unnamed(named), head)

    async def _floor(self) -> Position:
        """The last position that no kept checkpoint needs."""
        positions: list[Position] = []
        cursors: list[Position] = []
        for view in await self._checkpoints.list():
            if self._events.holds(view.epoch, view.position):
                if view.left_out:
                    return Position(0)  # those are folded from their first event on
                manifest = await self._checkpoints.manifest(view.checkpoint)
                positions += [view.position, *(manifest.position_of(address) for address in manifest.actors)]
                if view.behind is None:
                    # An actor that has handled no fact has no cursor: it follows none, or none was there.
                    cursors += [actor.cursor for actor in manifest.actors.values() if actor.cursor]
                else:
                    # Whoever had handled all facts finds none of its own between its cursor and the checkpoint.
                    cursors += [manifest.actors[Address(address)].cursor for address in view.behind]
        return retention.floor(positions, cursors)


def _named_by(checkpoint: Checkpoint) -> set[bytes]:
    return named_in(state.state for state in checkpoint.actors.values())
