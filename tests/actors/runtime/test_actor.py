"""What an actor can do in a turn, and how its handlers are found."""

import asyncio

import pytest

from actors.runtime import Actor, ChildSpec, PersistentActor, Restart
from actors.runtime.virtual_time import Simulation
from bus.address import Address
from bus.errors import ActorFault, AskCycle, DeadlinePassed, UnhandledMessage
from bus.messages.base import Done, Event, Message
from bus.refusals import IllegalTransition
from tests.support.virtual import (
    Add,
    Crash,
    Hang,
    ReadSum,
    Recorder,
    Sum,
    Tell,
    Total,
    Unknown,
    child,
    in_virtual_time,
    system_in,
    temporary,
)

ONE, TWO = Address("one"), Address("two")


class Desk(Actor):
    """Answers, refuses, fails and hangs."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.stopped = 0

    async def on_stop(self) -> None:
        self.stopped += 1

    def on_add(self, command: Add) -> Sum:
        raise IllegalTransition("the desk", "open", "emptied")

    def on_tell(self, message: Tell) -> None:
        self.told.append(message.number)

    def on_read(self, query: ReadSum) -> Sum:
        return Sum(sum(self.told))

    def on_crash(self, command: Crash) -> Done:
        raise ValueError("a bug")

    async def on_hang(self, command: Hang) -> None:
        await asyncio.get_running_loop().create_future()


@in_virtual_time
async def test_a_handler_answers_refuses_or_fails_and_the_asker_can_tell_which(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        await system.start(child("one", Desk))
        assert await system.ask(ONE, ReadSum()) == Sum(0)
        with pytest.raises(IllegalTransition):
            await system.ask(ONE, Add(-1))
        with pytest.raises(ActorFault, match="a bug"):
            await system.ask(ONE, Crash())


@in_virtual_time
async def test_a_message_without_a_handler_is_told_to_the_asker_and_is_a_dead_letter(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        await system.start(child("one", Recorder))
        system.tell(ONE, Unknown())
        with pytest.raises(UnhandledMessage):
            await system.ask(ONE, Add(1))
        assert system.dead_letters == 2


class Clocked(Actor):
    """Sets timers when it is told a number: 1 and 2 under one key, 3 to cancel them."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, float]] = []

    def on_tell(self, message: Tell) -> None:
        if message.number >= 100:
            self.heard.append((message.number, round(self.monotonic_s)))
        elif message.number == 3:
            self.cancel_timer("key")
            self.cancel_timer("no such timer")
        else:
            self.start_timer("key", 10 * message.number, Tell(100 * message.number))


@in_virtual_time
async def test_a_timer_tells_later_and_the_same_key_replaces_it(simulation: Simulation) -> None:
    actor = Clocked()
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: actor))
        system.tell(ONE, Tell(1))
        await simulation.pass_time(5)
        system.tell(ONE, Tell(2))
        await simulation.pass_time(100)
        system.tell(ONE, Tell(1))
        await simulation.pass_time(1)
        system.tell(ONE, Tell(3))
        await simulation.pass_time(100)
    assert actor.heard == [(200, 25)]


class Asker(Actor):
    """Passes asks on, to itself too."""

    def __init__(self, other: Address = ONE) -> None:
        self._other = other

    async def on_read(self, query: ReadSum) -> Sum:
        return await self.ask(self._other, ReadSum(), timeout_s=5)

    async def on_hang(self, command: Hang) -> Done:
        return await self.ask(self._other, Hang(), timeout_s=5)


@in_virtual_time
async def test_an_actor_that_asks_itself_is_refused_at_once(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        await system.start(temporary("one", Asker))
        with pytest.raises(ActorFault, match="one -> one"):
            await system.ask(ONE, ReadSum())
        assert simulation.clock.monotonic_s() < 1


@in_virtual_time
async def test_actors_that_ask_in_a_ring_are_refused_at_once_and_told_who_waits_for_whom(
    simulation: Simulation,
) -> None:
    chains: list[tuple[str, ...]] = []

    class Teller(Asker):
        async def on_read(self, query: ReadSum) -> Sum:
            try:
                return await super().on_read(query)
            except AskCycle as error:
                chains.append(error.chain)
                return Sum(-1)

    async with system_in(simulation) as system:
        names = ("one", "two", "three")
        for name, other in zip(names, names[1:] + names[:1], strict=True):
            await system.start(child(name, lambda other=other: Teller(Address(other))))  # type: ignore[misc]
        assert await system.ask(ONE, ReadSum()) == Sum(-1)
    assert chains == [("one", "two", "three", "one")]


@in_virtual_time
async def test_an_ask_that_is_not_answered_ends_at_its_deadline(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        await system.start(child("one", Desk), temporary("two", Asker))
        with pytest.raises(ActorFault, match="did not answer within 5 s"):
            await system.ask(TWO, Hang(), timeout_s=60)
        with pytest.raises(DeadlinePassed):
            await system.ask(ONE, Hang(), timeout_s=1)


class Shy(Actor):
    """Sets numbers aside until it is told a hundred."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self._is_open = False

    def on_tell(self, message: Tell) -> None:
        if message.number == 100:
            self._is_open = True
            self.unstash()
        elif self._is_open:
            self.told.append(message.number)
        else:
            self.stash()


@in_virtual_time
async def test_what_is_stashed_comes_back_in_its_order_before_what_came_later(simulation: Simulation) -> None:
    actor = Shy()
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: actor))
        for number in (1, 2, 100, 3):
            system.tell(ONE, Tell(number))
        await simulation.pass_time(1)
    assert actor.told == [1, 2, 3]


@in_virtual_time
async def test_what_a_failing_turn_has_stashed_is_not_handled_again(simulation: Simulation) -> None:
    class Torn(Recorder):
        def on_add(self, command: Add) -> Sum:
            self.stash()
            raise IllegalTransition("it", "torn", "kept")

        def on_tell(self, message: Tell) -> None:
            self.unstash()

    async with system_in(simulation) as system:
        await system.start(child("one", Torn))
        with pytest.raises(IllegalTransition):
            await system.ask(ONE, Add(1))
        system.tell(ONE, Tell(1))
        await simulation.pass_time(1)
        assert (system.statistics()[0].handled, system.late_replies) == (2, 0)


class Listener(Recorder):
    """Hears numbers that are published."""

    async def on_start(self) -> None:
        self.subscribe(Tell)


class Speaker(Actor):
    """Publishes what it is told to add."""

    def on_add(self, command: Add) -> Sum:
        self.publish(Tell(command.amount))
        return Sum(command.amount)


@in_virtual_time
async def test_what_is_published_comes_to_the_handlers_of_those_who_subscribed(simulation: Simulation) -> None:
    listeners = [Listener(), Listener()]
    async with system_in(simulation) as system:
        await system.start(
            child("two", lambda: listeners[0]), child("three", lambda: listeners[1]), child("one", Speaker)
        )
        for amount in (1, 2, 3):
            await system.ask(ONE, Add(amount))
        await simulation.pass_time(1)
        await system.stop_actor(TWO)
        await system.ask(ONE, Add(4))
        await simulation.pass_time(1)
    assert [listener.told for listener in listeners] == [[1, 2, 3], [1, 2, 3, 4]]


@in_virtual_time
async def test_every_actor_that_was_started_is_told_to_stop(simulation: Simulation) -> None:
    actor = Desk()
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: actor))
    assert actor.stopped == 1


class Parent(Actor):
    """Spawns a recorder for each number, and passes on what it is told."""

    def __init__(self, log: list[str]) -> None:
        self._log = log

    async def on_stop(self) -> None:
        self._log.append("parent")

    def on_add(self, command: Add) -> Sum:
        address = Address(f"child/{command.amount}")
        self.spawn(ChildSpec(address, lambda: Child(self._log), restart=Restart.TRANSIENT))
        self.tell(address, Tell(command.amount))
        return Sum(command.amount)

    def on_tell(self, message: Tell) -> None:
        self.stop_child(Address(f"child/{message.number}"))

    def on_crash(self, command: Crash) -> Done:
        raise ValueError("a bug")


class Child(Recorder):
    """Says when it stops; ends by itself when it is told a thousand."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self._log = log

    async def on_stop(self) -> None:
        self._log.append(self.address)

    def on_tell(self, message: Tell) -> None:
        super().on_tell(message)
        if message.number == 1_000:
            self.stop()


@in_virtual_time
async def test_a_child_takes_messages_at_once_and_stops_before_its_parent(simulation: Simulation) -> None:
    log: list[str] = []
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: Parent(log)))
        for amount in (1, 2, 3):
            await system.ask(ONE, Add(amount))
        assert await system.ask(Address("child/2"), ReadSum()) == Sum(2)
        system.tell(ONE, Tell(2))
        await simulation.pass_time(1)
        assert [(s.address, s.parent) for s in system.statistics()] == [
            ("one", ""),
            ("child/1", "one"),
            ("child/3", "one"),
        ]
    assert log == ["child/2", "child/3", "child/1", "parent"]


@in_virtual_time
async def test_a_transient_child_may_end_by_itself(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: Parent([])))
        await system.ask(ONE, Add(1_000))
        await simulation.pass_time(10)
        assert [s.address for s in system.statistics()] == ["one"]


@in_virtual_time
async def test_a_parent_that_fails_takes_its_children_with_it(simulation: Simulation) -> None:
    log: list[str] = []
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: Parent(log)))
        await system.ask(ONE, Add(1))
        with pytest.raises(ActorFault):
            await system.ask(ONE, Crash())
        await simulation.pass_time(10)
        assert [(s.address, s.restarts) for s in system.statistics()] == [("one", 1)]
        await system.ask(ONE, Add(1))
    assert log == ["child/1", "parent", "child/1", "parent"]


def test_a_handler_is_found_by_the_annotation_of_its_message() -> None:
    table = Desk.handlers()
    assert set(table.synchronous) == {Add, Tell, ReadSum, Crash}
    assert set(table.asynchronous) == {Hang}


def test_a_union_registers_a_handler_for_each_member() -> None:
    class Either(Actor):
        def on_either(self, message: Tell | Add) -> None:
            return

    assert set(Either.handlers().synchronous) == {Tell, Add}


def test_a_handler_that_cannot_be_dispatched_to_is_an_error() -> None:
    class NoMessage(Actor):
        def on_nothing(self) -> None:
            return

    class NoClass(Actor):
        def on_number(self, number: int) -> None:
            return

    class Slow(PersistentActor[Total]):
        async def on_tell(self, message: Tell) -> None:
            return

    for actor in (NoMessage, NoClass, Slow):
        with pytest.raises(TypeError, match=actor.__name__):
            actor.handlers()


def test_events_and_messages_alike_can_be_handled() -> None:
    class Any(Actor):
        def on_any(self, message: Message) -> None:
            return

        def on_event(self, event: Event) -> None:
            return

    assert set(Any.handlers().synchronous) == {Message, Event}
