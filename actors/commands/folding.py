"""States folded from a journal without a society: no mailbox, no timer, nothing that acts.

Rules: an actor's own events, in their order, and nothing else make its state; what a checkpoint says is checked against
that, or stands in for the events that were pruned. The overview that the page shows is a projection of all and is left
to whoever shows it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from hashlib import sha256

import msgspec

from actors.config import Config
from actors.population import persistent_actor
from actors.runtime import PersistentActor
from bus.address import Address
from bus.canonical import canonical
from bus.envelope import Recorded
from bus.messages.base import Position
from storage.manifests import ActorState, state_hash


class Folded:
    """All persistent actors as of a position."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._actors: dict[Address, PersistentActor[msgspec.Struct] | None] = {}
        self._held: dict[Address, Position] = {}
        """Up to where a state that was begun with holds what its actor has recorded."""
        self.position = Position(0)
        self.events = 0

    def begin_with(self, states: Mapping[Address, ActorState]) -> None:
        """Go on from a checkpoint's states; events that they hold already are passed over."""
        for address, state in states.items():
            self._held[address] = state.position
            actor = self.actor(address)
            if actor is not None:
                actor.state = msgspec.json.decode(state.state, type=type(actor).state_type)

    def apply(self, record: Recorded) -> None:
        """Take the next event."""
        actor = self.actor(record.source)
        if actor is not None and record.position > self._held.get(record.source, 0):
            actor.apply(record.event)
        self.position = record.position
        self.events += 1

    async def fold(self, batches: AsyncIterator[Sequence[Recorded]]) -> None:
        """Take all of them."""
        async for batch in batches:
            for record in batch:
                self.apply(record)

    def actor(self, address: Address) -> PersistentActor[msgspec.Struct] | None:
        """One actor; None where nobody persistent has that address."""
        if address not in self._actors:
            self._actors[address] = persistent_actor(self._config, address)
        return self._actors[address]

    def state(self, address: Address) -> bytes:
        """An actor's state as canonical JSON; empty where nobody persistent has that address."""
        actor = self.actor(address)
        return canonical(actor.state) if actor is not None else b""

    def states(self) -> dict[Address, ActorState]:
        """The states of all actors to which something has happened."""
        return {
            address: ActorState.of(self.position, Position(0), canonical(actor.state))
            for address, actor in self._actors.items()
            if actor is not None and actor.state != actor.initial()
        }

    @property
    def hash(self) -> str:
        """The state hash of all actors to which something has happened."""
        return state_hash(self.states())

    def hash_of(self, address: Address) -> str:
        """SHA-256 of one actor's state."""
        return sha256(self.state(address)).hexdigest()
