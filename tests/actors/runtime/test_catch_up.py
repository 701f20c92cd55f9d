"""Reading from the past: what cannot be read is a fault, and reading goes on after it."""

from collections.abc import AsyncIterator, Sequence

import pytest

from actors.runtime.simulation import MemoryJournal
from actors.runtime.virtual_time import Simulation
from bus.address import Address
from bus.envelope import Recorded
from bus.errors import StorageError
from bus.messages.base import Position
from tests.support.virtual import Add, Adder, Echo, Echoed, child, in_virtual_time, system_in

ADDER, ECHO = Address("adder"), Address("echo")


class Unreadable(MemoryJournal):
    """Cannot be read a number of times."""

    failures = 0

    async def facts(
        self, topics: tuple[str, ...], agent: str | None, after: Position, upto: Position
    ) -> AsyncIterator[Sequence[Recorded]]:
        if self.failures:
            self.failures -= 1
            raise StorageError("it cannot be read")
        async for batch in super().facts(topics, agent, after, upto):
            yield batch


@in_virtual_time
async def test_a_start_that_cannot_read_the_past_says_so(simulation: Simulation) -> None:
    journal = Unreadable(clock=simulation.clock)
    async with system_in(simulation, journal) as system:
        await system.start(child("adder", Adder))
        await system.ask(ADDER, Add(1))
        journal.failures = 1
        with pytest.raises(StorageError):
            await system.start(child("echo", Echo))


@in_virtual_time
async def test_a_restart_that_cannot_read_the_past_is_tried_again(simulation: Simulation) -> None:
    journal = Unreadable(clock=simulation.clock)
    async with system_in(simulation, journal) as system:
        await system.start(child("adder", Adder), child("echo", Echo))
        journal.failures = 2
        system.tell(ECHO, Add(13))
        for amount in (1, 2, 3):
            await system.ask(ADDER, Add(amount))
        await simulation.pass_time(30)
        assert system.statistics()[1].restarts == 3
    assert [record.event.amount for record in journal.events if isinstance(record.event, Echoed)] == [1, 2, 3]


@in_virtual_time
async def test_a_look_into_the_past_after_a_pause_that_cannot_be_read_is_a_fault(simulation: Simulation) -> None:
    journal = Unreadable(clock=simulation.clock)
    async with system_in(simulation, journal) as system:
        await system.start(child("adder", Adder), child("echo", Echo))
        await simulation.pass_time(1)
        for amount in (1, 2):
            await system.ask(ADDER, Add(amount))
        system.tell(ECHO, Add(13))
        await simulation.pass_time(10)
        system.pause(ECHO)
        journal.failures = 1
        system.resume(ECHO)
        await system.ask(ADDER, Add(3))
        await simulation.pass_time(30)
    assert [record.event.amount for record in journal.events if isinstance(record.event, Echoed)] == [1, 2, 3]
