"""Child tasks of actors."""

import asyncio

from actors.runtime import Actor, Deferred, Job
from actors.runtime.virtual_time import Simulation
from bus.address import Address
from tests.support.virtual import Add, ReadSum, Recorder, Sum, Tell, child, in_virtual_time, system_in

ONE, TWO = Address("one"), Address("two")


class Worker(Actor):
    """Performs jobs."""

    def __init__(self, heard: list[str]) -> None:
        self._heard = heard
        self.job: Job | None = None

    def on_tell(self, message: Tell) -> None:
        self.job = self.perform(self._work, message.number)

    def on_add(self, command: Add) -> Sum | None:
        self.perform(self._answer, self.defer(), amount=command.amount)
        return None

    async def _work(self, job: Job, number: int) -> None:
        try:
            if number == 13:
                raise ValueError("thirteen")
            total = await job.ask(TWO, ReadSum(), timeout_s=5)
            await asyncio.sleep(number)
            job.tell(TWO, Tell(number))
            self._heard.append(f"done {number} at {total.total}")
        except asyncio.CancelledError:
            self._heard.append(f"cancelled {number}")
            raise

    async def _answer(self, job: Job, deferred: Deferred[Sum], *, amount: int) -> None:
        await asyncio.sleep(1)
        deferred.answer(Sum(amount))


@in_virtual_time
async def test_a_job_runs_beside_the_turns_and_can_give_the_reply(simulation: Simulation) -> None:
    heard: list[str] = []
    async with system_in(simulation) as system:
        await system.start(child("two", Recorder), child("one", lambda: Worker(heard)))
        system.tell(ONE, Tell(3))
        assert await system.ask(ONE, Add(4)) == Sum(4)
        await simulation.pass_time(3)
        assert await system.ask(TWO, ReadSum()) == Sum(3)
    assert heard == ["done 3 at 0"]


@in_virtual_time
async def test_a_job_can_be_cancelled_before_and_while_it_runs(simulation: Simulation) -> None:
    heard: list[str] = []
    actor = Worker(heard)
    async with system_in(simulation) as system:
        await system.start(child("two", Recorder), child("one", lambda: actor))
        system.tell(ONE, Tell(50))
        await simulation.pass_time(1)
        assert actor.job is not None
        actor.job.cancel()
        actor.job.cancel()
        await simulation.pass_time(1)
        assert system.statistics()[1].jobs == 0
    assert heard == ["cancelled 50"]


@in_virtual_time
async def test_a_job_that_fails_is_a_fault_of_its_actor(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: Worker([])))
        system.tell(ONE, Tell(13))
        await simulation.pass_time(10)
        statistics = system.statistics()[0]
        assert (statistics.restarts, statistics.last_error) == (1, "ValueError: thirteen")
