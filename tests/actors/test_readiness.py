"""What stands in the way of work is said, one line each."""

import asyncio

from actors.readiness import STUCK_AFTER_S, complaints_of
from actors.runtime import Actor, ActorSystem, ChildSpec
from actors.runtime.log import Blobs
from actors.runtime.simulation import MemoryJournal
from actors.runtime.virtual_time import Simulation, simulate
from bus.address import Address
from bus.envelope import Batch
from bus.messages.base import Message
from tests.support.virtual import Add, Adder

ADDER = Address("adder")
SLOW = Address("slow")


class Work(Message, frozen=True):
    wire_name = "test.work"


class SlowDisk(MemoryJournal):
    """Takes twenty seconds for a write."""

    async def write(self, batch: Batch, blobs: Blobs) -> None:
        await asyncio.sleep(20)
        await super().write(batch, blobs)


class Slow(Actor):
    """Takes two minutes for everything, which is less than what counts as a fault."""

    async def on_work(self, work: Work) -> None:
        await asyncio.sleep(120)


def test_an_actor_that_stands_still_is_named_while_it_does() -> None:
    async def one(simulation: Simulation) -> list[list[str]]:
        journal = MemoryJournal(clock=simulation.clock)
        async with ActorSystem(
            log=journal.log, history=journal, clock=simulation.clock, order=simulation.order
        ) as system:
            await system.start(ChildSpec(SLOW, Slow))
            system.tell(SLOW, Work())
            await simulation.pass_time(1)
            system.tell(SLOW, Work())
            seen = []
            for _ in range(300):
                seen.append(complaints_of(system))
                await simulation.pass_time(1)
        return seen

    seen = simulate(1, one)
    patience = int(STUCK_AFTER_S)
    assert not any(seen[:patience])
    assert seen[patience + 1] == [f"slow is stuck: a message has waited for {patience + 1} s"]
    assert not any(seen[125:]), "it has taken the message since"


def test_events_that_wait_long_for_the_disk_are_told_until_they_are_on_it() -> None:
    async def one(simulation: Simulation) -> list[list[str]]:
        journal = SlowDisk(clock=simulation.clock)
        async with ActorSystem(
            log=journal.log, history=journal, clock=simulation.clock, order=simulation.order
        ) as system:
            await system.start(ChildSpec(ADDER, Adder))
            system.tell(ADDER, Add(1))
            seen = []
            for _ in range(30):
                await simulation.pass_time(1)
                seen.append(complaints_of(system))
        return seen

    seen = simulate(1, one)
    assert not any(seen[:5])
    assert seen[9] == ["events have waited 10 s for the disk"]
    assert not any(seen[21:]), "they are on it"
