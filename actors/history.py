"""The past as the runtime reads it."""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence

import msgspec

from actors.runtime import Snapshot
from bus.address import Address
from bus.envelope import OwnEvents, Recorded
from bus.messages.agents import VISITORS, AgentJoined, AgentRegistered, agent_address
from bus.messages.base import AgentId, Position
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


class _Registered(msgspec.Struct):
    """Of the state of those who register the agents of other programs: whom they have."""

    personas: dict[AgentId, msgspec.Raw] = {}


async def former_agents(history: JournalHistory, configured: Collection[str], head: Position) -> list[AgentId]:
    """Agents that were there once, are not configured now and are of no other program.

    The events say so, and where they were pruned, the checkpoint that stands for them.
    """
    known = history.actors.get(VISITORS)
    visitors = set(msgspec.json.decode(known.state, type=_Registered).personas) if known is not None else set()
    names = {address: AgentId(address.rpartition("/")[2]) for address in history.actors}
    found = {name: None for address, name in names.items() if address == agent_address(name)}
    async for records in history.facts((AgentJoined.wire_name, AgentRegistered.wire_name), None, Position(0), head):
        for record in records:
            if isinstance(record.event, AgentRegistered):
                visitors.add(record.event.agent)
            elif isinstance(record.event, AgentJoined):
                found[record.event.agent] = None
    return [agent for agent in found if agent not in visitors and agent not in configured]
