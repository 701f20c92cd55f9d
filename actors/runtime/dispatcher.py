"""Who runs next.

One run queue; one callback of the event loop drains it, a budget per actor and per turn of the loop, so that a flood
pays one wake-up per batch and sockets and timers still get their turn. A synchronous handler runs without a task; an
asynchronous one gets a task for as long as its actor has messages, and no two run for one actor at once. An idle actor
answers an ask in place, on the asker's stack.

No turn of a persistent actor starts while the log is saturated: that is the backpressure of the disk.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from actors.runtime.actor import unhandled
from actors.runtime.cell import Cell
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.log import Log
from actors.runtime.tasks import Tasks
from bus.envelope import Envelope, Failure
from bus.errors import Refused

ACTOR_BUDGET = 128
TURN_BUDGET = 1_024
"""Messages per turn of the loop: some 2 ms of light handlers."""


class Dispatcher:
    """The run queue of one actor system."""

    def __init__(self, log: Log, tasks: Tasks) -> None:
        self._loop = asyncio.get_running_loop()
        self._log = log
        self._tasks = tasks
        self._ready: deque[Cell] = deque()
        self._held: list[Cell] = []
        self._is_draining = False

    def report_to(
        self,
        *,
        faulted: Callable[[Cell, Envelope | None, Exception], None],
        undelivered: Callable[[Cell, Envelope, str], None],
        left_out: Callable[[Cell], None],
    ) -> None:
        """Say who hears of faults, of messages that were not handled, and of actors that must read from the past."""
        self._faulted = faulted
        self._undelivered = undelivered
        self._left_out = left_out

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits to run."""
        return not self._ready and not self._held

    def wake(self, cell: Cell) -> None:
        """The actor has work: let it run in one of the next turns."""
        if cell.is_queued or not cell.may_run or not cell.has_work():
            return
        cell.is_queued = True
        self._ready.append(cell)
        if not self._is_draining:
            self._is_draining = True
            self._loop.call_soon(self._drain)

    def run_in_place(self, cell: Cell) -> bool:
        """Handle the actor's one waiting message now, if it is idle and the handler is synchronous."""
        if not cell.may_run or len(cell.mailbox) != 1 or (cell.is_persistent and self._log.is_saturated):
            return False
        assert cell.context is not None, "a running actor has a context"
        if cell.context.current is not None:
            return False
        envelope = cell.mailbox.take()
        assert envelope is not None, "the mailbox held one message"
        self._handle(cell, envelope)
        return True

    def handle_fact(self, cell: Cell, envelope: Envelope) -> None:
        """Handle a fact from the past, ahead of the mailbox, for an actor that is catching up."""
        self._handle(cell, envelope)

    def _drain(self) -> None:
        budget = TURN_BUDGET
        while self._ready and budget > 0:
            cell = self._ready.popleft()
            cell.is_queued = False
            budget -= self._run(cell, min(ACTOR_BUDGET, budget))
        self._is_draining = bool(self._ready)
        if self._is_draining:
            self._loop.call_soon(self._drain)

    def _run(self, cell: Cell, budget: int) -> int:
        handled = 0
        while handled < budget and cell.may_run:
            if cell.is_persistent and self._log.is_saturated:
                self._hold(cell)
                return handled
            envelope = cell.next_envelope()
            if envelope is None:
                if cell.is_lagging:
                    self._left_out(cell)
                return handled
            handled += 1
            self._handle(cell, envelope)
        self.wake(cell)
        return handled

    def _hold(self, cell: Cell) -> None:
        if not self._held:
            self._log.when_drained(self._release)
        self._held.append(cell)

    def _release(self) -> None:
        held, self._held = self._held, []
        for cell in held:
            self.wake(cell)

    def _handle(self, cell: Cell, envelope: Envelope) -> None:
        actor = cell.actor
        assert actor is not None, "a running actor is there"
        table = actor.handlers()
        handler = table.synchronous.get(type(envelope.message))
        if handler is None:
            if type(envelope.message) in table.asynchronous:
                cell.burst = self._tasks.spawn(self._burst(cell, envelope), f"{cell.address} burst")
            else:
                self._unhandled(cell, envelope)
            return
        cell.handled += 1
        try:
            actor.handle(handler, envelope)
        except Refused as refusal:
            self._refused(cell, envelope, refusal)
        except Exception as fault:  # noqa: BLE001  # the actor loop: a fault crashes the actor, the supervisor decides
            self._faulted(cell, envelope, fault)

    async def _burst(self, cell: Cell, first: Envelope) -> None:
        """Handle messages in a task until there are none or the budget is used up."""
        actor = cell.actor
        assert actor is not None, "a running actor is there"
        table = actor.handlers()
        envelope: Envelope | None = first
        handled = 0
        try:
            while envelope is not None:
                cell.handled += 1
                handled += 1
                message = type(envelope.message)
                try:
                    if message in table.asynchronous:
                        await actor.handle_async(table.asynchronous[message], envelope)
                    elif message in table.synchronous:
                        actor.handle(table.synchronous[message], envelope)
                    else:
                        self._unhandled(cell, envelope)
                except Refused as refusal:
                    self._refused(cell, envelope, refusal)
                except Exception as fault:  # noqa: BLE001  # the actor loop, as above
                    self._faulted(cell, envelope, fault)
                    return
                if cell.state is not Lifecycle.RUNNING or handled >= ACTOR_BUDGET:
                    return
                envelope = cell.next_envelope()
        except asyncio.CancelledError:
            if envelope is not None:
                self._undelivered(cell, envelope, "the actor was stopped while it handled this")
            raise
        finally:
            cell.burst = None
            self.wake(cell)

    def _refused(self, cell: Cell, envelope: Envelope, refusal: Refused) -> None:
        if envelope.reply_to is not None:
            after = cell.context.after if cell.context is not None else envelope.after
            envelope.reply_to(Failure(refusal, after))

    def _unhandled(self, cell: Cell, envelope: Envelope) -> None:
        error = unhandled(cell.address, envelope)
        cell.fail_envelope(envelope, error)
        self._undelivered(cell, envelope, str(error))
