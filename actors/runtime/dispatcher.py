"""Who runs next.

One run queue; one callback of the event loop drains it, a budget of messages and of time per actor and per turn of the
loop, so that a flood pays one wake-up per batch and sockets and timers still get their turn. A synchronous handler runs
without a task; an asynchronous one gets a task for as long as its actor has messages, and no two run for one actor at
once. An idle actor answers an ask in place, on the asker's stack.

No turn of a persistent actor starts while the log is saturated: that is the backpressure of the disk. And while the log
falls behind, each turn of the loop is followed by a pause: a busy loop keeps the interpreter from the writer's thread.

With dice, the next actor is drawn and handles one message: a seed is an order.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from actors.runtime.actor import Handler
from actors.runtime.cell import Cell
from actors.runtime.deadlines import Deadlines
from actors.runtime.log import Log
from actors.runtime.pace import Pace
from actors.runtime.tasks import Tasks
from actors.runtime.timers import TimerPassed, told
from actors.runtime.turns import (
    ACTOR_BUDGET,
    BLOCKING_S,
    Burst,
    Reports,
    escaped,
    say_refused,
    say_unhandled,
    warn_of_blocking,
)
from bus.dice import Dice
from bus.envelope import Envelope, Origin
from bus.errors import Refused
from bus.mailbox import Mailbox

TURN_BUDGET = 1_024
"""Messages per turn of the loop: a millisecond or two of light handlers."""
TURN_S = 0.0007
"""No batch is begun in a turn of the loop that has lasted so long: heavy handlers hold sockets and timers up no more
than light ones do."""
BATCH_S = 0.0002
"""A batch has no more messages than take so long at the pace of the actor's last ones."""
IN_PLACE_BUDGET = 256
"""Asks answered in place before one takes the queue: an asker that never waits would starve the loop."""
CEDE_PAST_S = 0.05
"""The age of the log's oldest event past which the loop cedes time to the writer."""
CEDE_S = 0.001


class Dispatcher:
    """The run queue of one actor system."""

    def __init__(self, log: Log, tasks: Tasks, deadlines: Deadlines, dice: Dice | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._log = log
        self._tasks = tasks
        self._deadlines = deadlines
        self._dice = dice
        self._turn_budget = TURN_BUDGET if dice is None else 1
        self._now_s = 0.0
        """When the last batch ended."""
        self._ready: deque[Cell] = deque()
        self._held: list[Cell] = []
        self._is_draining = False
        self._in_place = 0
        self._resting: list[asyncio.Future[None]] = []

    def report_to(self, reports: Reports, crashed: Callable[[Exception], None]) -> None:
        """Say who hears how turns end, and who hears of a bug in the runtime itself."""
        self._reports = reports
        self._crashed = crashed

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits to run."""
        return not self._ready and not self._held

    async def rest(self) -> None:
        """Wait until the run queue is empty, or a burst or a look into the past has ended."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._resting.append(future)
        await future

    def wake(self, cell: Cell) -> None:
        """The actor has work: let it run in one of the next turns."""
        if cell.is_queued or not cell.may_run or not cell.has_work():
            return
        cell.is_queued = True
        if cell.pace is None:
            cell.pace = Pace()
        cell.pace.note_waiting(cell.mailbox, self._loop.time())
        self._ready.append(cell)
        if not self._is_draining:
            self._is_draining = True
            self._loop.call_soon(self._drain)

    def rested(self, cell: Cell) -> None:
        """An actor's burst, its look into the past or its life is over, or it was paused."""
        self.wake(cell)
        self._tell_resting()

    def run_in_place(self, cell: Cell, envelope: Envelope) -> bool:
        """Handle the message now, if the actor is idle and its handler is synchronous; False when it must queue."""
        if not cell.may_run or self._in_place >= IN_PLACE_BUDGET or cell.has_work():
            return False
        handler = cell.synchronous.get(type(envelope[0]))
        assert cell.context is not None, "a running actor has a context"
        if handler is None or cell.context.current is not None or (cell.is_persistent and self._log.is_saturated):
            return False
        if self._dice is not None and self._dice.random() < 0.5:
            return False
        self._in_place += 1
        cell.mailbox.pass_through()
        self._turn(cell, handler, envelope)
        return True

    def handle_fact(self, cell: Cell, envelope: Envelope) -> None:
        """Handle a fact from the past, ahead of the mailbox, for an actor that is catching up."""
        self._handle(cell, envelope)

    def _drain(self) -> None:
        self._in_place = 0
        budget = self._turn_budget
        self._now_s = self._loop.time()
        ends_s = self._now_s + TURN_S
        try:
            while self._ready and budget > 0 and self._now_s < ends_s:
                if self._dice is not None:
                    self._ready.rotate(-self._dice.index(len(self._ready)))
                cell = self._ready.popleft()
                cell.is_queued = False
                budget -= self._run(cell, budget)
        except Exception as error:  # noqa: BLE001  # a bug in the runtime: silence would be a hang
            self._crashed(error)
        self._is_draining = bool(self._ready)
        if not self._is_draining:
            self._tell_resting()
        elif self._log.watermark_age_s > CEDE_PAST_S:
            self._loop.call_later(CEDE_S, self._drain)
        else:
            self._loop.call_soon(self._drain)

    def _run(self, cell: Cell, budget: int) -> int:
        """A batch of one actor; returns how many messages it handled."""
        if not cell.may_run:
            return 0
        began_s = self._now_s
        pace = cell.pace = cell.pace or Pace()
        handled = self._batch(cell, pace.fitting(BATCH_S, min(ACTOR_BUDGET, budget)))
        if handled:
            now_s = self._now_s = self._loop.time()
            pace.note_batch(handled, now_s - began_s)
            if cell.mailbox.data:
                pace.note_waiting(cell.mailbox, now_s)
            if now_s - began_s > BLOCKING_S:
                warn_of_blocking(cell, now_s - began_s)
        if cell.may_run and not cell.is_queued:
            self.wake(cell)
        return handled

    def _batch(self, cell: Cell, budget: int) -> int:
        handled = 0
        while handled < budget and cell.may_run:
            if cell.is_persistent and self._log.is_saturated:
                self._hold(cell)
                break
            queue = cell.next_queue()
            if queue is None:
                if cell.is_lagging:
                    self._reports.left_out(cell)
                break
            if not cell.is_persistent and not queue.control:
                handled += self._flow(cell, queue, queue.open_batch(budget - handled))
            elif (envelope := queue.take()) is not None:
                handled += 1
                self._handle(cell, envelope)
        return handled

    def _flow(self, cell: Cell, queue: Mailbox, count: int) -> int:
        """Turns of one actor, `count` unless something comes first; returns how many there were.

        The hottest lines of all. What `Actor.handle` does is written out here, and for most messages nothing is called
        but their handler: what they rest on came with the first message of their origin, and nobody asks for an answer.
        """
        actor, context, handlers = cell.actor, cell.context, cell.synchronous
        assert actor is not None, "a running actor is there"
        assert context is not None, "a running actor has a context"
        popleft = queue.data.popleft
        current: Origin | None = None
        is_asked = False
        handled = 0
        try:
            for handled in range(1, count + 1):  # noqa: B007  # how many it was is read after the loop
                envelope = popleft()
                message, origin = envelope
                if origin is not current:
                    current = origin
                    is_asked = origin.reply_to is not None
                    context.begin(origin)
                handler = handlers.get(type(message))
                if handler is None:
                    break
                reply = handler(actor, message)
                if is_asked or context.is_touched:
                    context.finish(envelope, reply)
                    if context.is_touched:
                        break
        except asyncio.CancelledError as error:
            context.forget_promises()
            self._failed(cell, envelope, escaped(error))
        except Exception as fault:  # noqa: BLE001  # the actor loop: a fault crashes the actor, the supervisor decides
            context.forget_promises()
            self._failed(cell, envelope, fault)
        finally:
            context.end()
            queue.close_batch(handled)
            cell.handled += handled
        if handler is None:
            self._other(cell, envelope)
        return handled

    def _handle(self, cell: Cell, envelope: Envelope) -> None:
        handler = cell.synchronous.get(type(envelope[0]))
        if handler is not None:
            self._turn(cell, handler, envelope)
        else:
            cell.handled += 1
            self._other(cell, envelope)

    def _turn(self, cell: Cell, handler: Handler, envelope: Envelope) -> None:
        actor = cell.actor
        assert actor is not None, "a running actor is there"
        cell.handled += 1
        try:
            actor.handle(handler, envelope)
        except asyncio.CancelledError as error:
            self._failed(cell, envelope, escaped(error))
        except Exception as fault:  # noqa: BLE001  # the actor loop, as above
            self._failed(cell, envelope, fault)

    def _failed(self, cell: Cell, envelope: Envelope, fault: Exception) -> None:
        """A rule has said no, or the actor has failed."""
        if isinstance(fault, Refused):
            say_refused(cell, envelope, fault)
        else:
            self._reports.faulted(cell, envelope, fault)

    def _other(self, cell: Cell, envelope: Envelope) -> None:
        """A timer, a message whose handler is asynchronous, or one that has none."""
        if isinstance(envelope[0], TimerPassed):
            cell.handled -= 1  # its message counts, if it still has one to tell
            if (live := told(envelope)) is not None:
                self._handle(cell, live)
        elif type(envelope[0]) in cell.asynchronous:
            burst = Burst(cell, self._deadlines, self._reports)
            cell.begin_burst(self._tasks.spawn(burst.run, f"{cell.address} burst"), envelope)
        else:
            say_unhandled(cell, envelope, self._reports)

    def _hold(self, cell: Cell) -> None:
        """Let the actor wait until the log has drained; it counts as queued meanwhile."""
        cell.is_queued = True
        if not self._held:
            self._log.when_drained(self._release)
        self._held.append(cell)

    def _release(self) -> None:
        held, self._held = self._held, []
        for cell in held:
            cell.is_queued = False
            self.wake(cell)

    def _tell_resting(self) -> None:
        resting, self._resting = self._resting, []
        for future in resting:
            if not future.done():
                future.set_result(None)
