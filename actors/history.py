"""The past as the runtime reads it."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

from actors.runtime import Snapshot
from bus.address import Address
from bus.envelope import OwnEvents, Recorded
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
        self.actors: Mapping[Address, ActorState] = checkpoint.actors if checkpoint is not None else {}
        """The states in the checkpoint in use."""
        self._position = Position(0)

    def go_on_from(self, actors: Mapping[Address, ActorState], position: Position) -> None:
        """From now on an actor that restarts folds on top of these states, which are saved.

        All that do not follow stand at the position, whatever they say.
        """
        self.actors, self._position = actors, position

    async def snapshot(self, address: Address) -> Snapshot | None:
        found = self.actors.get(address)
        if found is None:
            return None
        position = found.position if found.follows else max(found.position, self._position)
        return Snapshot(position, found.cursor, found.state)

    def own_events(self, address: Address, after: Position) -> AsyncGenerator[OwnEvents, None]:
        return self._events.own_events(address, after)

    def facts(
        self, topics: tuple[str, ...], agent: str | None, after: Position, upto: Position
    ) -> AsyncIterator[Sequence[Recorded]]:
        return self._events.facts(topics, agent, after, upto)
