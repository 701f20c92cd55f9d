"""What actors cost beside messages: memory while idle, time to come and go, and what a busy loop does to others."""

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator

from actors.runtime import Actor, ActorSystem, ChildSpec
from actors.runtime.simulation import MemoryJournal
from bus.address import Address
from bus.clock import SystemClock
from bus.dice import Dice
from tests.bench.harness import Aim, Figure, Scale, figure, median, stopwatch
from tests.bench.runtime import COUNTER, DRIVER, TIMEOUT_S, Counter, Driver, TellMany, Tick

IDLE = 10_000
FLOW = 1_000_000
"""Messages that flow while the loop is watched."""
LOOK_S = 0.001
"""Between two looks at the loop's lateness."""


class Idle(Actor):
    """Waits for something to do."""

    def on_tick(self, tick: Tick) -> None:
        return


async def figures(scale: Scale) -> AsyncIterator[Figure]:
    """Idle memory, spawn and stop, and how late the loop is."""
    idle, flow = scale.count(IDLE), scale.count(FLOW)
    megabytes = median([await _idle_megabytes(idle) for _ in range(3)])
    yield figure(f"{idle:,} idle actors", "MB", megabytes, None, scale=scale, aim=Aim(30.0, "at_most"))
    seconds = median([await _come_and_go_s(idle) for _ in range(scale.rounds)])
    yield figure(f"spawn and stop {idle:,} actors", "s", seconds, None, scale=scale, aim=Aim(1.0, "at_most"))
    late_ms = median([await _lag_p99_ms(flow) for _ in range(min(3, scale.rounds))])
    yield figure(f"loop lag p99, {flow:,} tells", "ms", late_ms, None, scale=scale, aim=Aim(10.0, "at_most"))


async def _idle_megabytes(count: int) -> float:
    """By what the interpreter has given out for them, freed memory of earlier runs not counted."""
    async with _system() as system:
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            await system.start(*(ChildSpec(Address(f"idle/{number}"), Idle) for number in range(count)))
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    return (after - before) / 1e6


async def _come_and_go_s(count: int) -> float:
    specs = [ChildSpec(Address(f"idle/{number}"), Idle) for number in range(count)]
    with stopwatch() as watch:
        async with _system() as system:
            await system.start(*specs)
    return watch.wall_s


async def _lag_p99_ms(count: int) -> float:
    """How much later than asked for a sleeper is woken while messages flow."""
    late_s: list[float] = []
    loop = asyncio.get_running_loop()

    async def look() -> None:
        while True:
            due_s = loop.time() + LOOK_S
            await asyncio.sleep(LOOK_S)
            late_s.append(loop.time() - due_s)

    async with _system() as system:
        await system.start(ChildSpec(COUNTER, Counter), ChildSpec(DRIVER, Driver))
        async with asyncio.TaskGroup() as tasks:
            watcher = tasks.create_task(look())
            await system.ask(DRIVER, TellMany(count), timeout_s=TIMEOUT_S)
            watcher.cancel()
    ordered = sorted(late_s)
    return 1_000 * ordered[int(0.99 * (len(ordered) - 1))] if ordered else 0.0


def _system() -> ActorSystem:
    journal = MemoryJournal()
    return ActorSystem(log=journal.log, history=journal, clock=SystemClock(), dice=Dice(1))
