"""Starts, ends and what stands between them."""

import asyncio
from typing import ClassVar

import pytest

from actors.runtime import Actor
from actors.runtime.simulation import MemoryJournal
from actors.runtime.virtual_time import Simulation
from bus.address import Address
from bus.errors import ActorStopped, ActorStuck
from bus.mailbox import Overflow
from tests.support.virtual import Add, Adder, Crash, ReadSum, Recorder, Sum, Tell, child, in_virtual_time, system_in

ONE = Address("one")


@in_virtual_time
async def test_messages_that_come_while_an_actor_starts_wait_for_it(simulation: Simulation) -> None:
    class Slow(Recorder):
        async def on_start(self) -> None:
            await asyncio.sleep(5)

    async with system_in(simulation) as system, asyncio.TaskGroup() as tasks:
        tasks.create_task(system.start(child("one", Slow)))
        await simulation.pass_time(1)
        system.tell(ONE, Tell(3))
        assert await system.ask(ONE, ReadSum()) == Sum(3)


@in_virtual_time
async def test_a_start_that_hangs_is_stuck(simulation: Simulation) -> None:
    class Stuck(Actor):
        stuck_after_s: ClassVar[float] = 20.0

        async def on_start(self) -> None:
            await asyncio.get_running_loop().create_future()

    async with system_in(simulation) as system:
        with pytest.raises(ActorStuck, match="on_start"):
            await system.start(child("one", Stuck))
        assert 20 <= simulation.clock.monotonic_s() < 21


@in_virtual_time
async def test_a_timeout_of_the_starts_own_is_not_mistaken_for_being_stuck(simulation: Simulation) -> None:
    class Impatient(Actor):
        async def on_start(self) -> None:
            raise TimeoutError("the other side does not answer")

    async with system_in(simulation) as system:
        with pytest.raises(TimeoutError, match="other side"):
            await system.start(child("one", Impatient))


@in_virtual_time
async def test_timers_end_with_their_incarnation(simulation: Simulation) -> None:
    told: list[int] = []

    class Timed(Recorder):
        def on_read_sum(self, query: ReadSum) -> Sum:
            self.start_timer("soon", 0.01, Tell(1))
            return Sum(0)

    async with system_in(simulation) as system:
        await system.start(child("one", lambda: Timed(told)))
        system.tell(ONE, ReadSum())
        system.tell(ONE, Crash())
        await simulation.pass_time(10)
    assert told == []


@in_virtual_time
async def test_an_actor_that_is_stopped_while_it_starts_does_nothing_more(simulation: Simulation) -> None:
    turns: list[str] = []

    class Slow(Adder):
        async def on_start(self) -> None:
            await asyncio.sleep(5)

        def on_recovered(self) -> None:
            turns.append("recovered")

    async with system_in(simulation) as system, asyncio.TaskGroup() as tasks:
        starting = tasks.create_task(system.start(child("one", Slow)))
        await simulation.pass_time(1)
        await system.stop_actor(ONE)
        await starting
        assert (turns, system.statistics()) == ([], ())


@in_virtual_time
async def test_a_failure_of_a_job_while_its_actor_starts_again_is_not_lost(simulation: Simulation) -> None:
    tries: list[int] = []

    class Rash(Recorder):
        async def on_start(self) -> None:
            tries.append(len(tries))
            if len(tries) == 1:
                self.perform(self._fail)
            await asyncio.sleep(1)

        async def _fail(self, job: object) -> None:
            raise ValueError("a bug")

    async with system_in(simulation) as system:
        await system.start(child("one", Rash))
        assert await system.ask(ONE, ReadSum(), timeout_s=30) == Sum(0)
        assert (tries, system.statistics()[0].restarts) == ([0, 1], 1)


@in_virtual_time
async def test_a_persistent_actor_whose_policy_would_drop_facts_is_refused(simulation: Simulation) -> None:
    class Careless(Adder):
        overflow: ClassVar[Overflow] = Overflow.DROP_OLD

    async with system_in(simulation) as system:
        with pytest.raises(TypeError, match="would drop facts"):
            await system.start(child("one", Careless))


@in_virtual_time
async def test_an_actor_that_is_ending_starts_nothing_more(simulation: Simulation) -> None:
    refusals: list[str] = []

    class Clinging(Recorder):
        async def on_stop(self) -> None:
            for begin in (lambda: self.perform(self._work), lambda: self.spawn(child("two", Recorder))):
                try:
                    begin()
                except ActorStopped as error:
                    refusals.append(error.address)

        async def _work(self, job: object) -> None:
            raise AssertionError("it never begins")

    async with system_in(simulation) as system:
        await system.start(child("one", Clinging))
    assert refusals == ["one", "one"]


@in_virtual_time
async def test_every_fault_is_one_event(simulation: Simulation) -> None:
    journal = MemoryJournal(clock=simulation.clock)
    async with system_in(simulation, journal) as system:
        await system.start(child("one", Adder))
        system.tell(ONE, Crash())
        system.tell(ONE, Add(1))
        await simulation.pass_time(10)
    assert [record.event.wire_name for record in journal.events] == ["system.error", "test.added"]
