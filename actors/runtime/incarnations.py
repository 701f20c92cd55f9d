"""How an actor comes to life, ends, and comes to life again.

Start: make, bind, recover (fold the checkpoint and every later event of its own, committed or in flight), `on_start`,
the recovered turn, then the facts that it has not handled, in order, and only then its mailbox. End: its children, its
timers, its burst, its jobs, its promises, then `on_stop`; each within its deadline, and what does not end in time is
left behind, never waited for. Whoever was overtaken meanwhile, by a stop or the next incarnation, does nothing more.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine

from actors.runtime.actor import Actor, ChildSpec
from actors.runtime.catch_up import CatchUp
from actors.runtime.cell import Cell, Keeper
from actors.runtime.context import Context, Core
from actors.runtime.deadlines import Deadlines
from actors.runtime.delivery import Delivery
from actors.runtime.dispatcher import Dispatcher
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.log import History, Log
from actors.runtime.persistent import PersistentActor
from actors.runtime.supervisor import Supervisor
from actors.runtime.tasks import Tasks, Work
from actors.runtime.timeline import Timeline
from actors.runtime.timers import apart
from actors.runtime.turns import Reports
from bus.address import NOBODY, Address
from bus.clock import Clock
from bus.dice import Dice
from bus.envelope import Envelope
from bus.errors import ActorFault, ActorStopped, ActorStuck, NoSuchActor
from bus.mailbox import Mailbox, Overflow
from bus.messages.base import Position

logger = logging.getLogger(__name__)


class Incarnations:
    """The nursery of one system."""

    def __init__(
        self,
        *,
        clock: Clock,
        deadlines: Deadlines,
        log: Log,
        history: History,
        delivery: Delivery,
        dispatcher: Dispatcher,
        timeline: Timeline,
        tasks: Tasks,
        dice: Dice,
    ) -> None:
        self._core = Core(
            clock=clock,
            deadlines=deadlines,
            log=log,
            delivery=delivery,
            append=timeline.append,
            start_job=self._start_job,
        )
        self._log = log
        self._history = history
        self._delivery = delivery
        self._dispatcher = dispatcher
        self._timeline = timeline
        self._tasks = tasks
        self._dice = dice
        self._catch_up = CatchUp(
            log=log, history=history, facts=timeline.facts, dispatcher=dispatcher, tasks=tasks, faulted=self.faulted
        )

    @property
    def reports(self) -> Reports:
        """Who hears how turns end."""
        return Reports(
            faulted=self.faulted,
            undelivered=self._delivery.undelivered,
            left_out=self._catch_up.read_left_out,
            rested=self._dispatcher.rested,
        )

    @property
    def clock(self) -> Clock:
        return self._core.clock

    def spawn(self, work: Work, name: str) -> "asyncio.Task[None]":
        """Run a task that the system waits for."""
        return self._tasks.spawn(work, name)

    def create(self, spec: ChildSpec, supervisor: Keeper, parent: Address = NOBODY) -> Cell:
        """Make an actor and open its address. Raises ValueError when the address is taken."""
        actor = spec.factory()
        _check(actor)
        mailbox = Mailbox(actor.mailbox_size_max, actor.overflow, apart(type(actor).coalesce_key))
        cell = Cell(spec, mailbox, supervisor, parent)
        cell.last_append = self._log.head  # an earlier actor of that address may have events in flight
        self._bind(cell, actor)
        self._delivery.open(cell)
        return cell

    def renew(self, cell: Cell) -> None:
        """Make a new incarnation of a cell's actor."""
        self._delivery.end_subscriptions(cell)
        self._bind(cell, cell.spec.factory())

    async def boot(self, cell: Cell) -> None:
        """Recover and start a cell's actor, then let it run."""
        actor = cell.actor
        assert actor is not None, "an actor is made before it boots"
        if isinstance(actor, PersistentActor):
            await self._log.committed(cell.last_append)
            await actor.recover(self._history)
        if _overrides(actor, "on_start"):
            await self._start_hook(actor)
        if cell.actor is not actor or cell.state is not Lifecycle.STARTING:
            return
        upto = self._log.head
        if isinstance(actor, PersistentActor):
            cell.subscriptions = () if cell.parked_at else actor.subscriptions()
            cell.mailbox.remove(lambda envelope: bool(envelope[1].position))
            cell.is_lagging = False
            cell.catch_up(bool(cell.subscriptions))
            self._timeline.facts.register(cell)
            actor.recovered()
        cell.move(Lifecycle.RUNNING)
        if cell.is_paused:
            cell.move(Lifecycle.PAUSED)
        if cell.is_catching_up:
            await self._catch_up.read(cell, upto)
        self._dispatcher.wake(cell)

    async def retire(self, cell: Cell, timeout_s: float) -> None:
        """End an incarnation; what takes longer than its deadline is left behind."""
        context, actor = cell.context, cell.actor
        if context is None or actor is None:
            return
        cell.context = None
        if cell.children is not None:
            await cell.children.stop()
            cell.children = None
        context.cancel_all_timers()
        if cell.jobs or cell.burst is not None:
            await self._end_tasks(cell, timeout_s)
        context.fail_deferred(ActorStopped(cell.address))
        cell.mailbox.put_back(context.take_stash())
        if _overrides(actor, "on_stop"):
            await self._stop_hook(cell, actor.on_stop, timeout_s)
        context.cancel_all_timers()

    def forget(self, cell: Cell, reason: str) -> None:
        """A cell has stopped for good."""
        self._timeline.facts.unregister(cell)
        self._timeline.touch(cell)
        self._delivery.close(cell, reason)
        self._dispatcher.rested(cell)

    def spawn_child(self, parent: Address, spec: ChildSpec) -> None:
        """Start an actor under another one. Raises NoSuchActor, or ValueError when the address is taken."""
        cell = self._living(parent)
        if cell.children is None:
            dice = self._dice.split(f"{parent} children")
            cell.children = Supervisor(self, cell.spec.children, dice, cell.failed, parent)
        cell.children.spawn(spec)

    def stop_child(self, parent: Address, address: Address) -> None:
        """Stop an actor that another one has spawned. Raises NoSuchActor."""
        children = self._delivery.cell(parent).children
        cell = self._delivery.cell(address)
        if children is None or cell.parent != parent:
            raise NoSuchActor(address)
        self._tasks.spawn(lambda: children.stop_child(cell), f"{address} stop")

    def end(self, address: Address) -> None:
        """An actor ends of its own accord, after the current turn."""
        self._delivery.cell(address).ended()

    def resume(self, cell: Cell) -> None:
        """Let a paused actor go on with all that came meanwhile."""
        cell.is_paused = False
        cell.move(Lifecycle.RUNNING)
        if cell.is_catching_up:
            self._catch_up.read_on(cell)
        self._dispatcher.wake(cell)

    def pause(self, cell: Cell) -> None:
        """Start no turn of the actor until it is resumed, not even after a restart."""
        cell.move(Lifecycle.PAUSED)
        cell.is_paused = True
        self._dispatcher.rested(cell)

    def faulted(self, cell: Cell, envelope: Envelope | None, fault: Exception) -> None:
        """A handler or a job has raised what is not a refusal: tell everyone once, then let the supervisor decide."""
        what = (envelope[0].wire_name or type(envelope[0]).__name__) if envelope is not None else "a job"
        error = ActorFault(cell.address, what, f"{type(fault).__name__}: {fault}")
        logger.error("an actor failed", extra={"error": str(error)}, exc_info=fault)
        if envelope is not None:
            cell.handled -= 1
            cell.fail_envelope(envelope, error)
            self._delivery.dead_letter(cell.address, envelope, str(error))
            if self._timeline.facts.note_failure(cell, envelope):
                logger.error(
                    "a fact crashed its subscriber too often; the subscription is parked",
                    extra={"actor": cell.address, "position": envelope[1].position},
                )
        self._timeline.record_fault(error)
        cell.failed(fault)

    def _bind(self, cell: Cell, actor: Actor) -> None:
        context = Context(cell.address, self._core, self._dice.split(cell.address), actor.mailbox_size_max)
        cell.adopt(actor, context)
        actor.bind(context, self)
        self._timeline.touch(cell)

    def _living(self, address: Address) -> Cell:
        """An actor that may start something. Raises NoSuchActor, or ActorStopped when it is ending."""
        cell = self._delivery.cell(address)
        if cell.context is None:
            raise ActorStopped(address)
        return cell

    def _start_job(self, address: Address, after: Position, begin: Callable[[], Awaitable[None]]) -> Callable[[], None]:
        """Run a child task; a persistent actor's begins after the commit of `after`. Returns what cancels it."""
        cell = self._living(address)
        jobs = cell.jobs = {} if cell.jobs is None else cell.jobs
        task = self._tasks.spawn(lambda: self._run_job(cell, after, begin), f"{address} job", jobs)

        def cancel() -> None:
            task.cancel()

        return cancel

    async def _run_job(self, cell: Cell, after: Position, begin: Callable[[], Awaitable[None]]) -> None:
        incarnation = cell.actor
        try:
            if cell.is_persistent and after > self._log.watermark:
                await self._log.committed(after)
            await begin()
        except Exception as fault:  # noqa: BLE001  # the boundary of an actor's child task: its fault is the actor's
            if cell.actor is incarnation:
                self.faulted(cell, None, fault)

    async def _end_tasks(self, cell: Cell, timeout_s: float) -> None:
        """Cancel an incarnation's burst and jobs. One that goes on regardless is left behind, and said so."""
        ending = [*(cell.jobs or ()), *((cell.burst,) if cell.burst is not None else ())]
        tasks = [task for task in ending if task is not _current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=max(timeout_s, 0.001))
            if stuck:
                logger.warning(
                    "an actor's tasks did not end in time", extra={"actor": cell.address, "tasks": len(stuck)}
                )
        cell.jobs = None
        if cell.burst is not None:
            # It was cancelled before its first step, or it swallows its cancellation.
            envelope = cell.in_hand
            cell.end_burst()
            if envelope is not None:
                self._delivery.undelivered(cell, envelope, "the actor was stopped before it had handled this")

    async def _start_hook(self, actor: Actor) -> None:
        try:
            async with asyncio.timeout(actor.stuck_after_s) as limit:
                await actor.on_start()
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise ActorStuck(actor.address, "on_start", actor.stuck_after_s) from error

    async def _stop_hook(
        self, cell: Cell, on_stop: Callable[[], Coroutine[object, object, None]], wait_s: float
    ) -> None:
        """Run `on_stop` within its deadline; a failure in it must not keep the others from stopping."""

        async def stop() -> None:
            try:
                await on_stop()
            except Exception as error:  # noqa: BLE001  # it is said here and goes no further: the actor is gone
                logger.warning("an actor failed while it stopped", extra={"actor": cell.address, "error": str(error)})

        task = self._tasks.spawn(stop, f"{cell.address} stop")
        _, stuck = await asyncio.wait({task}, timeout=max(wait_s, 0.001))
        if stuck:
            task.cancel()
            logger.warning("an actor did not stop in time", extra={"actor": cell.address})


def _check(actor: Actor) -> None:
    """Raises TypeError for an actor whose declarations contradict each other."""
    if actor.is_persistent and actor.overflow in (Overflow.DROP_OLD, Overflow.COALESCE):
        raise TypeError(f"{type(actor).__name__}: a policy that drops what is queued would drop facts")


def _overrides(actor: Actor, hook: str) -> bool:
    return getattr(type(actor), hook) is not getattr(Actor, hook)


def _current_task() -> "asyncio.Task[None] | None":
    task: asyncio.Task[None] | None = asyncio.current_task()
    return task
