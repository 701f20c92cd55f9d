"""Bad weather: what is lost is never heard of, what is late comes later, facts always come."""

import pytest

from actors.runtime.simulation import MemoryJournal
from actors.runtime.virtual_time import Simulation
from actors.runtime.weather import Storm
from bus.address import Address
from bus.dice import Dice
from bus.envelope import Envelope
from bus.errors import DeadlinePassed
from tests.support.virtual import (
    Add,
    Adder,
    Echo,
    Echoed,
    ReadSum,
    Recorder,
    Tell,
    child,
    in_virtual_time,
    system_in,
)

ONE, ECHO = Address("one"), Address("echo")


@in_virtual_time
async def test_what_is_lost_is_a_dead_letter_and_its_asker_waits_in_vain(simulation: Simulation) -> None:
    told: list[int] = []
    async with system_in(simulation, weather=Storm(simulation.dice, lost=1.0)) as system:
        await system.start(child("one", lambda: Recorder(told)))
        system.tell(ONE, Tell(1))
        await simulation.pass_time(5)
        assert (told, system.dead_letters) == ([], 1)
        system.pause(ONE)
        with pytest.raises(DeadlinePassed):
            await system.ask(ONE, ReadSum())


@in_virtual_time
async def test_what_is_late_comes_and_may_be_overtaken(simulation: Simulation) -> None:
    told: list[int] = []
    async with system_in(simulation, weather=Storm(simulation.dice, late=1.0, late_max_s=3.0)) as system:
        await system.start(child("one", lambda: Recorder(told)))
        for number in range(20):
            system.tell(ONE, Tell(number))
        await simulation.pass_time(4)
        assert (sorted(told), told != sorted(told)) == ([*range(20)], True)


class Sieve:
    """Loses every other message to one actor."""

    def __init__(self) -> None:
        self._seen = 0

    def delay_s(self, to: Address, envelope: Envelope) -> float | None:
        self._seen += to == ONE
        return None if to == ONE and self._seen % 2 == 0 else 0.0


class Talker(Recorder):
    """Counts to one, all in a turn."""

    def on_tell(self, message: Tell) -> None:
        for number in range(message.number):
            self.tell(ONE, Tell(number))


@in_virtual_time
async def test_each_of_the_messages_of_one_turn_goes_through_the_weather(simulation: Simulation) -> None:
    told: list[int] = []
    async with system_in(simulation, weather=Sieve()) as system:
        await system.start(child("one", lambda: Recorder(told)), child("two", Talker))
        system.tell(Address("two"), Tell(20))
        await simulation.pass_time(1)
        assert (told, system.dead_letters) == ([*range(0, 20, 2)], 10)


@in_virtual_time
async def test_facts_come_in_any_weather(simulation: Simulation) -> None:
    journal = MemoryJournal(clock=simulation.clock)
    async with system_in(simulation, journal, weather=Storm(simulation.dice, lost=0.5, late=0.3)) as system:
        await system.start(child("one", Adder), child("echo", Echo))
        for amount in range(30):
            system.tell(ONE, Add(amount if amount != 13 else 14))
        await simulation.pass_time(10)
    events = [record.event for record in journal.events]
    echoed = [event.amount for event in events if isinstance(event, Echoed)]
    assert echoed == [event.amount for event in events if not isinstance(event, Echoed)]  # type: ignore[attr-defined]
    assert 0 < len(echoed) < 30


def test_a_storm_is_as_bad_as_it_is_told_to_be() -> None:
    storm = Storm(Dice(1), lost=0.2, late=0.3, late_max_s=2.0)
    fates = [storm.delay_s(ONE, None) for _ in range(2_000)]  # type: ignore[arg-type]  # a storm does not look
    assert 300 < fates.count(None) < 500
    assert 500 < sum(fate is not None and 0 < fate <= 2.0 for fate in fates) < 700
