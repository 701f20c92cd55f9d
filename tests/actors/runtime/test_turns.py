"""Bursts: asynchronous handlers that hang, swallow their cancellation, or are cut off."""

import asyncio
from typing import ClassVar

import pytest

from actors.runtime import Actor
from actors.runtime.turns import ACTOR_BUDGET
from actors.runtime.virtual_time import Simulation
from bus.address import Address
from bus.errors import ActorFault, ActorStopped
from bus.messages.base import Done
from tests.support.virtual import Crash, Hang, Recorder, Tell, child, in_virtual_time, system_in

ONE = Address("one")


class Waiter(Actor):
    """Takes a second for a number; hangs, fails or lets a cancellation escape when it is told to."""

    stuck_after_s: ClassVar[float] = 30.0
    running: ClassVar[int] = 0

    def __init__(self, told: list[int]) -> None:
        self._told = told
        self._running = 0

    async def on_tell(self, message: Tell) -> None:
        self._running += 1
        assert self._running == 1, "one handler at a time"
        await asyncio.sleep(1 if message.number else 0)
        self._running -= 1
        self._told.append(message.number)

    async def on_hang(self, command: Hang) -> Done:
        await asyncio.get_running_loop().create_future()
        return Done()

    async def on_crash(self, command: Crash) -> Done:
        task = asyncio.ensure_future(asyncio.sleep(100))
        asyncio.get_running_loop().call_later(1, task.cancel)
        await task
        return Done()


@in_virtual_time
async def test_one_handler_runs_at_a_time_and_messages_keep_their_order(simulation: Simulation) -> None:
    told: list[int] = []
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: Waiter(told)))
        for number in range(1, 6):
            system.tell(ONE, Tell(number))
        await simulation.pass_time(10)
        assert told == [1, 2, 3, 4, 5]
        assert system.statistics()[0].restarts == 0


@in_virtual_time
async def test_a_burst_gives_way_after_its_budget_and_goes_on(simulation: Simulation) -> None:
    told: list[int] = []
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: Waiter(told)))
        for _ in range(3 * ACTOR_BUDGET):
            system.tell(ONE, Tell(0))
        await simulation.pass_time(1)
    assert len(told) == 3 * ACTOR_BUDGET


@in_virtual_time
async def test_a_handler_that_hangs_is_named_and_counts_as_failed(simulation: Simulation) -> None:
    told: list[int] = []
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: Waiter(told)))
        with pytest.raises(ActorFault, match=r"one failed while handling test\.hang: ActorStuck"):
            await system.ask(ONE, Hang(), timeout_s=100)
        assert 30 <= simulation.clock.monotonic_s() < 31
        system.tell(ONE, Tell(1))
        await simulation.pass_time(10)
        statistics = system.statistics()[0]
        assert (told, statistics.restarts, system.dead_letters) == ([1], 1, 1)


@in_virtual_time
async def test_a_slow_actor_that_makes_progress_is_not_stuck(simulation: Simulation) -> None:
    told: list[int] = []
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: Waiter(told)))
        for number in range(1, 100):
            system.tell(ONE, Tell(number))
        await simulation.pass_time(120)
        assert (len(told), system.statistics()[0].restarts) == (99, 0)


@in_virtual_time
async def test_a_cancellation_that_escapes_from_a_handler_is_a_fault(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: Waiter([])))
        with pytest.raises(ActorFault, match="a cancellation escaped"):
            await system.ask(ONE, Crash(), timeout_s=10)


@in_virtual_time
async def test_who_asked_hears_when_the_actor_stops_in_the_middle(simulation: Simulation) -> None:
    async with system_in(simulation) as system, asyncio.TaskGroup() as tasks:
        await system.start(child("one", lambda: Waiter([])))

        async def ask() -> None:
            with pytest.raises(ActorStopped):
                await system.ask(ONE, Hang(), timeout_s=100)

        tasks.create_task(ask())
        await simulation.pass_time(1)
        await system.stop_actor(ONE)
        assert (system.dead_letters, system.late_replies) == (1, 0)


@in_virtual_time
async def test_a_burst_that_is_stopped_before_its_first_step_loses_nothing_in_silence(simulation: Simulation) -> None:
    told: list[int] = []
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: Waiter(told)))
        for number in range(1, 4):
            system.tell(ONE, Tell(number))
        for _ in range(simulation.dice.index(4)):
            await asyncio.sleep(0)
        await system.stop_actor(ONE)
        assert len(told) + system.dead_letters == 3


class Stubborn(Recorder):
    """Swallows every cancellation of its handler, until it is released."""

    def __init__(self, told: list[int], released: asyncio.Event) -> None:
        super().__init__(told)
        self._released = released

    async def on_hang(self, command: Hang) -> None:
        while not self._released.is_set():
            try:
                await self._released.wait()
            except asyncio.CancelledError:
                continue


@in_virtual_time
async def test_a_handler_that_swallows_its_cancellation_is_left_behind_and_the_actor_goes_on(
    simulation: Simulation,
) -> None:
    class Watched(Stubborn):
        stuck_after_s: ClassVar[float] = 10.0

    told: list[int] = []
    released = asyncio.Event()
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: Watched(told, released), shutdown_s=1.0))
        with pytest.raises(ActorFault, match="no progress"):
            await system.ask(ONE, Hang(), timeout_s=100)
        system.tell(ONE, Tell(1))
        await simulation.pass_time(10)
        assert told == [1]
        released.set()
        await simulation.pass_time(1)
        system.tell(ONE, Tell(2))
        await simulation.pass_time(1)
        statistics = system.statistics()[0]
        assert (told, statistics.restarts, system.late_replies) == ([1, 2], 1, 1)


@in_virtual_time
async def test_a_stop_does_not_wait_for_a_handler_that_swallows_its_cancellation(simulation: Simulation) -> None:
    released = asyncio.Event()
    async with system_in(simulation) as system, asyncio.TaskGroup() as tasks:
        await system.start(child("one", lambda: Stubborn([], released), shutdown_s=2.0))

        async def ask() -> None:
            with pytest.raises(ActorStopped):
                await system.ask(ONE, Hang(), timeout_s=100)

        tasks.create_task(ask())
        await simulation.pass_time(1)
        await system.stop_actor(ONE)
        assert simulation.clock.monotonic_s() == 3
        released.set()
        await simulation.pass_time(1)
