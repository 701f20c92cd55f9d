"""Every task of an actor system: strong references, names, and someone who waits for them."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

logger = logging.getLogger(__name__)

END_MAX_S = 10.0
"""How long stray tasks may take to end after all actors have stopped."""

Work = Callable[[], Coroutine[Any, Any, None]]
"""What a task does, not begun yet: a task that is cancelled before its first step never makes the coroutine."""


class Tasks:
    """The tasks of one system. An `asyncio.TaskGroup` would end all when one fails; here a fault is an actor's.

    What reaches a task's end as an exception is nobody's: `crashed` hears of it, and the system cannot go on.
    """

    def __init__(self, crashed: Callable[[Exception], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._running: dict[asyncio.Task[None], None] = {}
        """In the order in which they began, in which they are cancelled: a seed is a run."""
        self._crashed = crashed

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks that run now."""
        return tuple(sorted(task.get_name() for task in self._running))

    def spawn(
        self, work: Work, name: str, register: "dict[asyncio.Task[None], None] | None" = None
    ) -> "asyncio.Task[None]":
        """Run a task that `end` waits for; it stands in `register` too as long as it runs."""

        def forget(ended: "asyncio.Task[None]") -> None:
            self._running.pop(ended, None)
            if register is not None:
                register.pop(ended, None)

        async def tracked() -> None:
            try:
                await work()
            except Exception as error:  # noqa: BLE001  # the top of every task: what nobody took ends the system
                self._crashed(error)
            finally:
                forget(task)
                task.remove_done_callback(forget)

        task = self._loop.create_task(tracked(), name=name)
        self._running[task] = None
        if register is not None:
            register[task] = None
        task.add_done_callback(forget)  # for a task that is cancelled early: it runs no line of its own
        return task

    async def end(self) -> None:
        """Cancel what still runs and wait for it, within a bound."""
        rest = [task for task in self._running if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        if rest:
            _, stuck = await asyncio.wait(rest, timeout=END_MAX_S)
            if stuck:
                logger.warning("tasks did not end in time", extra={"tasks": sorted(task.get_name() for task in stuck)})
