"""The shell of supervision: starts children in order, restarts them as the rules say, stops them in reverse.

`supervision.decide` judges; this module carries it out. A child that fails is out of the run queue at once; its mailbox
goes on taking messages, and its asker and its deferred askers get a typed fault.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Protocol

from actors.runtime.cell import Cell, ChildSpec
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.supervision import (
    GiveUp,
    LetGo,
    RestartChildren,
    RestartHistory,
    SupervisionOptions,
    decide,
)
from bus.address import Address
from bus.clock import Clock
from bus.dice import Dice
from bus.errors import ActorFault, ActorStopped, AgoraError

logger = logging.getLogger(__name__)

ON_STOP_MAX_S = 5.0
"""How long `on_stop` may take after a fault, whatever the child's own deadline."""


class Nursery(Protocol):
    """What a supervisor needs of the system around it."""

    @property
    def clock(self) -> Clock: ...
    def spawn(self, work: Coroutine[object, object, None], name: str) -> "asyncio.Task[None]": ...
    def create(self, spec: ChildSpec, failed: "Callable[[Cell, Exception], None]") -> Cell:
        """Make the actor and register its cell. Raises when the address is taken."""
        ...

    async def boot(self, cell: Cell) -> None:
        """Recover and start a cell's actor."""
        ...

    def renew(self, cell: Cell) -> None:
        """Make a new incarnation of a cell's actor."""
        ...

    def forget(self, cell: Cell, reason: str) -> None:
        """The cell has stopped for good: dead letters, watchers."""
        ...


class Supervisor:
    """The children of one parent."""

    def __init__(
        self, nursery: Nursery, options: SupervisionOptions, dice: Dice, escalate: Callable[[AgoraError], None]
    ) -> None:
        self._nursery = nursery
        self._options = options
        self._dice = dice
        self._escalate = escalate
        self._history = RestartHistory()
        self._children: dict[Address, Cell] = {}
        self._is_stopping = False

    @property
    def children(self) -> tuple[Cell, ...]:
        """In start order."""
        return tuple(self._children.values())

    async def start(self, spec: ChildSpec) -> Cell:
        """Start a child. What its start raises is raised here, and the child is gone."""
        cell = self._nursery.create(spec, self.failed)
        self._children[spec.address] = cell
        try:
            await self._nursery.boot(cell)
        except BaseException:
            del self._children[spec.address]
            await self._stop_cell(cell, "its start failed")
            raise
        return cell

    def failed(self, cell: Cell, fault: Exception) -> None:
        """A child has failed: it takes no further turn, and the rules decide what comes next."""
        if cell.state not in (Lifecycle.RUNNING, Lifecycle.PAUSED, Lifecycle.STARTING):
            return
        cell.move(Lifecycle.RESTARTING)
        cell.last_error = f"{type(fault).__name__}: {fault}"
        if not self._is_stopping:
            self._nursery.spawn(self._recover(cell, fault), f"{cell.address} restart")

    async def stop(self) -> None:
        """Stop all children, last started first. New failures restart nothing."""
        self._is_stopping = True
        for cell in reversed(self.children):
            await self.stop_child(cell)

    async def stop_child(self, cell: Cell, reason: str = "it was stopped") -> None:
        """Stop one child for good."""
        if self._children.pop(cell.address, None) is not None:
            await self._stop_cell(cell, reason)

    async def _recover(self, cell: Cell, fault: Exception) -> None:
        error = fault if isinstance(fault, AgoraError) else ActorFault(cell.address, "a message", cell.last_error)
        decision = decide(
            self._options,
            self._history,
            children=tuple(self._children),
            failed=cell.address,
            restart=cell.spec.restart,
            is_fault=True,
            now_s=self._nursery.clock.monotonic_s(),
            jitter=self._dice.random(),
        )
        match decision:
            case LetGo():
                await self.stop_child(cell, cell.last_error)
            case GiveUp(restarts):
                logger.error(
                    "an actor failed too often; its supervisor gives up",
                    extra={"actor": cell.address, "restarts": restarts, "error": cell.last_error},
                )
                self._escalate(error)
            case RestartChildren():
                self._history = decision.history
                await self._restart(decision)

    async def _restart(self, decision: RestartChildren) -> None:
        cells = [self._children[address] for address in decision.children if address in self._children]
        for cell in reversed(cells):
            if cell.state is not Lifecycle.RESTARTING:
                cell.move(Lifecycle.RESTARTING)
            await retire(cell, ON_STOP_MAX_S)
        await asyncio.sleep(decision.wait_s)
        for cell in cells:
            if self._is_stopping or cell.state is not Lifecycle.RESTARTING:
                continue
            cell.restarts += 1
            cell.move(Lifecycle.STARTING)
            try:
                self._nursery.renew(cell)
                await self._nursery.boot(cell)
            except Exception as fault:  # noqa: BLE001  # the actor loop's other half: a failed restart is a failure
                self.failed(cell, fault)

    async def _stop_cell(self, cell: Cell, reason: str) -> None:
        if cell.state not in (Lifecycle.STOPPING, Lifecycle.STOPPED):
            cell.move(Lifecycle.STOPPING)
        await retire(cell, cell.spec.shutdown_s)
        cell.move(Lifecycle.STOPPED)
        self._nursery.forget(cell, reason)


async def retire(cell: Cell, timeout_s: float) -> None:
    """End an incarnation: its timers, its burst, its jobs, its promises, then `on_stop`; each within its deadline."""
    context, actor = cell.context, cell.actor
    if context is None or actor is None:
        return
    context.cancel_all_timers()
    tasks = set(cell.jobs)
    if cell.burst is not None:
        tasks.add(cell.burst)
    tasks.discard(_current_task())
    for task in tasks:
        task.cancel()
    if tasks:
        _, stuck = await asyncio.wait(tasks, timeout=max(timeout_s, 0.001))
        if stuck:
            logger.warning("an actor's tasks did not end in time", extra={"actor": cell.address, "tasks": len(stuck)})
    cell.context = None
    context.fail_deferred(ActorStopped(cell.address))
    cell.mailbox.put_back(context.take_stash())
    try:
        async with asyncio.timeout(max(timeout_s, 0.001)):
            await actor.on_stop()
    except Exception as error:  # noqa: BLE001  # what fails while stopping must not keep the others from stopping
        logger.warning("an actor failed while it stopped", extra={"actor": cell.address, "error": str(error)})


def _current_task() -> "asyncio.Task[None] | None":
    task: asyncio.Task[None] | None = asyncio.current_task()
    return task
