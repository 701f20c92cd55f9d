"""The actor system: opened, asked from outside, drained and stopped.

Outside code asks through `ask` and `exchange`, which return only after the commit of what the answer rests on: that is
the one gate between inside and outside, and there is no way around it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Self, TypeVar, cast

from actors.runtime.actor import ChildSpec
from actors.runtime.cell import ActorStatistics
from actors.runtime.copying import Copier, Copies
from actors.runtime.deadlines import Deadlines
from actors.runtime.delivery import Delivery
from actors.runtime.dispatcher import Dispatcher
from actors.runtime.incarnations import Incarnations
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.log import Checkpointed, GroupCommitLog, History, Snapshot
from actors.runtime.supervision import SupervisionOptions
from actors.runtime.supervisor import Supervisor
from actors.runtime.tasks import Tasks
from actors.runtime.timeline import Timeline
from actors.runtime.weather import RoughDelivery, Weather
from bus.address import Address
from bus.clock import Clock, SystemClock
from bus.dice import Dice
from bus.envelope import Answer, Origin, Recorded
from bus.errors import ActorFault, ActorKilled, AgoraError, SystemStopping
from bus.messages.base import Command, Message, Position, Request
from bus.messages.system import JOURNAL
from bus.refusals import IntakePaused

logger = logging.getLogger(__name__)

R = TypeVar("R", bound=Message)

CORRELATION_BYTES = 8
"""Enough that no two conversations of a journal share a name."""

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
        order: Dice | None = None,
        weather: Weather | None = None,
    ) -> None:
        """`order` draws who runs next and `weather` loses and delays messages: both are for the simulation.

        Without `order` the run queue is first in, first out.
        """
        self._log = log
        self._history = history
        self._clock = clock or SystemClock()
        self._dice = dice or Dice(0)
        self._supervision = supervision or SupervisionOptions()
        self._order = order
        self._weather = weather
        self._is_stopping = False

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._failure: asyncio.Future[AgoraError] = self._loop.create_future()
        self._deadlines = Deadlines()
        self._tasks = Tasks(self._crash)
        self._dispatcher = Dispatcher(self._log, self._tasks, self._deadlines, self._order)
        self._delivery = self._new_delivery()
        self._copier = Copier(self._log, lambda: self._delivery.cells, self._dispatcher.wake)
        self._timeline = Timeline(self._log, self._clock, self._delivery, self._dispatcher, self._copier.touch)
        self._incarnations = Incarnations(
            clock=self._clock,
            deadlines=self._deadlines,
            log=self._log,
            history=self._history,
            delivery=self._delivery,
            dispatcher=self._dispatcher,
            timeline=self._timeline,
            tasks=self._tasks,
            dice=self._dice,
        )
        self._dispatcher.report_to(self._incarnations.reports, self._crash)
        self._root = Supervisor(self._incarnations, self._supervision, self._dice.split("root"), self._fail)
        self._log_task = self._loop.create_task(self._run_log(), name="log")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def log(self) -> GroupCommitLog:
        return self._log

    @property
    def clock(self) -> Clock:
        return self._clock

    @property
    def dead_letters(self) -> int:
        """Messages that no handler took, so far."""
        return self._delivery.dead_letters

    @property
    def late_replies(self) -> int:
        """Answers that came after their deadline, so far."""
        return self._delivery.late_replies

    async def start(self, *specs: ChildSpec) -> None:
        """Start actors in order. What a start raises is raised here; those before it stay."""
        for spec in specs:
            await self._root.start(spec)

    async def stop_actor(self, address: Address) -> None:
        """Stop one actor for good. Raises NoSuchActor."""
        cell = self._delivery.cell(address)
        keeper = self._delivery.cell(cell.parent).children if cell.parent else self._root
        if keeper is not None:
            await keeper.stop_child(cell)

    async def ask(self, to: Address, request: Request[R], *, timeout_s: float = 5.0) -> R:
        """Ask from outside. Raises Refused, Undeliverable, DeadlinePassed, ActorFault or StorageError."""
        return (await self.exchange(to, request, timeout_s=timeout_s)).message

    async def exchange(
        self, to: Address, request: Request[R], *, timeout_s: float = 5.0, correlation: str = ""
    ) -> Answer[R]:
        """Ask from outside, and learn the position of the first event that it caused.

        A command without a name for its conversation gets one, which all that it leads to carries. While the journal
        waits for the disk, commands are refused; what the journal itself is told to do, such as to prune, is not.
        """
        if self._is_stopping:
            raise SystemStopping
        if isinstance(request, Command):
            stalled = self._log.stalled
            if stalled is not None and to != JOURNAL:
                raise IntakePaused(stalled.code.replace("_", " "))
            correlation = correlation or self._dice.token(CORRELATION_BYTES)
        answer = await self._delivery.exchange(to, request, Origin(correlation=correlation), timeout_s=timeout_s)
        return cast("Answer[R]", answer)  # the request's type parameter is the contract of its handler

    async def ask_inside(self, to: Address, request: Request[R], *, timeout_s: float) -> R:
        """Ask on behalf of the system itself, while it stops too."""
        answer = await self._delivery.exchange(to, request, Origin(), timeout_s=timeout_s)
        return cast(R, answer.message)  # as above

    def tell(self, to: Address, message: Message) -> None:
        """Tell from outside, without waiting; what comes while the system stops is a dead letter."""
        envelope = message, Origin()
        if self._is_stopping:
            self._delivery.dead_letter(to, envelope, str(SystemStopping()))
        else:
            self._delivery.deliver(to, envelope)

    def statistics(self) -> tuple[ActorStatistics, ...]:
        """All actors, in start order."""
        now_s = self._loop.time()
        return tuple(cell.statistics(now_s) for cell in self._delivery.cells)

    def snapshots(self) -> dict[Address, Snapshot]:
        """The state of every actor that checkpoints hold, between turns."""
        snapshots: dict[Address, Snapshot] = {}
        for cell in self._delivery.cells:
            actor: object = cell.actor
            if cell.state in (Lifecycle.RUNNING, Lifecycle.PAUSED) and isinstance(actor, Checkpointed):
                snapshots[cell.address] = actor.snapshot()
        return snapshots

    async def copies(self, since: int = 0) -> Copies:
        """As `snapshots`, but the loop goes on meanwhile, and only of what has changed since the copies of a number."""
        return await self._copier.copy(since)

    def kill(self, address: Address) -> None:
        """Let an actor fail now, as if it had a bug: its supervisor decides. For the simulation, and for operators."""
        cell = self._delivery.cell(address)
        self._incarnations.faulted(cell, None, ActorKilled(address))

    def pause(self, address: Address) -> None:
        """After this returns no turn of the actor starts; its mailbox goes on taking messages."""
        self._incarnations.pause(self._delivery.cell(address))

    def resume(self, address: Address) -> None:
        """Let a paused actor go on with all that came meanwhile."""
        self._incarnations.resume(self._delivery.cell(address))

    async def catch_up(self, topics: tuple[str, ...], after: Position) -> AsyncIterator[Sequence[Recorded]]:
        """Committed events that match, from a position on: the past first, then live; no gap, no duplicate.

        Ends when the system stops. Raises StorageError when the log has failed.
        """
        position = after
        while True:
            watermark = self._log.watermark
            if watermark > position:
                async for batch in self._history.facts(topics, None, position, watermark):
                    yield batch
                position = watermark
            try:
                await self._log.committed(Position(position + 1))
            except SystemStopping:
                return

    @property
    def has_failed(self) -> bool:
        """Whether what cannot be borne has ended the system by itself."""
        return self._failure.done()

    async def failed(self) -> AgoraError:
        """Wait until the system cannot go on; returns the cause."""
        return await asyncio.shield(self._failure)

    async def drain(self, timeout_s: float) -> bool:
        """Refuse what is new from outside and wait until no message waits; False when the time is over first."""
        self._is_stopping = True
        try:
            async with asyncio.timeout(timeout_s):
                head = Position(-1)
                while head != self._log.head:  # edges that waited for a commit may have said something more
                    head = self._log.head
                    await self._log.committed(head)
                    await self._until_idle()
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
        await self._tasks.end()

    def _new_delivery(self) -> Delivery:
        if self._weather is None:
            return Delivery(self._dispatcher, self._log, self._deadlines)
        rough = RoughDelivery(self._dispatcher, self._log, self._deadlines)
        rough.weather = self._weather
        return rough

    async def _until_idle(self) -> None:
        """Return when nobody has had anything to do for a few turns of the loop."""
        idle_turns = 0
        while idle_turns < IDLE_TURNS:
            await asyncio.sleep(0)
            idle_turns += 1
            if not self._is_idle():
                idle_turns = 0
                await self._dispatcher.rest()

    def _is_idle(self) -> bool:
        """Whether no actor has, or will have, a message to handle; those of a paused one wait for someone else."""
        return self._dispatcher.is_idle and not any(cell.is_busy for cell in self._delivery.cells)

    def _crash(self, error: Exception) -> None:
        """A bug in the runtime itself: nothing can be relied on any more."""
        logger.critical("the runtime failed", exc_info=error)
        self._fail(error if isinstance(error, AgoraError) else ActorFault("system", "its own work", repr(error)))

    def _fail(self, error: AgoraError) -> None:
        if not self._failure.done():
            self._failure.set_result(error)

    async def _run_log(self) -> None:
        try:
            await self._log.run()
        except AgoraError as error:
            self._fail(error)
