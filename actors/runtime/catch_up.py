"""How an actor reads the facts that it has not handled from the past, before its mailbox goes on.

Rules: facts come in order, each once; what comes meanwhile waits in the mailbox. A pause ends the reading, and the
resume begins it again, from the cursor on. What cannot be read is a fault of the actor that needs it.
"""

import asyncio
import contextlib
from collections.abc import Callable

from actors.runtime.cell import Cell
from actors.runtime.dispatcher import Dispatcher
from actors.runtime.facts import FactRoutes
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.log import History, Log
from actors.runtime.persistent import PersistentActor
from actors.runtime.tasks import Tasks
from bus.envelope import Envelope
from bus.messages.base import Position

FACTS_PER_TURN = 256
"""Facts that are told before the loop gets its turn."""


class CatchUp:
    """The way into the past of one system's actors."""

    def __init__(
        self,
        *,
        log: Log,
        history: History,
        facts: FactRoutes,
        dispatcher: Dispatcher,
        tasks: Tasks,
        faulted: Callable[[Cell, Envelope | None, Exception], None],
    ) -> None:
        self._log = log
        self._history = history
        self._facts = facts
        self._dispatcher = dispatcher
        self._tasks = tasks
        self._faulted = faulted

    def read_left_out(self, cell: Cell) -> None:
        """The actor has handled what it had; now read what its mailbox could not take."""
        cell.is_lagging = False
        cell.catch_up(True)
        self.read_on(cell)

    def read_on(self, cell: Cell) -> None:
        """Read in a task of its own, up to the head."""
        actor = cell.actor

        async def read() -> None:
            try:
                await self.read(cell, self._log.head)
            except Exception as fault:  # noqa: BLE001  # the boundary of an actor's own task: its fault is the actor's
                if cell.actor is actor:
                    self._faulted(cell, None, fault)

        self._tasks.spawn(read, f"{cell.address} catch-up")

    async def read(self, cell: Cell, upto: Position) -> None:
        """Tell an actor the facts after its cursor, up to a position, then let its mailbox go on."""
        actor = cell.actor
        assert isinstance(actor, PersistentActor), "only persistent actors have durable subscriptions"
        await self._log.committed(upto)
        told = 0
        async with contextlib.aclosing(self._facts.past(self._history, cell, actor.cursor, upto)) as past:
            async for record in past:
                told += 1
                if told % FACTS_PER_TURN == 0:
                    await asyncio.sleep(0)
                while self._log.is_saturated:
                    await self._log.committed(self._log.head)
                if cell.actor is not actor or cell.state is not Lifecycle.RUNNING:
                    return
                self._dispatcher.handle_fact(cell, self._facts.envelope(record, hops=0))
        if cell.actor is actor and cell.state is Lifecycle.RUNNING:
            cell.catch_up(False)
            self._dispatcher.rested(cell)
