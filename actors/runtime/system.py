"""The actor system: addresses, delivery, asks with deadlines, facts to durable subscribers, and the edge.

Outside code asks through `ask` and `exchange`, which return only after the commit of what the answer rests on: that is
the one gate between inside and outside, and there is no way around it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from actors.runtime.cell import ActorStatistics, Cell, ChildSpec
from actors.runtime.context import Context
from actors.runtime.deadlines import Deadlines
from actors.runtime.dispatcher import Dispatcher
from actors.runtime.facts import FactRoutes
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.log import Blobs, GroupCommitLog, History, Snapshot
from actors.runtime.persistent import PersistentActor
from actors.runtime.reply import ReplyBox
from actors.runtime.supervision import SupervisionOptions
from actors.runtime.supervisor import Supervisor
from bus.address import NOBODY, Address
from bus.bus import Bus, BusSubscription, Interest
from bus.clock import Clock, SystemClock
from bus.dice import Dice
from bus.envelope import HOPS_MAX, Answer, Envelope, Failure, Recorded
from bus.errors import (
    ActorFault,
    ActorStopped,
    AgoraError,
    AskCycle,
    DeadlinePassed,
    MailboxFull,
    NoSuchActor,
    SystemStopping,
    TooManyHops,
    Undeliverable,
)
from bus.mailbox import Mailbox, Overflow, Verdict
from bus.messages.base import Event, Message, Position, Request
from bus.messages.runtime import DeadLettered, Terminated
from bus.messages.system import SystemError as FaultRecorded

logger = logging.getLogger(__name__)

R = TypeVar("R", bound=Message)

SYSTEM = Address("system")
"""The source of what the runtime itself records."""
STOP_MAX_S = 10.0
"""How long stray tasks may take to end after all actors have stopped."""
IDLE_TURNS = 3
"""Turns of the loop without work after which a drain counts as done."""


class ActorSystem:
    """All actors of a process. Open it with `async with`."""

    def __init__(
        self,
        *,
        log: GroupCommitLog,
        history: History,
        clock: Clock | None = None,
        dice: Dice | None = None,
        supervision: SupervisionOptions | None = None,
    ) -> None:
        self._log = log
        self._history = history
        self._clock = clock or SystemClock()
        self._dice = dice or Dice(0)
        self._supervision = supervision or SupervisionOptions()
        self._cells: dict[Address, Cell] = {}
        self._parents: dict[Address, Supervisor] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._bus = Bus()
        self._facts = FactRoutes(self._lag)
        self._is_stopping = False
        self.dead_letters = 0
        self.late_replies = 0

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._deadlines = Deadlines()
        self._failure: asyncio.Future[AgoraError] = self._loop.create_future()
        self._dispatcher = Dispatcher(
            self._log,
            spawn=self.spawn,
            faulted=self._faulted,
            undelivered=self._undelivered,
            caught_up=self._read_left_out,
        )
        self._root = Supervisor(self, self._supervision, self._dice.split("root"), self._fail)
        self._log_task = self._loop.create_task(self._run_log(), name="log")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # What outside code uses.

    @property
    def log(self) -> GroupCommitLog:
        return self._log

    @property
    def clock(self) -> Clock:
        return self._clock

    @property
    def deadlines(self) -> Deadlines:
        return self._deadlines

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All actors there are."""
        return tuple(self._cells)

    async def start(self, *specs: ChildSpec) -> None:
        """Start actors in order. What a start raises is raised here; those before it stay."""
        for spec in specs:
            await self._root.start(spec)

    async def stop_actor(self, address: Address) -> None:
        """Stop one actor for good. Raises NoSuchActor."""
        cell = self._cells.get(address)
        if cell is None:
            raise NoSuchActor(address)
        await self._parents[address].stop_child(cell)

    async def ask(self, to: Address, request: Request[R], *, timeout_s: float = 5.0) -> R:
        """Ask from outside. Raises Refused, Undeliverable, DeadlinePassed, ActorFault or StorageError."""
        return (await self.exchange(to, request, timeout_s=timeout_s)).message

    async def exchange(
        self, to: Address, request: Request[R], *, timeout_s: float = 5.0, correlation: str = ""
    ) -> Answer[R]:
        """Ask from outside, and learn the position of the first event that it caused."""
        if self._is_stopping:
            raise SystemStopping
        answer = await self.exchange_envelope(to, Envelope(request, correlation=correlation), timeout_s=timeout_s)
        return cast(Answer[R], answer)  # the request's type parameter is the contract of its handler

    def tell(self, to: Address, message: Message) -> None:
        """Tell from outside, without waiting."""
        self.deliver(to, Envelope(message))

    def statistics(self) -> tuple[ActorStatistics, ...]:
        """All actors, in start order."""
        return tuple(cell.statistics() for cell in self._cells.values())

    def snapshots(self) -> dict[Address, Snapshot]:
        """The state of every persistent actor, between turns."""
        return {
            address: cell.actor.snapshot()
            for address, cell in self._cells.items()
            if isinstance(cell.actor, PersistentActor) and cell.state in (Lifecycle.RUNNING, Lifecycle.PAUSED)
        }

    def pause(self, address: Address) -> None:
        """After this returns no turn of the actor starts; its mailbox goes on taking messages."""
        self._cell(address).move(Lifecycle.PAUSED)

    def resume(self, address: Address) -> None:
        """Let a paused actor go on with all that came meanwhile."""
        cell = self._cell(address)
        cell.move(Lifecycle.RUNNING)
        self._dispatcher.wake(cell)

    async def catch_up(self, topics: tuple[str, ...], after: Position) -> AsyncIterator[Sequence[Recorded]]:
        """Committed events that match, from a position on: the past first, then live; no gap, no duplicate."""
        position = after
        while True:
            watermark = self._log.watermark
            if watermark > position:
                async for batch in self._history.facts(topics, None, position, watermark):
                    yield batch
                position = watermark
            await self._log.committed(Position(position + 1))

    async def failed(self) -> AgoraError:
        """Wait until the system cannot go on; returns the cause."""
        return await asyncio.shield(self._failure)

    async def drain(self, timeout_s: float) -> bool:
        """Refuse what is new from outside and wait until no message waits; False when the time is over first."""
        self._is_stopping = True
        try:
            async with asyncio.timeout(timeout_s):
                idle_turns = 0
                while idle_turns < IDLE_TURNS:
                    await asyncio.sleep(0)
                    busy = any((cell.has_work() and cell.may_run) or cell.burst for cell in self._cells.values())
                    idle_turns = 0 if busy or not self._dispatcher.is_idle else idle_turns + 1
                await self._log.committed(self._log.head)
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Stop all actors in reverse order, then make everything durable. Safe to call twice."""
        self._is_stopping = True
        await self._root.stop()
        self._log.close()
        await self._log_task
        self._deadlines.close()
        await self._end_tasks()

    # What actors use, through their context.

    def deliver(self, to: Address, envelope: Envelope) -> None:
        """Queue a message for an actor; what cannot be queued becomes a dead letter, and its asker is told."""
        cell = self._cells.get(to)
        if cell is None:
            self._bounce(to, envelope, NoSuchActor(to))
        elif envelope.hops > HOPS_MAX:
            self._bounce(to, envelope, TooManyHops(to, envelope.hops))
        elif cell.state in (Lifecycle.STOPPING, Lifecycle.STOPPED):
            self._bounce(to, envelope, ActorStopped(to))
        else:
            verdict, displaced = cell.mailbox.offer(envelope)
            if displaced is not None:
                self._bounce(to, displaced, MailboxFull(to, cell.mailbox.size_max))
            if verdict is Verdict.ACCEPTED:
                self._dispatcher.wake(cell)
            else:
                self._bounce(to, envelope, MailboxFull(to, cell.mailbox.size_max))

    async def send(self, to: Address, envelope: Envelope, *, timeout_s: float) -> None:
        """Queue a message, waiting for room. Raises Undeliverable."""
        await self._wait_for_room(to, timeout_s)
        cell = self._cells[to]
        verdict, displaced = cell.mailbox.offer(envelope)
        if displaced is not None:
            self._bounce(to, displaced, MailboxFull(to, cell.mailbox.size_max))
        if verdict is not Verdict.ACCEPTED:
            raise MailboxFull(to, cell.mailbox.size_max)
        self._dispatcher.wake(cell)

    async def exchange_envelope(
        self, to: Address, envelope: Envelope, *, timeout_s: float, is_edge: bool = True
    ) -> Answer[Message]:
        """Ask; at an edge, return only after the commit of what the answer rests on."""
        cell = self._cells.get(to)
        if cell is None:
            raise NoSuchActor(to)
        if to in envelope.chain:
            raise AskCycle((*envelope.chain, to))
        box = ReplyBox(self._late_reply)
        envelope.reply_to = box.put
        if cell.mailbox.has_room:
            self.deliver(to, envelope)
            self._dispatcher.run_in_place(cell)
        else:
            await self.send(to, envelope, timeout_s=timeout_s)
        if box.outcome is None:
            envelope.deadline = self._loop.time() + timeout_s
            await box.wait(self._deadlines, timeout_s)
        outcome = box.outcome
        if outcome is None:
            raise DeadlinePassed(f"{to} ({type(envelope.message).__name__})", timeout_s)
        if is_edge:
            await self._log.committed(outcome.after)
        if isinstance(outcome, Failure):
            raise outcome.error
        return outcome

    def publish(self, envelope: Envelope) -> None:
        """Offer a message to the bus's subscribers."""
        self._bus.publish(envelope)

    def subscribe(self, owner: Address, interest: Interest, size_max: int, overflow: Overflow) -> BusSubscription:
        """Subscribe an actor to the bus."""
        cell = self._cell(owner)

        def wake(subscription: BusSubscription) -> None:
            cell.pulls.append(subscription)
            self._dispatcher.wake(cell)

        subscription = self._bus.subscribe(interest, wake, size_max=size_max, overflow=overflow)
        cell.bus_subscriptions.append(subscription)
        return subscription

    def watch(self, watcher: Address, watched: Address) -> None:
        """Tell `watcher` when `watched` has stopped for good; at once when there is no such actor."""
        cell = self._cells.get(watched)
        if cell is None:
            self._notify(watcher, Terminated(watched, "there is no such actor"))
        else:
            cell.watchers.append(watcher)

    def append(self, records: Sequence[Recorded], blobs: Blobs, hops: int) -> None:
        """Append events to the timeline and tell those who must react, at once."""
        self._log.append(records, blobs)
        cell = self._cells.get(records[0].source)
        if cell is not None:
            cell.last_append = records[-1].position
        for told in self._facts.route(records, hops):
            self._dispatcher.wake(told)

    def unstash(self, address: Address, envelopes: list[Envelope]) -> None:
        """Put stashed messages back in front of an actor's mailbox."""
        cell = self._cell(address)
        cell.mailbox.put_back(envelopes)
        self._dispatcher.wake(cell)

    def start_job(self, address: Address, after: Position, begin: Callable[[], Awaitable[None]]) -> Callable[[], None]:
        """Run a child task; a persistent actor's begins after the commit of `after`. Returns what cancels it."""
        cell = self._cell(address)
        task = self.spawn(self._run_job(cell, after, begin), f"{address} job")
        cell.jobs.add(task)

        def cancel() -> None:
            task.cancel()

        return cancel

    # What the supervisors use.

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Run a task that the system waits for when it stops."""
        task = self._loop.create_task(self._tracked(work), name=name)
        self._tasks.add(task)
        return task

    def create(self, spec: ChildSpec) -> Cell:
        """Make an actor and register it. Raises ValueError when the address is taken."""
        if spec.address in self._cells:
            raise ValueError(f"there is an actor at {spec.address} already")
        actor = spec.factory()
        cell = Cell(spec, Mailbox(actor.mailbox_size_max, actor.overflow, type(actor).coalesce_key))
        cell.actor = actor
        self._bind(cell)
        self._cells[spec.address] = cell
        self._parents[spec.address] = self._root
        return cell

    def renew(self, cell: Cell) -> None:
        """Make a new incarnation of a cell's actor."""
        for subscription in cell.bus_subscriptions:
            self._bus.unsubscribe(subscription)
        cell.bus_subscriptions.clear()
        cell.pulls.clear()
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
            self._facts.register(cell)
            actor.recovered()
        if cell.state is not Lifecycle.STARTING:
            return
        cell.move(Lifecycle.RUNNING)
        if cell.is_catching_up:
            await self._catch_up(cell, upto)
        self._dispatcher.wake(cell)

    def forget(self, cell: Cell, reason: str) -> None:
        """A cell has stopped for good: what it had queued are dead letters, and its watchers hear of it."""
        for subscription in cell.bus_subscriptions:
            self._bus.unsubscribe(subscription)
        self._facts.unregister(cell)
        self._cells.pop(cell.address, None)
        self._parents.pop(cell.address, None)
        for envelope in cell.mailbox.drain():
            self._bounce(cell.address, envelope, ActorStopped(cell.address))
        for watcher in cell.watchers:
            self._notify(watcher, Terminated(cell.address, reason))

    # Private.

    def _bind(self, cell: Cell) -> None:
        actor = cell.actor
        assert actor is not None, "an actor is made before it is bound"
        actor.handlers()
        cell.context = Context(cell.address, self, self._dice.split(cell.address), actor.mailbox_size_max)
        actor.bind(cell.context)

    def _cell(self, address: Address) -> Cell:
        cell = self._cells.get(address)
        if cell is None:
            raise NoSuchActor(address)
        return cell

    async def _wait_for_room(self, to: Address, timeout_s: float) -> None:
        deadline = self._loop.time() + timeout_s
        while True:
            cell = self._cells.get(to)
            if cell is None or cell.state in (Lifecycle.STOPPING, Lifecycle.STOPPED):
                raise ActorStopped(to) if cell is not None else NoSuchActor(to)
            if cell.mailbox.has_room or cell.mailbox.overflow is not Overflow.WAIT:
                return
            room: asyncio.Future[None] = self._loop.create_future()

            def wake(room: "asyncio.Future[None]" = room) -> None:
                if not room.done():
                    room.set_result(None)

            cell.mailbox.park(wake)
            try:
                async with asyncio.timeout_at(deadline):
                    await room
            except TimeoutError as error:
                raise MailboxFull(to, cell.mailbox.size_max) from error
            finally:
                cell.mailbox.unpark(wake)

    async def _catch_up(self, cell: Cell, upto: Position) -> None:
        """Tell an actor the facts that it has not handled, from the past, before its mailbox goes on."""
        actor = cell.actor
        assert isinstance(actor, PersistentActor), "only persistent actors have durable subscriptions"
        await self._log.committed(upto)
        for record in await self._facts.past(self._history, cell, actor.cursor, upto):
            while self._log.is_saturated:
                await self._log.committed(self._log.head)
            if cell.actor is not actor or cell.state is not Lifecycle.RUNNING:
                return
            self._dispatcher.handle_fact(cell, self._facts.envelope(record, hops=0))
        if cell.actor is actor:
            cell.is_catching_up = False
            self._dispatcher.wake(cell)

    def _lag(self, cell: Cell) -> None:
        logger.warning("an actor lags; it will read facts from disk", extra={"actor": cell.address})

    def _read_left_out(self, cell: Cell) -> None:
        cell.is_lagging = False
        cell.is_catching_up = True
        self.spawn(self._catch_up(cell, self._log.head), f"{cell.address} catch-up")

    async def _run_job(self, cell: Cell, after: Position, begin: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.current_task()
        assert task is not None, "a job runs in a task"
        try:
            if cell.is_persistent:
                await self._log.committed(after)
            await begin()
        except Exception as fault:  # noqa: BLE001  # the boundary of an actor's child task: its fault is the actor's
            self._faulted(cell, None, fault)
        finally:
            cell.jobs.discard(task)

    def _faulted(self, cell: Cell, envelope: Envelope | None, fault: Exception) -> None:
        what = (envelope.message.wire_name or type(envelope.message).__name__) if envelope is not None else "a job"
        error = ActorFault(cell.address, what, f"{type(fault).__name__}: {fault}")
        logger.error(
            "an actor failed", extra={"actor": cell.address, "message_type": what, "error": error.error}, exc_info=fault
        )
        if envelope is not None:
            cell.fail_envelope(envelope, error)
            self._dead_letter(cell.address, envelope, str(error))
            if self._facts.note_failure(cell, envelope):
                logger.error(
                    "a fact crashed its subscriber too often; the subscription is parked",
                    extra={"actor": cell.address, "position": envelope.position},
                )
        self._record_fault(cell.address, what, error)
        self._parents[cell.address].failed(cell, fault)

    def _record_fault(self, address: Address, what: str, error: ActorFault) -> None:
        if self._log.failure is not None:
            return
        event: Event = FaultRecorded(text=str(error), actor=address, message=what, error=error.error)
        position = Position(self._log.head + 1)
        record = Recorded(event, position, self._clock.now_us(), SYSTEM, Position(0), "", Position(0))
        self.append((record,), {}, hops=0)

    def _bounce(self, to: Address, envelope: Envelope, error: Undeliverable) -> None:
        if envelope.reply_to is not None:
            envelope.reply_to(Failure(error, envelope.after))
        self._dead_letter(to, envelope, str(error))

    def _undelivered(self, cell: Cell, envelope: Envelope, reason: str) -> None:
        cell.fail_envelope(envelope, ActorStopped(cell.address))
        self._dead_letter(cell.address, envelope, reason)

    def _dead_letter(self, to: Address, envelope: Envelope, reason: str) -> None:
        self.dead_letters += 1
        if isinstance(envelope.message, DeadLettered):
            return
        name = envelope.message.wire_name or type(envelope.message).__name__
        self.publish(Envelope(DeadLettered(to, envelope.sender, name, reason), sender=NOBODY, after=envelope.after))

    def _late_reply(self) -> None:
        self.late_replies += 1

    def _notify(self, watcher: Address, notice: Terminated) -> None:
        cell = self._cells.get(watcher)
        if cell is not None:
            cell.mailbox.offer_control(Envelope(notice))
            self._dispatcher.wake(cell)

    def _fail(self, error: AgoraError) -> None:
        if not self._failure.done():
            self._failure.set_result(error)

    async def _run_log(self) -> None:
        try:
            await self._log.run()
        except AgoraError as error:
            self._fail(error)

    async def _tracked(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.current_task()
        assert task is not None, "tracked work runs in a task"
        try:
            await work
        finally:
            self._tasks.discard(task)

    async def _end_tasks(self) -> None:
        rest = {task for task in self._tasks if task is not asyncio.current_task()}
        for task in rest:
            task.cancel()
        if rest:
            _, stuck = await asyncio.wait(rest, timeout=STOP_MAX_S)
            if stuck:
                logger.warning("tasks did not end in time", extra={"tasks": sorted(task.get_name() for task in stuck)})
