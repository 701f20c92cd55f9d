"""Actors, messages and systems for tests of the runtime, in virtual time."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar

import msgspec

from actors.runtime import Actor, ActorSystem, ChildSpec, PersistentActor, Restart, Subscription, SupervisionOptions
from actors.runtime.simulation import MemoryJournal
from actors.runtime.virtual_time import Simulation, simulate
from actors.runtime.weather import Weather
from bus.address import Address
from bus.messages.base import Command, Done, Event, Message, Query, Reply
from bus.refusals import IllegalTransition

SEEDS = 5
"""Orders that each test of the runtime is run in."""

Body = Callable[[Simulation], Coroutine[Any, Any, None]]


def in_virtual_time(body: Body) -> Callable[[], None]:
    """Make a test of a coroutine function: run it in a few orders, without waiting for real."""

    def test() -> None:
        for seed in range(SEEDS):
            simulate(seed, body)

    test.__name__ = body.__name__
    test.__doc__ = body.__doc__
    test.__module__ = body.__module__
    return test


class Tell(Message, frozen=True):
    """A number to remember."""

    wire_name = "test.tell"

    number: int


class Add(Command["Sum"], frozen=True):
    """Add to the sum."""

    wire_name = "test.add"

    amount: int


class Sum(Reply, frozen=True):
    """What was added so far."""

    wire_name = "test.sum"

    total: int


class ReadSum(Query[Sum], frozen=True):
    """What is the sum?"""

    wire_name = "test.read_sum"


class Crash(Command[Done], frozen=True):
    """Be a bug."""

    wire_name = "test.crash"


class Hang(Command[Done], frozen=True):
    """Wait for ever."""

    wire_name = "test.hang"


class Unknown(Message, frozen=True):
    """Something that no actor here handles."""

    wire_name = "test.unknown"


class Added(Event, frozen=True):
    """An amount was added."""

    wire_name = "test.added"

    amount: int
    agent: str = ""


class Echoed(Event, frozen=True):
    """An amount that was added was heard of."""

    wire_name = "test.echoed"

    amount: int


class Recorder(Actor):
    """Remembers what it is told, in the order in which it comes."""

    def __init__(self, told: list[int] | None = None) -> None:
        self.told: list[int] = [] if told is None else told

    def on_tell(self, message: Tell) -> None:
        self.told.append(message.number)

    def on_read_sum(self, query: ReadSum) -> Sum:
        return Sum(sum(self.told))

    def on_crash(self, command: Crash) -> Done:
        raise ValueError("a bug")

    async def on_hang(self, command: Hang) -> None:
        await asyncio.get_running_loop().create_future()


class Total(msgspec.Struct):
    """The state of an adder."""

    total: int = 0
    heard: list[int] = []


class Adder(PersistentActor[Total]):
    """Adds up what it is told to add; a negative amount is refused, 13 is a bug."""

    state_type: ClassVar[type[msgspec.Struct]] = Total

    def initial(self) -> Total:
        return Total()

    def apply(self, event: Event) -> None:
        match event:
            case Added(amount):
                self.state.total += amount
            case Echoed(amount):
                self.state.heard.append(amount)

    def on_add(self, command: Add) -> Sum:
        if command.amount < 0:
            raise IllegalTransition("the sum", "growing", "reduced")
        self.persist(Added(command.amount, self.address))
        if command.amount == 13:
            raise ValueError("thirteen")
        return Sum(self.state.total)

    def on_read_sum(self, query: ReadSum) -> Sum:
        return Sum(self.state.total)

    def on_crash(self, command: Crash) -> Done:
        raise ValueError("a bug")


class Echo(Adder):
    """Records once each amount that others have added."""

    def subscriptions(self) -> tuple[Subscription, ...]:
        return (Subscription("test.added"),)

    def on_added(self, fact: Added) -> None:
        self.persist(Echoed(fact.amount))


def system_in(
    simulation: Simulation,
    journal: MemoryJournal | None = None,
    supervision: SupervisionOptions | None = None,
    weather: Weather | None = None,
) -> ActorSystem:
    """An actor system on virtual time, in the seed's order. Open it with `async with`."""
    journal = journal or MemoryJournal(clock=simulation.clock)
    return ActorSystem(
        log=journal.log,
        history=journal,
        clock=simulation.clock,
        dice=simulation.dice,
        order=simulation.order,
        supervision=supervision,
        weather=weather,
    )


def child(name: str, factory: Callable[[], Actor], **options: Any) -> ChildSpec:  # the options are ChildSpec's
    """A spec for a test's actor."""
    return ChildSpec(Address(name), factory, **options)


def temporary(name: str, factory: Callable[[], Actor]) -> ChildSpec:
    """A spec for an actor that is not started again."""
    return ChildSpec(Address(name), factory, restart=Restart.TEMPORARY)


async def until(condition: Callable[[], bool]) -> None:
    """Let the others run, no time passing, until something is so."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never comes to that")


def amounts(events: Sequence[Event]) -> list[int]:
    """The amounts of the events that have one."""
    return [event.amount for event in events if isinstance(event, Added | Echoed)]
