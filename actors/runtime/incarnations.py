"""How an actor comes to life, and comes to life again.

Start: make, bind, recover (fold the checkpoint and every later event of its own, committed or in flight), `on_start`,
the recovered turn, then the facts that it has not handled, in order, and only then its mailbox.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from actors.runtime.cell import Cell, ChildSpec
from actors.runtime.context import Context, Core
from actors.runtime.delivery import Delivery
from actors.runtime.dispatcher import Dispatcher
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.log import History, Log
from actors.runtime.persistent import PersistentActor
from actors.runtime.tasks import Tasks
from actors.runtime.timeline import Timeline
from bus.clock import Clock
from bus.dice import Dice
from bus.envelope import Envelope
from bus.errors import ActorFault
from bus.mailbox import Mailbox
from bus.messages.base import Position

logger = logging.getLogger(__name__)


class Incarnations:
    """The nursery of one system."""

    def __init__(
        self,
        *,
        core: Core,
        log: Log,
        history: History,
        delivery: Delivery,
        dispatcher: Dispatcher,
        timeline: Timeline,
        tasks: Tasks,
        dice: Dice,
    ) -> None:
        self._core = core
        self._log = log
        self._history = history
        self._delivery = delivery
        self._dispatcher = dispatcher
        self._timeline = timeline
        self._tasks = tasks
        self._dice = dice

    @property
    def clock(self) -> Clock:
        return self._core.clock

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Run a task that the system waits for."""
        return self._tasks.spawn(work, name)

    def create(self, spec: ChildSpec, failed: Callable[[Cell, Exception], None]) -> Cell:
        """Make an actor and open its address. Raises ValueError when the address is taken."""
        actor = spec.factory()
        kind = type(actor)
        cell = Cell(spec, Mailbox(actor.mailbox_size_max, actor.overflow, kind.coalesce_key), failed)
        cell.actor = actor
        self._bind(cell)
        self._delivery.open(cell)
        return cell

    def renew(self, cell: Cell) -> None:
        """Make a new incarnation of a cell's actor."""
        self._delivery.end_subscriptions(cell)
        cell.actor = cell.spec.factory()
        self._bind(cell)

    async def boot(self, cell: Cell) -> None:
        """Recover and start a cell's actor, then let it run."""
        actor = cell.actor
        assert actor is not None, "an actor is made before it boots"
        upto = Position(0)
        if isinstance(actor, PersistentActor):
            await self._log.committed(cell.last_append)
            await actor.recover(self._history)
        await actor.on_start()
        if isinstance(actor, PersistentActor):
            cell.subscriptions = () if cell.parked_at else actor.subscriptions()
            cell.mailbox.remove(lambda envelope: bool(envelope.position))
            upto = self._log.head
            cell.is_lagging = False
            cell.is_catching_up = bool(cell.subscriptions)
            self._timeline.facts.register(cell)
            actor.recovered()
        if cell.state is not Lifecycle.STARTING:
            return
        cell.move(Lifecycle.RUNNING)
        if cell.is_catching_up:
            await self._catch_up(cell, upto)
        self._dispatcher.wake(cell)

    def forget(self, cell: Cell, reason: str) -> None:
        """A cell has stopped for good."""
        self._timeline.facts.unregister(cell)
        self._delivery.close(cell, reason)

    def read_left_out(self, cell: Cell) -> None:
        """The actor has handled what it had; now read from the past what its mailbox could not take."""
        cell.is_lagging = False
        cell.is_catching_up = True
        self._tasks.spawn(self._catch_up(cell, self._log.head), f"{cell.address} catch-up")

    def faulted(self, cell: Cell, envelope: Envelope | None, fault: Exception) -> None:
        """A handler or a job has raised what is not a refusal: tell everyone once, then let the supervisor decide."""
        what = (envelope.message.wire_name or type(envelope.message).__name__) if envelope is not None else "a job"
        error = ActorFault(cell.address, what, f"{type(fault).__name__}: {fault}")
        logger.error("an actor failed", extra={"error": str(error)}, exc_info=fault)
        if envelope is not None:
            cell.fail_envelope(envelope, error)
            self._delivery.dead_letter(cell.address, envelope, str(error))
            if self._timeline.facts.note_failure(cell, envelope):
                logger.error(
                    "a fact crashed its subscriber too often; the subscription is parked",
                    extra={"actor": cell.address, "position": envelope.position},
                )
        self._timeline.record_fault(error)
        cell.failed(fault)

    def _bind(self, cell: Cell) -> None:
        actor = cell.actor
        assert actor is not None, "an actor is made before it is bound"
        actor.handlers()
        cell.context = Context(cell.address, self._core, self._dice.split(cell.address), actor.mailbox_size_max)
        actor.bind(cell.context)

    async def _catch_up(self, cell: Cell, upto: Position) -> None:
        """Tell an actor the facts that it has not handled, from the past, before its mailbox goes on."""
        actor = cell.actor
        assert isinstance(actor, PersistentActor), "only persistent actors have durable subscriptions"
        await self._log.committed(upto)
        facts = self._timeline.facts
        for record in await facts.past(self._history, cell, actor.cursor, upto):
            while self._log.is_saturated:
                await self._log.committed(self._log.head)
            if cell.actor is not actor or cell.state is not Lifecycle.RUNNING:
                return
            self._dispatcher.handle_fact(cell, facts.envelope(record, hops=0))
        if cell.actor is actor:
            cell.is_catching_up = False
            self._dispatcher.wake(cell)
