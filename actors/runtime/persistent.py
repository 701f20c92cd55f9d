"""The actor whose state is a fold of its own events in the journal.

Rules: handlers are synchronous and never ask. A turn is all or nothing: its events and outputs are staged, appended and
sent together when it succeeds, and dropped together when it raises. `persist` gives positions at once and applies at
once; `apply` is the only thing that changes state, live and on replay alike. A restarted actor folds every event of its
own, committed or in flight. Facts of others come through durable subscriptions: each event carries the cursor, the
position of the last fact that its actor had handled, so cursor and effects move together.
"""

import hashlib
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from actors.runtime.actor import Actor, Handler
from actors.runtime.log import History, Snapshot, Stand
from bus.canonical import canonical
from bus.envelope import Envelope, Origin, Recorded
from bus.errors import Refused
from bus.messages.base import BlobId, Done, Event, Message, Position
from bus.topics import matches

S = TypeVar("S", bound=msgspec.Struct)


class Subscription(msgspec.Struct, frozen=True):
    """Which facts of other actors an actor must react to. `agent` narrows it to events about that agent."""

    topic: str
    agent: str | None = None

    def wants(self, record: Recorded) -> bool:
        """Whether the fact matches."""
        if not matches(self.topic, record.event.wire_name):
            return False
        return self.agent is None or getattr(record.event, "agent", None) == self.agent


class PersistentActor(Actor, Generic[S]):
    """Base of all actors whose state must survive."""

    is_persistent: ClassVar[bool] = True
    state_type: ClassVar[type[msgspec.Struct]]
    reads_past: ClassVar[bool] = True
    """Whether an actor without any history of its own is told the facts from before it was there."""
    state: S

    def initial(self) -> S:
        """The state before any event."""
        raise NotImplementedError

    def apply(self, event: Event) -> None:
        """Fold an event into the state. Total: it never raises and reads nothing but the state."""
        raise NotImplementedError

    def subscriptions(self) -> tuple[Subscription, ...]:
        """The facts that it must react to."""
        return ()

    def on_recovered(self) -> None:
        """A turn after the fold and before the first message: arm timers again, send obligations again."""

    def persist(self, *events: Event, blobs: tuple[bytes, ...] = ()) -> Position:
        """Apply events; they are appended, with the blobs that they name, as the turn ends. Returns the first position.

        One that cannot be encoded or is over its bound makes the turn a fault.
        """
        context = self._context
        assert context.staged is not None, "only a turn can persist"
        records = context.draft(events, self._cursor, ahead=len(self._records))
        self._records.extend(records)
        for blob in blobs:
            self._blobs[BlobId(hashlib.sha256(blob).hexdigest())] = blob
        self._changes += len(events)
        for event in events:
            self.apply(event)
        return records[0].position

    @property
    def cursor(self) -> Position:
        """The position of the last fact that was handled."""
        return self._cursor

    def snapshot(self) -> Snapshot:
        """The state as of the head, as canonical JSON. Only between turns."""
        return Snapshot(
            position=self._context.core.log.head,
            cursor=self._cursor,
            state=canonical(self.state),
        )

    def stand(self) -> Stand:
        """The state itself as of the head. Only between turns, and to be read before the next one."""
        return Stand(self._context.core.log.head, self._cursor, self.state, self._changes)

    async def recover(self, history: History) -> None:
        """Fold the checkpoint in use and every later event of its own."""
        self._records: list[Recorded] = []
        self._blobs: dict[BlobId, bytes] = {}
        self._cursor = Position(0)
        self._changes = 0
        snapshot = await history.snapshot(self.address)
        position = Position(0)
        if snapshot is None:
            self.state = self.initial()
        else:
            self.state = self._decode_state(snapshot.state)
            self._cursor = snapshot.cursor
            position = snapshot.position
        has_past = snapshot is not None
        apply = self.apply
        async with aclosing(history.own_events(self.address, position)) as past:
            async for own in past:
                has_past = True
                for event in own.events:
                    apply(event)
                self._cursor = max(self._cursor, own.cursor)
        if not has_past and not self.reads_past:
            self._cursor = self._context.core.log.head

    def recovered(self) -> None:
        """Run the turn after the fold. The runtime calls this."""
        self._turn(self._run_recovered, (Done(), Origin()))

    def handle(self, handler: Handler, envelope: Envelope) -> None:
        """Run one turn, all or nothing. A fact that was handled before is passed over."""
        position = envelope[1].position
        if position:
            if position <= self._cursor:
                return
            self._cursor = position
        self._turn(handler, envelope)

    def _turn(self, handler: Handler, envelope: Envelope) -> None:
        message, origin = envelope
        context = self._context
        context.begin(origin)
        context.staged = []
        try:
            reply = handler(self, message)
            self._commit()
            context.finish(envelope, reply)
        except BaseException as error:
            context.forget_promises()
            if isinstance(error, Refused):
                assert not self._records, f"{self.address} refused after it had persisted"
            raise
        finally:
            self._records = []
            self._blobs = {}
            context.staged = None
            context.end()

    def _commit(self) -> None:
        context = self._context
        if self._records:
            context.core.append(self._records, self._blobs, context.hops)
            context.rest_on(self._records[-1].position)
        staged, context.staged = context.staged or [], None
        for leave in staged:
            leave()

    def _decode_state(self, state: bytes) -> S:
        decode: Callable[..., Any] = msgspec.json.decode
        decoded: S = decode(state, type=self.state_type)
        return decoded

    @staticmethod
    def _run_recovered(actor: "PersistentActor[Any]", _: Message) -> None:
        actor.on_recovered()
