"""Where events join the one timeline."""

from actors.runtime import Actor
from actors.runtime.simulation import MemoryJournal
from actors.runtime.timeline import SYSTEM
from actors.runtime.virtual_time import Simulation
from bus.address import Address
from tests.support.virtual import Add, Added, Adder, Crash, Echo, Echoed, Sum, child, in_virtual_time, system_in

ONE, ECHO = Address("one"), Address("echo")


class Recording(Actor):
    """Not persistent, and yet records."""

    def on_add(self, command: Add) -> Sum:
        first = self.record(Added(command.amount), Added(command.amount + 1))
        return Sum(first)


@in_virtual_time
async def test_an_actor_that_is_not_persistent_records_too_and_its_answer_waits_for_the_commit(
    simulation: Simulation,
) -> None:
    journal = MemoryJournal(clock=simulation.clock)
    async with system_in(simulation, journal) as system:
        await system.start(child("echo", Echo), child("one", Recording))
        answer = await system.exchange(ONE, Add(1))
        assert (answer.message, answer.position, answer.after) == (Sum(1), 1, 2)
        assert journal.head >= 2
        await simulation.pass_time(1)
    assert [record.event.amount for record in journal.events if isinstance(record.event, Echoed)] == [1, 2]


@in_virtual_time
async def test_an_event_knows_what_caused_it(simulation: Simulation) -> None:
    journal = MemoryJournal(clock=simulation.clock)
    async with system_in(simulation, journal) as system:
        await system.start(child("echo", Echo), child("one", Adder))
        await system.exchange(ONE, Add(5), correlation="talk")
        await simulation.pass_time(1)
    added, echoed = journal.events
    assert (added.source, added.cause, added.correlation) == (ONE, 0, "talk")
    assert (echoed.source, echoed.cause, echoed.correlation, echoed.cursor) == (ECHO, 1, "talk", 1)


@in_virtual_time
async def test_what_the_runtime_records_is_the_systems(simulation: Simulation) -> None:
    journal = MemoryJournal(clock=simulation.clock)
    async with system_in(simulation, journal) as system:
        await system.start(child("one", Adder))
        system.tell(ONE, Crash())
        await simulation.pass_time(10)
    assert [record.source for record in journal.events] == [SYSTEM]
