"""Every task of an actor system: strong references, names, and someone who waits for them."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)

END_MAX_S = 10.0
"""How long stray tasks may take to end after all actors have stopped."""


class Tasks:
    """The tasks of one system. An `asyncio.TaskGroup` would end all when one fails; here a fault is an actor's."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Run a task that `end` waits for."""
        task = self._loop.create_task(self._tracked(work), name=name)
        self._running.add(task)
        return task

    async def end(self) -> None:
        """Cancel what still runs and wait for it, within a bound."""
        rest = {task for task in self._running if task is not asyncio.current_task()}
        for task in rest:
            task.cancel()
        if rest:
            _, stuck = await asyncio.wait(rest, timeout=END_MAX_S)
            if stuck:
                logger.warning("tasks did not end in time", extra={"tasks": sorted(task.get_name() for task in stuck)})

    async def _tracked(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.current_task()
        assert task is not None, "tracked work runs in a task"
        try:
            await work
        finally:
            self._running.discard(task)
