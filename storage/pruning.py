"""Letting old events go, within what may go.

Rules: as `storage.retention` says. What a checkpoint may need is read from its manifest: a restore folds on from the
position and reads facts from the cursors that stand there.
"""

from bus.messages.base import Position
from bus.messages.system import PruneReport
from storage import retention
from storage.checkpoints import CheckpointStore
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
        return PruneReport(pruned.upto, pruned.events, pruned.kept, pruned.freed_bytes, floor)

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
                # An actor that has handled no fact has no cursor: it follows none, or none was there.
                cursors += [actor.cursor for actor in manifest.actors.values() if actor.cursor]
        return retention.floor(positions, cursors)
