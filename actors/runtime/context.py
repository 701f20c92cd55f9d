"""What stands between an actor and the runtime: the current turn, and what outputs may rest on.

`after` only rises: it is the maximum of what the actor has received and appended, and every output carries it. In a
persistent actor's turn outputs are staged; they leave together when the turn has succeeded, or never.

What leaves carries an origin. It is made for the first message that leaves and shared by those that follow, until
anything that it says has changed: another turn, an append, something received on which more may rest.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec

from actors.runtime.deadlines import Deadlines
from actors.runtime.deferred import Deferred
from actors.runtime.job import Job
from actors.runtime.log import Blobs, Log
from actors.runtime.roads import Roads
from actors.runtime.timers import TimerPassed, Timers
from bus.address import Address
from bus.bus import BusSubscription, Interest
from bus.clock import Clock
from bus.dice import Dice
from bus.envelope import HOPS_MAX, Answer, Envelope, Origin, Recorded
from bus.errors import AgoraError, MailboxFull
from bus.mailbox import Overflow
from bus.messages.base import Done, Event, Message, Position

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Core:
    """What the actor system offers its actors."""

    clock: Clock
    deadlines: Deadlines
    log: Log
    delivery: Roads
    append: Callable[[Sequence[Recorded], Blobs, int], None]
    start_job: Callable[[Address, Position, Callable[[], Awaitable[None]]], Callable[[], None]]
    """Run a child task of an actor, gated when the actor is persistent; returns what cancels it."""


class Context:
    """One actor's side of the runtime. A new one for each incarnation."""

    __slots__ = (
        "_deliver",
        "_is_stashing",
        "_settled",
        "_stash",
        "_stash_size_max",
        "_timers",
        "_turn_cause",
        "_turn_deferred",
        "address",
        "after",
        "core",
        "current",
        "deferred",
        "dice",
        "inboxes",
        "is_touched",
        "origin",
        "staged",
        "turn_position",
    )

    def __init__(self, address: Address, core: Core, dice: Dice, stash_size_max: int) -> None:
        self.address = address
        self.core = core
        self.dice = dice
        self.inboxes = core.delivery.inboxes
        self._deliver = core.delivery.deliver
        self.after = Position(0)
        """What may be rested on; raised by `rest_on`."""
        self.origin: Origin | None = None
        """The origin of what leaves now; None until `outgoing` has made one, and while a turn's outputs wait."""
        self.current: Origin | None = None
        """Where the message that is being handled comes from; None between turns."""
        self.turn_position = Position(0)
        """The first position that the current turn has appended, or 0."""
        self.staged: list[Callable[[], None]] | None = None
        self.deferred: dict[Deferred[Any], None] = {}
        """The replies that are promised and not given yet."""
        self._settled: list[Deferred[Any]] = []
        """What the current staged turn gives; a turn that fails gives nothing."""
        self._turn_cause = Position(0)
        """The last event that the current turn has appended, or 0."""
        self._turn_deferred: Deferred[Any] | None = None
        self._is_stashing = False
        self.is_touched = False
        """Whether there is something to look at after this turn: what it has left, or what comes before the next."""
        self._stash: deque[Envelope] | None = None
        self._stash_size_max = stash_size_max
        self._timers: Timers | None = None

    def begin(self, origin: Origin) -> None:
        """A turn begins: what came in is what may be rested on."""
        self.current = origin
        self.origin = None
        if origin.after > self.after:  # noqa: PLR1730  # one of the hottest lines: max() would cost a call
            self.after = origin.after

    def end(self) -> None:
        """The turn is over, however it went."""
        self.current = self.origin = None
        if self.is_touched:
            self.tidy()

    def tidy(self) -> None:
        """Forget what the turn has appended, settled, deferred or stashed."""
        self.is_touched = False
        self.origin = None
        self.turn_position = self._turn_cause = Position(0)
        self._turn_deferred = None
        self._is_stashing = False
        self._settled.clear()

    def forget_promises(self) -> None:
        """The turn has failed: what it has promised or settled never was."""
        self.deferred.update(dict.fromkeys(self._settled))
        if self._turn_deferred is not None:
            self.deferred.pop(self._turn_deferred, None)

    def finish(self, envelope: Envelope, reply: Message | None) -> None:
        """The turn has succeeded: set its message aside, or give its reply, if anybody asked."""
        _, origin = envelope
        if self._is_stashing:
            self._stash = self._stash or deque()
            self._stash.append(envelope)
        elif origin.reply_to is not None:
            self.answer(origin, reply)

    def answer(self, origin: Origin, reply: Message | None) -> None:
        """Give the turn's reply to who asked, unless it is deferred."""
        assert origin.reply_to is not None, "somebody has asked"
        if self._turn_deferred is not None:
            self._turn_deferred.note_position(self.turn_position)
        else:
            origin.reply_to(Answer(reply if reply is not None else Done(), self.turn_position, self.after))

    def rest_on(self, position: Position) -> None:
        """Whatever leaves from now on may rest on the event at that position."""
        if position > self.after:
            self.after = position
            self.origin = None

    def output(self, leave: Callable[[], None]) -> None:
        """Let something leave the actor: at once, or with the turn."""
        if self.staged is not None:
            self.staged.append(leave)
        else:
            leave()

    @property
    def cause(self) -> Position:
        """The event that leads to what is done now."""
        if self._turn_cause or self.current is None:
            return self._turn_cause
        return self.current.position or self.current.cause

    @property
    def correlation(self) -> str:
        """The conversation that the current turn belongs to."""
        return self.current.correlation if self.current is not None else ""

    @property
    def hops(self) -> int:
        """How often what leaves now has been passed on."""
        return self.current.hops + 1 if self.current is not None else 0

    def outgoing(self) -> Origin:
        """The origin of what leaves now: it carries on the current conversation."""
        assert self.staged is None, "what a staged turn says has no origin before the turn has succeeded"
        if self.origin is not None:
            return self.origin
        current = self.current
        if current is None:
            origin = Origin(self.address, self.after)
        else:
            cause = self._turn_cause or current.position or current.cause
            origin = Origin(self.address, self.after, cause, current.correlation, current.hops + 1)
        if origin.hops <= HOPS_MAX:  # what was passed on too often is not let through without a look
            self.origin = origin
        return origin

    def tell(self, to: Address, message: Message) -> None:
        if self.staged is None:
            self._deliver(to, (message, self.outgoing()))
        else:
            self.staged.append(lambda: self.tell(to, message))

    def slip_in(self, to: Address, message: Message) -> bool:
        """Put a message into a mailbox that holds something, and has room: nobody has to be woken, and nobody asked.

        False, and nothing has happened, when it has to go the long way.
        """
        mailbox = self.inboxes.get(to)
        if self.origin is None or mailbox is None or not 0 < len(mailbox.data) < mailbox.bound:
            return False
        mailbox.data.append((message, self.origin))
        return True

    def publish(self, message: Message) -> None:
        if self.staged is None:
            self.core.delivery.publish((message, self.outgoing()))
        else:
            self.staged.append(lambda: self.publish(message))

    def subscribe(self, interest: Interest, size_max: int, overflow: Overflow) -> BusSubscription:
        return self.core.delivery.subscribe(self.address, interest, size_max, overflow)

    def start_timer(self, key: str, delay_s: float, message: Message) -> None:
        self.output(lambda: self._arm_timer(key, delay_s, message))

    def cancel_timer(self, key: str) -> None:
        self.output(lambda: self._disarm_timer(key))

    def cancel_all_timers(self) -> None:
        if self._timers is not None:
            self._timers.cancel_all()

    def perform(
        self,
        is_gated: bool,
        function: Callable[Concatenate[Job, P], Awaitable[None]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Job:
        cancelled = False
        cancel_running: Callable[[], None] | None = None

        def cancel() -> None:
            nonlocal cancelled
            cancelled = True
            if cancel_running is not None:
                cancel_running()

        job = Job(self.core.delivery, self.address, self.correlation, cancel)
        job.rest_on(self.after, self.cause)

        def start() -> None:
            nonlocal cancel_running
            if cancelled:
                return
            job.rest_on(self.after, self.cause)
            gate = job.after if is_gated else Position(0)
            cancel_running = self.core.start_job(self.address, gate, lambda: function(job, *args, **kwargs))

        self.output(start)
        return job

    def defer(self) -> Deferred[Any]:
        assert self.current is not None, "only a turn can defer its reply"
        assert self._turn_deferred is None, "a turn has one reply to defer"
        self.is_touched = True
        self._turn_deferred = Deferred(self, self.current)
        self.deferred[self._turn_deferred] = None
        return self._turn_deferred

    def settle(self, deferred: Deferred[Any]) -> None:
        """A promised reply is being given."""
        del self.deferred[deferred]
        if self.staged is not None:
            self.is_touched = True
            self._settled.append(deferred)

    def fail_deferred(self, error: AgoraError) -> None:
        """Answer all deferred replies with an error: the actor that owed them is gone."""
        for deferred in list(self.deferred):
            deferred.refuse(error)

    def stash(self) -> None:
        assert self.current is not None, "only a message that is being handled can be stashed"
        if len(self._stash or ()) >= self._stash_size_max:
            raise MailboxFull(self.address, self._stash_size_max)
        self.is_touched = self._is_stashing = True

    def unstash(self) -> None:
        stashed = self.take_stash()
        if stashed:
            self.core.delivery.unstash(self.address, stashed)

    def take_stash(self) -> list[Envelope]:
        """What is stashed: it goes back to the mailbox when the actor restarts."""
        stashed = list(self._stash or ())
        self._stash = None
        return stashed

    def draft(self, events: Sequence[Event], cursor: Position, ahead: int = 0) -> tuple[Recorded, ...]:
        """The events at their positions; each is caused by what led to the turn. `ahead` counts staged ones."""
        now_us = self.core.clock.now_us()
        first = self.core.log.head + ahead + 1
        cause, correlation = self.cause, self.correlation
        address = self.address
        records = tuple(
            [
                Recorded(event, Position(position), now_us, address, cause, correlation, cursor)
                for position, event in enumerate(events, first)
            ]
        )
        self.is_touched = True
        if not self.turn_position:
            self.turn_position = Position(first)
        self._turn_cause = records[-1].position
        self.origin = None
        return records

    def record(self, events: Sequence[Event]) -> Position:
        """Append at once, outside any staged turn."""
        assert self.staged is None, "in a persistent actor's turn events are persisted"
        records = self.draft(events, Position(0))
        self.core.append(records, {}, self.hops)
        self.rest_on(records[-1].position)
        if self.current is None:
            self.tidy()
        return records[0].position

    def _arm_timer(self, key: str, delay_s: float, message: Message) -> None:
        if self._timers is None:
            self._timers = Timers(self.core.deadlines)
        cause, correlation = self.cause, self.correlation

        def tell(passed: TimerPassed) -> None:
            self.core.delivery.deliver(self.address, (passed, Origin(self.address, self.after, cause, correlation)))

        self._timers.start(key, delay_s, message, tell)

    def _disarm_timer(self, key: str) -> None:
        if self._timers is not None:
            self._timers.cancel(key)
