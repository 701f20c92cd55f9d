"""Durable subscriptions: poison facts, full mailboxes, and what was left out."""

from typing import ClassVar

import pytest

from actors.runtime import cell as cells
from actors.runtime.facts import WINDOW_POSITIONS
from actors.runtime.simulation import MemoryJournal
from actors.runtime.virtual_time import Simulation, simulate
from bus.address import Address
from bus.messages.base import Command, Done, Event
from tests.support.virtual import Add, Added, Adder, Echo, Echoed, ReadSum, Sum, child, in_virtual_time, system_in

ADDER, ECHO = Address("adder"), Address("echo")


class Picky(Echo):
    """Cannot bear the amount 666."""

    def on_added(self, fact: Added) -> None:
        if fact.amount == 666:
            raise ValueError("the number of the beast")
        super().on_added(fact)


def echoed(journal: MemoryJournal) -> list[int]:
    return [record.event.amount for record in journal.events if isinstance(record.event, Echoed)]


@in_virtual_time
async def test_a_fact_that_crashes_its_subscriber_three_times_parks_the_subscription_and_not_the_actor(
    simulation: Simulation,
) -> None:
    journal = MemoryJournal(clock=simulation.clock)
    async with system_in(simulation, journal) as system:
        await system.start(child("adder", Adder), child("echo", Picky))
        for amount in (1, 666, 2):
            await system.ask(ADDER, Add(amount))
        await simulation.pass_time(30)
        statistics = system.statistics()[1]
        poison = next(record.position for record in journal.events if record.event == Added(666, "adder"))
        assert (statistics.restarts, statistics.parked_at) == (3, poison)
        assert await system.ask(ECHO, Add(5)) == Sum(5)
    assert echoed(journal) == [1]
    assert [record.event.wire_name for record in journal.events].count("system.error") == 3


@in_virtual_time
async def test_a_parked_subscription_is_tried_again_after_a_start_with_the_bug_mended(simulation: Simulation) -> None:
    journal = MemoryJournal(clock=simulation.clock)
    for kind in (Picky, Echo):
        async with system_in(simulation, journal) as system:
            await system.start(child("adder", Adder), child("echo", kind))
            for amount in (1, 666, 2):
                await system.ask(ADDER, Add(amount))
            await simulation.pass_time(30)
    assert echoed(journal) == [1, 666, 2, 1, 666, 2]


class AddMany(Command[Done], frozen=True):
    """Add one, that many times, in one turn."""

    wire_name = "test.add_many"

    count: int


class Prolific(Adder):
    """Makes many facts at once."""

    def on_add_many(self, command: AddMany) -> Done:
        self.persist(*(Added(number, "") for number in range(command.count)))
        return Done()


class Counting(Echo):
    """Counts the facts instead of recording each, in a small mailbox."""

    mailbox_size_max: ClassVar[int] = 10
    heard: ClassVar[list[int]] = []

    def on_added(self, fact: Added) -> None:
        self.heard.append(fact.amount)

    def apply(self, event: Event) -> None:
        return


@pytest.mark.slow
def test_what_a_mailbox_cannot_take_even_beyond_its_bound_is_read_from_the_past_in_order() -> None:
    count = cells.FACTS_BEYOND_MAX + WINDOW_POSITIONS + 500

    async def run(simulation: Simulation) -> None:
        Counting.heard.clear()
        async with system_in(simulation) as system:
            await system.start(child("adder", Prolific), child("echo", Counting))
            system.pause(ECHO)
            await system.ask(ADDER, AddMany(count))
            assert system.statistics()[1].mailbox.depth == 10 + cells.FACTS_BEYOND_MAX
            system.resume(ECHO)
            await system.ask(ADDER, AddMany(3))
            assert await system.drain(600)
        assert Counting.heard == [*range(count), *range(3)]

    simulate(1, run)


@in_virtual_time
async def test_a_subscriber_that_restarts_with_facts_in_its_mailbox_misses_none(simulation: Simulation) -> None:
    journal = MemoryJournal(clock=simulation.clock)
    async with system_in(simulation, journal) as system:
        await system.start(child("adder", Adder), child("echo", Echo))
        for amount in range(1, 30):
            system.tell(ADDER, Add(amount if amount != 13 else 14))
            if amount % 10 == 0:
                system.tell(ECHO, Add(13))
        await simulation.pass_time(30)
        assert system.statistics()[1].restarts >= 1
        assert await system.ask(ADDER, ReadSum()) == Sum(sum(range(1, 30)) + 1)
    assert echoed(journal) == [amount if amount != 13 else 14 for amount in range(1, 30)]
