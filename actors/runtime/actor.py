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
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Generic, ParamSpec, TypeVar

import msgspec

from actors.runtime.context import Context
from bus.address import Address
from bus.bus import BusSubscription, Interest
from bus.dice import Dice
from bus.envelope import Answer, Envelope, Failure
from bus.errors import AgoraError, UnhandledMessage
from bus.mailbox import SIZE_MAX_DEFAULT, CoalesceKey, Overflow
from bus.messages.base import Event, Message, Position, Request

if TYPE_CHECKING:
    from actors.runtime.cell import ChildSpec

R = TypeVar("R", bound=Message)
A = TypeVar("A", bound=Message, contravariant=True)
P = ParamSpec("P")

Handler = Callable[[Any, Any], Any]  # a method that was looked up by class: its types are checked where it is defined
OWN_HOOKS = frozenset({"on_start", "on_stop", "on_recovered"})


class HandlerTable(msgspec.Struct, frozen=True):
    """The handlers of an actor class by message class."""

    synchronous: dict[type[Message], Handler]
    asynchronous: dict[type[Message], Handler]


class Deferred(Generic[A]):
    """A reply that a later turn or job of the same actor gives, once."""

    __slots__ = ("_context", "_envelope", "_position")

    def __init__(self, context: Context, envelope: Envelope) -> None:
        self._context = context
        self._envelope = envelope
        self._position = Position(0)

    @property
    def is_open(self) -> bool:
        """Whether the answer is still to be given."""
        return self in self._context.deferred

    def note_position(self, position: Position) -> None:
        """Remember the first event of the turn that deferred."""
        self._position = position

    def answer(self, reply: A) -> None:
        """Answer the asker; what it rests on travels along."""
        context = self._context
        self._settle(
            lambda: context.reply(self._envelope, Answer(reply, self._position or context.turn_position, context.after))
        )

    def refuse(self, error: AgoraError) -> None:
        """Tell the asker that it gets no reply, and why."""
        context = self._context
        self._settle(lambda: context.reply(self._envelope, Failure(error, context.after)))

    def _settle(self, output: Callable[[], None]) -> None:
        assert self.is_open, "a deferred reply is given once"
        self._context.settle(self)
        self._context.output(output)


class Job:
    """A child task of an actor, with what its outputs may rest on.

    In a persistent actor it begins after the commit of the turn that started it, and each of its asks returns after
    the commit of what the reply rests on: whatever it does outside is therefore safe to do.
    """

    __slots__ = ("_context", "after", "cancel", "cause", "correlation", "is_gated")

    def __init__(self, context: Context, cancel: Callable[[], None], *, is_gated: bool = True) -> None:
        self._context = context
        self.is_gated = is_gated
        self.after = context.after
        self.cause = context.cause
        self.correlation = context.correlation
        self.cancel = cancel

    async def ask(self, to: Address, request: Request[R], *, timeout_s: float, is_edge: bool = True) -> R:
        """Ask, and wait for the commit of what the reply rests on, unless nothing outside will follow from it.

        Raises Refused, Undeliverable, DeadlinePassed or ActorFault.
        """
        delivery = self._context.core.delivery
        answer = await delivery.exchange(to, self._envelope(request), timeout_s=timeout_s, is_edge=is_edge)
        self.after = max(self.after, answer.after)
        return typing.cast(R, answer.message)  # the request's type parameter is the contract of its handler

    def tell(self, to: Address, message: Message) -> None:
        """Tell without waiting; what cannot be delivered becomes a dead letter."""
        self._context.core.delivery.deliver(to, self._envelope(message))

    def _envelope(self, message: Message) -> Envelope:
        return Envelope(
            message,
            sender=self._context.address,
            after=self.after,
            cause=self.cause,
            correlation=self.correlation,
        )


class Actor:
    """Base of all actors."""

    mailbox_size_max: ClassVar[int] = SIZE_MAX_DEFAULT
    overflow: ClassVar[Overflow] = Overflow.WAIT
    coalesce_key: ClassVar[CoalesceKey | None] = None
    is_persistent: ClassVar[bool] = False
    stuck_after_s: ClassVar[float] = 300.0
    """How long an asynchronous handler may take for one message before the actor counts as stuck, and as failed."""
    _context: Context

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
        self._context.tell(to, message)

    async def send(self, to: Address, message: Message, *, timeout_s: float) -> None:
        """Tell, waiting for room in a full mailbox. Raises Undeliverable."""
        envelope, delivery = self._context.outgoing(message), self._context.core.delivery
        if not delivery.put(to, envelope):
            await delivery.send(to, envelope, timeout_s=timeout_s)

    async def ask(self, to: Address, request: Request[R], *, timeout_s: float) -> R:
        """Ask and wait for the one reply. Raises Refused, Undeliverable, DeadlinePassed or ActorFault."""
        assert not self.is_persistent, "a persistent actor asks from a job, past the gate of the commit"
        context = self._context
        envelope = context.outgoing(request)
        current = context.current
        envelope.chain = (*(current.chain if current is not None else ()), context.address)
        answer = await context.core.delivery.exchange(to, envelope, timeout_s=timeout_s, is_edge=False)
        context.after = max(context.after, answer.after)
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
        """Tell oneself later. The same key replaces an earlier timer. Timers end with a restart."""
        self._context.start_timer(key, delay_s, message)

    def cancel_timer(self, key: str) -> None:
        """Forget a timer; unknown keys are fine."""
        self._context.cancel_timer(key)

    def watch(self, address: Address) -> None:
        """Be told `Terminated` when that actor has stopped for good; at once when there is none."""
        self._context.core.delivery.watch(self.address, address)

    def spawn(self, spec: "ChildSpec") -> None:
        """Start an actor as a child: it is stopped before this one, and this one's spec says how it is supervised.

        Its mailbox takes messages at once. A start that fails is a failure, and the strategy decides.
        """
        self._context.output(lambda: self._context.core.spawn(self.address, spec))

    def stop_child(self, address: Address) -> None:
        """Stop a child for good. Raises NoSuchActor when there is none."""
        self._context.output(lambda: self._context.core.stop_child(self.address, address))

    def stop(self) -> None:
        """End after this turn. A permanent actor is started again; others are gone."""
        self._context.output(lambda: self._context.core.end(self.address))

    def perform(
        self, function: Callable[Concatenate[Job, P], Awaitable[None]], *args: P.args, **kwargs: P.kwargs
    ) -> Job:
        """Run a child task in the actor's own group. Its exception is a fault of the actor."""
        return self._context.perform(lambda cancel: Job(self._context, cancel), function, *args, **kwargs)

    def perform_at_once(
        self, function: Callable[Concatenate[Job, P], Awaitable[None]], *args: P.args, **kwargs: P.kwargs
    ) -> Job:
        """As `perform`, without waiting for a commit: for what may be done although a crash could undo its reason."""
        return self._context.perform(
            lambda cancel: Job(self._context, cancel, is_gated=False), function, *args, **kwargs
        )

    def defer(self) -> Deferred[Any]:  # the handler's annotation names the reply; here any is taken
        """Answer the current request later."""
        return self._context.defer(lambda envelope: Deferred(self._context, envelope))

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
        context = self._context
        context.current = envelope  # what `begin` and `end` do, without the calls: most turns are of this kind
        if envelope.after > context.after:  # noqa: PLR1730  # max() would be a call too
            context.after = envelope.after
        try:
            reply = handler(self, envelope.message)
            if envelope.reply_to is not None:
                context.answer(envelope, reply)
        except BaseException:
            context.forget_promises()
            raise
        finally:
            context.current = None
            if context.is_touched:
                context.tidy()

    async def handle_async(self, handler: Handler, envelope: Envelope) -> None:
        """Run one asynchronous turn. The runtime calls this; faults pass through."""
        context = self._context
        context.begin(envelope)
        try:
            reply = await handler(self, envelope.message)
            context.answer(envelope, reply)
        except BaseException:
            context.forget_promises()
            raise
        finally:
            context.end()

    def bind(self, context: Context) -> None:
        """Give the actor its context, before anything else. The runtime calls this."""
        self._context = context


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


def unhandled(address: Address, envelope: Envelope) -> UnhandledMessage:
    """The error for a message without a handler."""
    return UnhandledMessage(address, envelope.message.wire_name or type(envelope.message).__name__)
