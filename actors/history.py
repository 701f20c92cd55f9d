"""The past as the runtime reads it."""

from collections.abc import AsyncIterator, Mapping, Sequence

from actors.runtime import Snapshot
from bus.address import Address
from bus.envelope import Recorded
from bus.messages.base import Position
from storage.checkpoints import Checkpoint
from storage.errors import CorruptJournal
from storage.events import EventStore
from storage.manifests import ActorState


class JournalHistory:
    """The past as the runtime reads it: the journal, on top of the newest checkpoint."""

    def __init__(self, events: EventStore, checkpoint: Checkpoint | None) -> None:
        """Raises CorruptJournal where old events were pruned and no checkpoint stands for them."""
        pruned_to = events.layout.pruned_to
        if pruned_to > (checkpoint.view.position if checkpoint is not None else 0):
            raise CorruptJournal(
                events.path, pruned_to, "events up to here were pruned, and no usable checkpoint stands for them"
            )
        self._events = events
        self._actors: Mapping[Address, ActorState] = checkpoint.actors if checkpoint is not None else {}

    def go_on_from(self, actors: Mapping[Address, ActorState]) -> None:
        """From now on an actor that restarts folds on top of these states, which are saved."""
        self._actors = actors

    async def snapshot(self, address: Address) -> Snapshot | None:
        found = self._actors.get(address)
        return Snapshot(found.position, found.cursor, found.state) if found is not None else None

    def own_events(self, address: Address, after: Position) -> AsyncIterator[Sequence[Recorded]]:
        return self._events.own_events(address, after)

    def facts(
        self, topics: tuple[str, ...], agent: str | None, after: Position, upto: Position
    ) -> AsyncIterator[Sequence[Recorded]]:
        return self._events.facts(topics, agent, after, upto)
