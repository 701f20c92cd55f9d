"""What travels with a message: what it rests on, what caused it, the conversation, the hops."""

from typing import ClassVar

from actors.runtime import Actor
from actors.runtime.virtual_time import Simulation
from bus.address import Address
from bus.envelope import Origin
from bus.messages.base import Position
from tests.support.virtual import (
    Add,
    Added,
    Adder,
    Echo,
    ReadSum,
    Recorder,
    Sum,
    Tell,
    child,
    in_virtual_time,
    system_in,
)

ONE, TWO, THREE = Address("one"), Address("two"), Address("three")


class Relay(Actor):
    """Passes numbers on, and keeps the envelopes."""

    def __init__(self, to: Address) -> None:
        self._to = to
        self.seen: list[tuple[Position, Position, str, int]] = []

    def on_tell(self, message: Tell) -> None:
        current = self._context.current
        assert isinstance(current, Origin)
        self.seen.append((current.after, current.cause, current.correlation, current.hops))
        self.tell(self._to, message)


class Teller(Adder):
    """Tells of what it adds, before and after it has persisted it."""

    def on_add(self, command: Add) -> Sum:
        self.tell(TWO, Tell(0))
        first = self.persist(Added(command.amount))
        self.tell(TWO, Tell(1))
        return Sum(first)


@in_virtual_time
async def test_what_a_turn_sends_rests_on_what_it_has_appended_wherever_it_goes(simulation: Simulation) -> None:
    two, three = Relay(THREE), Relay(Address("nobody"))
    async with system_in(simulation) as system:
        await system.start(child("three", lambda: three), child("two", lambda: two), child("one", Teller))
        await system.exchange(ONE, Add(1), correlation="talk")
        await simulation.pass_time(1)
    assert two.seen == [(1, 1, "talk", 1)] * 2
    assert three.seen == [(1, 1, "talk", 2)] * 2


@in_virtual_time
async def test_an_answer_carries_on_what_it_rests_on_to_who_asked(simulation: Simulation) -> None:
    class Asker(Actor):
        async def on_read(self, query: ReadSum) -> Sum:
            return await self.ask(ONE, ReadSum(), timeout_s=5)

    async with system_in(simulation) as system:
        await system.start(child("one", Adder), child("two", Asker))
        system.tell(ONE, Add(1))
        await system.drain(1)
        answer = await system._delivery.exchange(TWO, ReadSum(), Origin(), timeout_s=5)
        assert (answer.message, answer.after) == (Sum(1), 1)


@in_virtual_time
async def test_a_fact_is_what_its_reactions_rest_on_and_are_caused_by(simulation: Simulation) -> None:
    class Reacting(Echo):
        def on_added(self, fact: Added) -> None:
            assert self.delivers_position == 1
            self.tell(TWO, Tell(fact.amount))

    two = Relay(Address("nobody"))
    async with system_in(simulation) as system:
        await system.start(child("two", lambda: two), child("three", Reacting), child("one", Adder))
        await system.exchange(ONE, Add(1), correlation="talk")
        await simulation.pass_time(1)
    assert two.seen == [(1, 1, "talk", 2)]


class Origins(Actor):
    """Keeps the origins themselves."""

    def __init__(self) -> None:
        self.seen: list[Origin] = []

    def on_tell(self, message: Tell) -> None:
        assert self._context.current is not None
        self.seen.append(self._context.current)


class Talker(Actor):
    """Tells many messages in a turn, and learns something between two of them."""

    async def on_add(self, command: Add) -> Sum:
        for number in (1, 2):
            self.tell(TWO, Tell(number))
        await self.ask(ONE, Add(1), timeout_s=5)
        for number in (3, 4):
            self.tell(TWO, Tell(number))
        return Sum(0)

    def on_tell(self, message: Tell) -> None:
        self.tell(TWO, message)


@in_virtual_time
async def test_messages_share_their_origin_until_a_turn_ends_or_more_may_be_rested_on(simulation: Simulation) -> None:
    two = Origins()
    async with system_in(simulation) as system:
        await system.start(child("one", Adder), child("two", lambda: two), child("three", Talker))
        await system.ask(THREE, Add(1))
        await simulation.pass_time(1)
        system.tell(THREE, Tell(5))
        await simulation.pass_time(1)
    assert [origin.after for origin in two.seen] == [0, 0, 1, 1, 1]
    first, second, third, fourth, fifth = two.seen
    assert (first is second, third is fourth) == (True, True)
    assert len({id(first), id(third), id(fifth)}) == 3


@in_virtual_time
async def test_a_message_slips_into_a_mailbox_that_holds_something_and_has_room_and_into_no_other(
    simulation: Simulation,
) -> None:
    class Tight(Recorder):
        mailbox_size_max: ClassVar[int] = 2

    talker = Talker()
    async with system_in(simulation) as system:
        await system.start(child("two", Tight), child("three", lambda: talker))
        context = talker._context
        system.pause(TWO)
        slipped = [context.slip_in(TWO, Tell(0))]  # nothing has left yet
        talker.tell(TWO, Tell(1))
        slipped += [context.slip_in(TWO, Tell(number)) for number in (2, 3)]  # there is room for two
        slipped.append(context.slip_in(ONE, Tell(4)))  # nobody is there
        assert slipped == [False, True, False, False]
        assert (system.statistics()[0].mailbox.depth, system.dead_letters) == (2, 0)
        await system.stop_actor(TWO)
        assert not context.slip_in(TWO, Tell(5))
