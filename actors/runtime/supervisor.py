"""The shell of supervision: starts children in order, restarts them as the rules say, stops them in reverse.

`supervision.decide` judges; this module carries it out. A child that fails is out of the run queue at once; its mailbox
goes on taking messages, and its asker and its deferred askers get a typed fault. With a strategy that concerns several
children, one failure is dealt with after the other.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

from actors.runtime.actor import ChildSpec
from actors.runtime.cell import Cell, Keeper
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.supervision import (
    GiveUp,
    LetGo,
    RestartChildren,
    RestartHistory,
    Strategy,
    SupervisionOptions,
    decide,
)
from actors.runtime.tasks import Work
from bus.address import NOBODY, Address
from bus.clock import Clock
from bus.dice import Dice
from bus.errors import ActorFault, AgoraError

logger = logging.getLogger(__name__)

ON_STOP_MAX_S = 5.0
"""How long `on_stop` may take after a fault, whatever the child's own deadline."""


class Nursery(Protocol):
    """What a supervisor needs of the system around it."""

    @property
    def clock(self) -> Clock: ...
    def spawn(self, work: Work, name: str) -> "asyncio.Task[None]": ...
    def create(self, spec: ChildSpec, supervisor: Keeper, parent: Address) -> Cell:
        """Make the actor and register its cell. Raises when the address is taken."""
        ...

    async def boot(self, cell: Cell) -> None:
        """Recover and start a cell's actor."""
        ...

    def renew(self, cell: Cell) -> None:
        """Make a new incarnation of a cell's actor."""
        ...

    async def retire(self, cell: Cell, timeout_s: float) -> None:
        """End an incarnation, its own children first; what takes longer than its deadline is left behind."""
        ...

    def forget(self, cell: Cell, reason: str) -> None:
        """The cell has stopped for good: dead letters, watchers."""
        ...


class Supervisor:
    """The children of one parent; `NOBODY` is the system itself."""

    def __init__(
        self,
        nursery: Nursery,
        options: SupervisionOptions,
        dice: Dice,
        escalate: Callable[[AgoraError], None],
        parent: Address = NOBODY,
    ) -> None:
        self._nursery = nursery
        self._options = options
        self._dice = dice
        self._escalate = escalate
        self._parent = parent
        self._history = RestartHistory()
        self._children: dict[Address, Cell] = {}
        self._is_stopping = False
        is_shared = options.strategy is not Strategy.ONE_FOR_ONE
        self._order: contextlib.AbstractAsyncContextManager[None] = (
            asyncio.Lock() if is_shared else contextlib.nullcontext()
        )

    @property
    def children(self) -> tuple[Cell, ...]:
        """In start order."""
        return tuple(self._children.values())

    async def start(self, spec: ChildSpec) -> Cell:
        """Start a child. What its start raises is raised here, and the child is gone."""
        cell = self._nursery.create(spec, self, self._parent)
        self._children[spec.address] = cell
        try:
            await self._nursery.boot(cell)
        except BaseException:
            await self.stop_child(cell, "its start failed")
            raise
        return cell

    def spawn(self, spec: ChildSpec) -> Cell:
        """Make a child and start it meanwhile; a start that fails is a failure, and the rules decide."""
        cell = self._nursery.create(spec, self, self._parent)
        self._children[spec.address] = cell
        self._nursery.spawn(lambda: self._boot(cell), f"{spec.address} start")
        return cell

    def failed(self, cell: Cell, fault: Exception) -> None:
        """A child has failed: it takes no further turn, and the rules decide what comes next."""
        if cell.state not in (Lifecycle.RUNNING, Lifecycle.PAUSED, Lifecycle.STARTING):
            return
        cell.last_error = f"{type(fault).__name__}: {fault}"
        self._end(cell, fault)

    def ended(self, cell: Cell) -> None:
        """A child has ended of its own accord: only a permanent one comes back."""
        if cell.state in (Lifecycle.RUNNING, Lifecycle.PAUSED):
            self._end(cell, None)

    async def stop(self) -> None:
        """Stop all children, last started first. New failures restart nothing."""
        self._is_stopping = True
        for cell in reversed(self.children):
            await self.stop_child(cell)

    async def stop_child(self, cell: Cell, reason: str = "it was stopped") -> None:
        """Stop one child for good."""
        if self._children.pop(cell.address, None) is None:
            return
        cell.move(Lifecycle.STOPPING)
        await self._nursery.retire(cell, cell.spec.shutdown_s)
        cell.move(Lifecycle.STOPPED)
        self._nursery.forget(cell, reason)

    def _end(self, cell: Cell, fault: Exception | None) -> None:
        cell.move(Lifecycle.RESTARTING)
        if not self._is_stopping:
            self._nursery.spawn(lambda: self._recover(cell, fault), f"{cell.address} restart")

    async def _recover(self, cell: Cell, fault: Exception | None) -> None:
        async with self._order:
            if not self._awaits_restart(cell):
                return
            decision = decide(
                self._options,
                self._history,
                children=tuple(self._children),
                failed=cell.address,
                restart=cell.spec.restart,
                is_fault=fault is not None,
                now_s=self._nursery.clock.monotonic_s(),
                jitter=self._dice.random(),
            )
            match decision:
                case LetGo():
                    await self.stop_child(cell, cell.last_error if fault is not None else "it has ended")
                case GiveUp(restarts):
                    logger.error(
                        "an actor failed too often; its supervisor gives up",
                        extra={"actor": cell.address, "restarts": restarts, "error": cell.last_error},
                    )
                    error = fault if isinstance(fault, AgoraError) else None
                    self._escalate(error or ActorFault(cell.address, "a message", cell.last_error))
                case RestartChildren():
                    self._history = decision.history
                    await self._restart(decision)

    async def _restart(self, decision: RestartChildren) -> None:
        cells = [self._children[address] for address in decision.children if address in self._children]
        for cell in reversed(cells):
            if cell.state not in (Lifecycle.RESTARTING, Lifecycle.STOPPING, Lifecycle.STOPPED):
                cell.move(Lifecycle.RESTARTING)
            await self._nursery.retire(cell, min(cell.spec.shutdown_s, ON_STOP_MAX_S))
        await asyncio.sleep(decision.wait_s)
        for cell in cells:
            if self._awaits_restart(cell):
                cell.restarts += 1
                cell.move(Lifecycle.STARTING)
                await self._boot(cell, renew=True)

    async def _boot(self, cell: Cell, *, renew: bool = False) -> None:
        """Start a child; a start that fails is a failure of the child."""
        actor = cell.actor
        try:
            if renew:
                self._nursery.renew(cell)
                actor = cell.actor
            await self._nursery.boot(cell)
        except Exception as fault:  # noqa: BLE001  # the actor loop's other half: a failed start is a failure
            if cell.actor is actor:
                self.failed(cell, fault)

    def _awaits_restart(self, cell: Cell) -> bool:
        is_ours = self._children.get(cell.address) is cell
        return is_ours and not self._is_stopping and cell.state is Lifecycle.RESTARTING
