"""One turn after another of one actor whose handlers are asynchronous, in one task: a burst.

Rules: one burst per actor, and no other turn beside it. The burst goes on while there are messages, up to a budget.
Whatever ends it, the message in hand is answered for: handled, refused, faulted, or a dead letter. A handler that makes
no progress for its actor's declared time is stuck: that is a fault, reported with the names of both.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass

from actors.runtime.actor import Actor, unhandled
from actors.runtime.cell import Cell
from actors.runtime.deadlines import Deadline, Deadlines
from actors.runtime.lifecycle import Lifecycle
from bus.envelope import Envelope, Failure
from bus.errors import ActorStuck, Refused

logger = logging.getLogger(__name__)

ACTOR_BUDGET = 128
"""Messages that an actor handles before the others get their turn."""
BLOCKING_S = 0.05
"""A batch, or a step of an asynchronous handler, that takes longer has kept sockets and timers waiting."""


@dataclass(frozen=True, slots=True)
class Reports:
    """Who hears how turns end."""

    faulted: Callable[[Cell, Envelope | None, Exception], None]
    undelivered: Callable[[Cell, Envelope, str], None]
    left_out: Callable[[Cell], None]
    """The actor has handled what it had and must read what its mailbox could not take."""
    rested: Callable[[Cell], None]
    """The actor's burst is over; it may have work."""


class Burst:
    """The turns of one actor in one task."""

    __slots__ = ("_actor", "_began_s", "_cell", "_deadlines", "_loop", "_reports", "_watch")

    def __init__(self, cell: Cell, deadlines: Deadlines, reports: Reports) -> None:
        assert cell.actor is not None, "a running actor is there"
        self._loop = asyncio.get_running_loop()
        self._cell = cell
        self._actor: Actor = cell.actor
        self._deadlines = deadlines
        self._reports = reports
        self._began_s = 0.0
        self._watch: Deadline | None = None

    async def run(self) -> None:
        """Handle the message in hand, and what comes after it."""
        cell, task = self._cell, asyncio.current_task()
        self._watch = self._deadlines.after(self._actor.stuck_after_s, self._look)
        began_s = self._loop.time()
        envelope, handled = cell.in_hand, 0
        try:
            while envelope is not None:
                await self._turn(envelope)
                handled += 1
                if handled == ACTOR_BUDGET or not self._is_current(task):
                    return
                envelope = cell.in_hand = cell.next_envelope()
                cell.handled += envelope is not None
        finally:
            self._watch.cancel()
            if cell.burst is task:
                if cell.pace is not None and handled:
                    cell.pace.note_batch(handled, self._loop.time() - began_s)
                self._end()

    async def _turn(self, envelope: Envelope) -> None:
        cell, actor = self._cell, self._actor
        self._began_s = self._loop.time()
        kind = type(envelope[0])
        try:
            if handler := cell.asynchronous.get(kind):
                await Timed(actor.handle_async(handler, envelope), self._blocked)
            elif handler := cell.synchronous.get(kind):
                actor.handle(handler, envelope)
            else:
                say_unhandled(cell, envelope, self._reports)
        except Refused as refusal:
            say_refused(cell, envelope, refusal)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._fault(envelope, escaped(error))  # nobody cancelled this task
        except Exception as fault:  # noqa: BLE001  # the actor loop: a fault crashes the actor, the supervisor decides
            self._fault(envelope, fault)
        else:
            if cell.in_hand is envelope:
                cell.in_hand = None

    def _blocked(self, seconds: float) -> None:
        """A step of the handler has kept the loop for too long."""
        envelope = self._cell.in_hand
        message = envelope[0].wire_name if envelope is not None else ""
        warn_of_blocking(self._cell, seconds, message)

    def _fault(self, envelope: Envelope, fault: Exception) -> None:
        if self._cell.actor is self._actor and self._cell.in_hand is envelope:
            self._cell.in_hand = None
            self._reports.faulted(self._cell, envelope, fault)

    def _is_current(self, task: "asyncio.Task[None] | None") -> bool:
        cell = self._cell
        return cell.actor is self._actor and cell.burst is task and cell.state is Lifecycle.RUNNING

    def _end(self) -> None:
        cell = self._cell
        envelope = cell.in_hand
        cell.end_burst()
        if envelope is not None:
            self._reports.undelivered(cell, envelope, "the actor was stopped while it handled this")
        self._reports.rested(cell)

    def _look(self) -> None:
        """Has the turn made progress since the last look?"""
        cell = self._cell
        stuck_after_s = self._actor.stuck_after_s
        left_s = self._began_s + stuck_after_s - self._loop.time()
        if left_s > 0:
            self._watch = self._deadlines.after(left_s, self._look)
        elif cell.in_hand is not None and cell.actor is self._actor:
            message, _ = cell.in_hand
            name = message.wire_name or type(message).__name__
            self._fault(cell.in_hand, ActorStuck(cell.address, name, stuck_after_s))


class Timed:
    """Awaits a coroutine and tells of each of its steps that keeps the loop for too long."""

    __slots__ = ("_blocked", "_coroutine")

    def __init__(self, coroutine: Coroutine[object, None, None], blocked: Callable[[float], None]) -> None:
        self._coroutine = coroutine
        self._blocked = blocked

    def __await__(self) -> Generator[object, None, None]:
        error: BaseException | None = None
        clock = asyncio.get_running_loop().time
        while True:
            began_s = clock()
            try:
                awaited = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
            except StopIteration:
                return
            finally:
                if (elapsed_s := clock() - began_s) > BLOCKING_S:
                    self._blocked(elapsed_s)
            error = None
            try:
                yield awaited
            except BaseException as raised:  # noqa: BLE001  # it is not kept: the coroutine gets it
                error = raised  # it goes to where the coroutine waits, in the next round


def escaped(error: asyncio.CancelledError) -> RuntimeError:
    """The fault of a handler that let the cancellation of something else through."""
    return RuntimeError(f"a cancellation escaped from the handler: {error!r}")


def warn_of_blocking(cell: Cell, seconds: float, message: str = "") -> None:
    """Say whose handler kept sockets and timers waiting."""
    logger.warning(
        "an actor blocked the loop",
        extra={"actor": cell.address, "seconds": round(seconds, 3), "handled": message},
    )


def say_refused(cell: Cell, envelope: Envelope, refusal: Refused) -> None:
    """Answer with a rule's no."""
    _, origin = envelope
    if origin.reply_to is not None:
        after = cell.context.after if cell.context is not None else origin.after
        origin.reply_to(Failure(refusal, after))


def say_unhandled(cell: Cell, envelope: Envelope, reports: Reports) -> None:
    """Nobody is there for such a message: its asker hears of it, and it is a dead letter."""
    error = unhandled(cell.address, envelope[0])
    cell.fail_envelope(envelope, error)
    reports.undelivered(cell, envelope, str(error))
