"""The actor: one loop that owns its state, one handler per message class.

A handler is a method `on_<something>(self, message: TheClass) -> Reply | None`, found by the annotation of its first
parameter; a union registers it for each member. A synchronous handler runs without a task. An asynchronous one has the
actor to itself until it returns. A `Refused` that it raises is the answer; anything else is a fault: the message goes
to the dead letters and the supervisor decides.
"""

import inspect
import types
import typing
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Concatenate, ParamSpec, Protocol, TypeVar

import msgspec

from actors.runtime.context import Context
from actors.runtime.deferred import Deferred
from actors.runtime.job import Job
from actors.runtime.supervision import Restart, SupervisionOptions
from bus.address import Address
from bus.bus import BusSubscription, Interest
from bus.dice import Dice
from bus.envelope import Envelope
from bus.errors import UnhandledMessage
from bus.mailbox import SIZE_MAX_DEFAULT, CoalesceKey, Overflow
from bus.messages.base import Event, Message, Position, Request

R = TypeVar("R", bound=Message)
P = ParamSpec("P")

Handler = Callable[[Any, Any], Any]  # a method that was looked up by class: its types are checked where it is defined
OWN_HOOKS = frozenset({"on_start", "on_stop", "on_recovered"})


class HandlerTable(msgspec.Struct, frozen=True):
    """The handlers of an actor class by message class."""

    synchronous: dict[type[Message], Handler]
    asynchronous: dict[type[Message], Handler]


class Family(Protocol):
    """Where actors are born and end; `incarnations.Incarnations` is the one there is."""

    def spawn_child(self, parent: Address, spec: "ChildSpec") -> None: ...
    def stop_child(self, parent: Address, address: Address) -> None: ...
    def end(self, address: Address) -> None: ...


class Actor:
    """Base of all actors."""

    mailbox_size_max: ClassVar[int] = SIZE_MAX_DEFAULT
    overflow: ClassVar[Overflow] = Overflow.WAIT
    coalesce_key: ClassVar[CoalesceKey | None] = None
    is_persistent: ClassVar[bool] = False
    stuck_after_s: ClassVar[float] = 300.0
    """How long an asynchronous handler may take for one message before the actor counts as stuck, and as failed."""
    _context: Context
    _family: Family

    async def on_start(self) -> None:
        """Open what the actor needs. Runs before its first message; raising fails the start."""

    async def on_stop(self) -> None:
        """Close what `on_start` opened. Runs after the last message, after a fault too."""

    @property
    def address(self) -> Address:
        return self._context.address

    @property
    def now_us(self) -> int:
        """Wall-clock microseconds."""
        return self._context.core.clock.now_us()

    @property
    def monotonic_s(self) -> float:
        return self._context.core.clock.monotonic_s()

    @property
    def dice(self) -> Dice:
        return self._context.dice

    @property
    def delivers_position(self) -> Position:
        """The position of the fact that this turn handles, or 0 when it handles a message."""
        current = self._context.current
        return current.position if current is not None else Position(0)

    def tell(self, to: Address, message: Message) -> None:
        """Tell without waiting; what cannot be delivered becomes a dead letter."""
        context = self._context
        origin = context.origin
        if origin is not None:  # what `Context.slip_in` does, without the call: most messages go no other way
            try:
                mailbox = context.inboxes[to]
            except KeyError:
                context.tell(to, message)
                return
            data = mailbox.data
            if 0 < len(data) < mailbox.bound:
                data.append((message, origin))
                return
        context.tell(to, message)

    async def send(self, to: Address, message: Message, *, timeout_s: float) -> None:
        """Tell, waiting for room in a full mailbox. Raises Undeliverable."""
        context = self._context
        if not context.slip_in(to, message):
            await context.core.delivery.send(to, (message, context.outgoing()), timeout_s=timeout_s)

    async def ask(self, to: Address, request: Request[R], *, timeout_s: float) -> R:
        """Ask and wait for the one reply. Raises Refused, Undeliverable, DeadlinePassed or ActorFault."""
        assert not self.is_persistent, "a persistent actor asks from a job, past the gate of the commit"
        context = self._context
        current = context.current
        chain = (*(current.chain if current is not None else ()), context.address)
        answer = await context.core.delivery.exchange(
            to, request, context.outgoing(), timeout_s=timeout_s, is_edge=False, chain=chain
        )
        context.rest_on(answer.after)
        return typing.cast(R, answer.message)  # the request's type parameter is the contract of its handler

    def publish(self, message: Message) -> None:
        """Tell whoever subscribed on the bus."""
        self._context.publish(message)

    def subscribe(
        self, interest: Interest, *, size_max: int = SIZE_MAX_DEFAULT, overflow: Overflow = Overflow.DROP_OLD
    ) -> BusSubscription:
        """Hear what is published from now on; messages come to the handlers. Ends with the actor."""
        return self._context.subscribe(interest, size_max, overflow)

    def start_timer(self, key: str, delay_s: float, message: Message) -> None:
        """Tell oneself later. The same key replaces an earlier timer; timers end with a restart. See `cancel_timer`."""
        self._context.start_timer(key, delay_s, message)

    def cancel_timer(self, key: str) -> None:
        """Forget a timer: it tells nothing any more, even if its time has passed. Unknown keys are fine."""
        self._context.cancel_timer(key)

    def watch(self, address: Address) -> None:
        """Be told `Terminated` when that actor has stopped for good; at once when there is none."""
        self._context.core.delivery.watch(self.address, address)

    def spawn(self, spec: "ChildSpec") -> None:
        """Start an actor as a child: it is stopped before this one, and this one's spec says how it is supervised.

        Its mailbox takes messages at once. A start that fails is a failure, and the strategy decides.
        """
        self._context.output(lambda: self._family.spawn_child(self.address, spec))

    def stop_child(self, address: Address) -> None:
        """Stop a child for good. Raises NoSuchActor when there is none."""
        self._context.output(lambda: self._family.stop_child(self.address, address))

    def stop(self) -> None:
        """End after this turn. A permanent actor is started again; others are gone."""
        self._context.output(lambda: self._family.end(self.address))

    def perform(
        self, function: Callable[Concatenate[Job, P], Awaitable[None]], *args: P.args, **kwargs: P.kwargs
    ) -> Job:
        """Run a child task in the actor's own group. Its exception is a fault of the actor."""
        return self._context.perform(True, function, *args, **kwargs)

    def perform_at_once(
        self, function: Callable[Concatenate[Job, P], Awaitable[None]], *args: P.args, **kwargs: P.kwargs
    ) -> Job:
        """As `perform`, without waiting for a commit: for what may be done although a crash could undo its reason."""
        return self._context.perform(False, function, *args, **kwargs)

    def defer(self) -> Deferred[Any]:  # the handler's annotation names the reply; here any is taken
        """Answer the current request later."""
        return self._context.defer()

    def stash(self) -> None:
        """Set the current message aside until `unstash`; bounded by the mailbox's size."""
        self._context.stash()

    def unstash(self) -> None:
        """Put all stashed messages back in front."""
        self._context.unstash()

    def record(self, *events: Event) -> Position:
        """Record events as this actor's, outside any turn of a persistent actor. Returns the first position."""
        return self._context.record(events)

    @classmethod
    def handlers(cls) -> HandlerTable:
        """The handlers by message class. Raises TypeError for a handler that cannot be dispatched to."""
        return _table(cls)

    def handle(self, handler: Handler, envelope: Envelope) -> None:
        """Run one synchronous turn: handle, then answer. The runtime calls this; faults pass through."""
        message, origin = envelope
        context = self._context
        context.begin(origin)
        try:
            reply = handler(self, message)
            context.finish(envelope, reply)
        except BaseException:
            context.forget_promises()
            raise
        finally:
            context.end()

    async def handle_async(self, handler: Handler, envelope: Envelope) -> None:
        """Run one asynchronous turn. The runtime calls this; faults pass through."""
        message, origin = envelope
        context = self._context
        context.begin(origin)
        try:
            reply = await handler(self, message)
            context.finish(envelope, reply)
        except BaseException:
            context.forget_promises()
            raise
        finally:
            context.end()

    def bind(self, context: Context, family: Family) -> None:
        """Give the actor its context and its family, before anything else. The runtime calls this."""
        self._context = context
        self._family = family


class ChildSpec(msgspec.Struct, frozen=True):
    """How to make an actor, and what to do when it ends."""

    address: Address
    factory: Callable[[], Actor]
    restart: Restart = Restart.PERMANENT
    shutdown_s: float = 5.0
    """How long it may take to stop; 0 kills it at once."""
    children: SupervisionOptions = SupervisionOptions()
    """How it supervises actors that it spawns."""


_tables: dict[type[Actor], HandlerTable] = {}


def _table(actor: type[Actor]) -> HandlerTable:
    table = _tables.get(actor)
    if table is None:
        table = _tables[actor] = _read_table(actor)
    return table


def _read_table(actor: type[Actor]) -> HandlerTable:
    table = HandlerTable({}, {})
    for name, function in inspect.getmembers(actor, inspect.isfunction):
        if not name.startswith("on_") or name in OWN_HOOKS:
            continue
        for kind in _message_classes(actor, name, function):
            if inspect.iscoroutinefunction(function):
                if actor.is_persistent:
                    raise TypeError(f"{actor.__name__}.{name}: the turns of a persistent actor are synchronous")
                table.asynchronous[kind] = function
            else:
                table.synchronous[kind] = function
    return table


def _message_classes(actor: type[Actor], name: str, function: Callable[..., object]) -> tuple[type[Message], ...]:
    parameters = list(inspect.signature(function).parameters)
    if len(parameters) != 2:
        raise TypeError(f"{actor.__name__}.{name}: a handler takes one message")
    annotation = typing.get_type_hints(function).get(parameters[1])
    members = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    for member in members:
        if not (isinstance(member, type) and issubclass(member, Message)):
            raise TypeError(f"{actor.__name__}.{name}: {member!r} is not a message class")
    return members


def _is_union(annotation: object) -> bool:
    return typing.get_origin(annotation) in (types.UnionType, typing.Union)


def unhandled(address: Address, message: Message) -> UnhandledMessage:
    """The error for a message without a handler."""
    return UnhandledMessage(address, message.wire_name or type(message).__name__)
