"""A timer that was replaced or cancelled tells nothing any more, wherever its message has come to."""

import asyncio
from typing import ClassVar

import msgspec
import pytest

from actors.runtime import Actor, PersistentActor
from actors.runtime.deadlines import Deadlines
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.timers import TimerPassed, Timers, apart, told
from actors.runtime.virtual_time import Simulation, simulate
from bus.address import Address
from bus.envelope import Envelope, Origin
from bus.mailbox import CoalesceKey, Overflow
from bus.messages.base import Event, Message
from bus.refusals import IllegalTransition
from tests.support.virtual import Crash, Recorder, Tell, Unknown, child, in_virtual_time, system_in

ONE = Address("one")
SEEDS = 60
TICKS = (0.0, 0.005, 0.01, 0.02)
"""Moments between what is told; the actor is paused through some of them, so that timers pass behind their end."""


class Fiddle(Message, frozen=True):
    """Start a timer or, without a delay, cancel it. One that is refused has changed nothing."""

    wire_name = "test.fiddle"

    key: str
    number: int
    delay_s: float | None
    is_refused: bool = False


class Rang(Message, frozen=True):
    """A timer's time has passed."""

    wire_name = "test.rang"

    key: str
    number: int


class Clock:
    """What an actor has set and what it has heard, beside it."""

    def __init__(self) -> None:
        self.standing: dict[str, int] = {}
        self.heard = 0
        self.wrong: list[str] = []

    def note(self, fiddle: Fiddle) -> None:
        if fiddle.delay_s is None:
            self.standing.pop(fiddle.key, None)
        else:
            self.standing[fiddle.key] = fiddle.number

    def ring(self, rang: Rang) -> None:
        self.heard += 1
        if self.standing.pop(rang.key, None) != rang.number:
            self.wrong.append(f"{rang.key} {rang.number}")


def fiddle(actor: Actor, message: Fiddle) -> None:
    if message.delay_s is None:
        actor.cancel_timer(message.key)
    else:
        actor.start_timer(message.key, message.delay_s, Rang(message.key, message.number))


class Plain(Actor):
    """Takes what it is told in turns without a task."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def on_fiddle(self, message: Fiddle) -> None:
        fiddle(self, message)
        self._clock.note(message)

    def on_rang(self, message: Rang) -> None:
        self._clock.ring(message)


class Slow(Plain):
    """Takes a moment for each."""

    async def on_fiddle(self, message: Fiddle) -> None:  # type: ignore[override]  # it is found by its message
        fiddle(self, message)
        self._clock.note(message)
        await asyncio.sleep(TICKS[1])

    async def on_rang(self, message: Rang) -> None:  # type: ignore[override]  # as above
        self._clock.ring(message)
        await asyncio.sleep(TICKS[1])


class Coalescing(Plain):
    """Keeps the last of what is alike."""

    overflow: ClassVar[Overflow] = Overflow.COALESCE
    coalesce_key: ClassVar[CoalesceKey | None] = staticmethod(type)


class Nothing(msgspec.Struct):
    """No state."""


class Staged(PersistentActor[Nothing]):
    """Sets and cancels with its turns, or not at all."""

    state_type: ClassVar[type[msgspec.Struct]] = Nothing

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def initial(self) -> Nothing:
        return Nothing()

    def apply(self, event: Event) -> None:
        pass

    def on_fiddle(self, message: Fiddle) -> None:
        fiddle(self, message)
        if message.is_refused:
            raise IllegalTransition("it", "here", "there")
        self._clock.note(message)

    def on_rang(self, message: Rang) -> None:
        self._clock.ring(message)


@pytest.mark.parametrize("kind", [Plain, Slow, Coalescing, Staged])
def test_each_timer_is_heard_once_unless_it_was_replaced_or_cancelled_before(kind: type[Plain] | type[Staged]) -> None:
    async def run(simulation: Simulation) -> int:
        clock, dice = Clock(), simulation.dice
        async with system_in(simulation) as system:
            await system.start(child("one", lambda: kind(clock)))
            for number in range(200):
                delay_s = None if dice.random() < 0.3 else TICKS[dice.index(len(TICKS))]
                system.tell(ONE, Fiddle("abc"[dice.index(3)], number, delay_s, dice.random() < 0.1 and kind is Staged))
                if dice.random() < 0.2:
                    (system.resume if system.statistics()[0].state is Lifecycle.PAUSED else system.pause)(ONE)
                if dice.random() < 0.5:
                    await simulation.pass_time(TICKS[dice.index(len(TICKS))])
            if system.statistics()[0].state is Lifecycle.PAUSED:
                system.resume(ONE)
            await simulation.pass_time(10)
            counts = system.statistics()[0]
            assert (clock.wrong, clock.standing, system.dead_letters) == ([], {}, 0)
            assert clock.heard > 0
        return counts.mailbox.taken - counts.handled

    assert sum(simulate(seed, run) for seed in range(SEEDS)) > 0, "no timer was cancelled on its way"


@in_virtual_time
async def test_a_timer_on_its_way_ends_with_its_incarnation(simulation: Simulation) -> None:
    told_numbers: list[int] = []

    class Timed(Recorder):
        async def on_unknown(self, message: Unknown) -> None:
            self.start_timer("soon", 0.01, Tell(1))
            await asyncio.sleep(1)

    async with system_in(simulation) as system:
        await system.start(child("one", lambda: Timed(told_numbers)))
        for message in (Unknown(), Crash(), Tell(2)):
            system.tell(ONE, message)
        await simulation.pass_time(10)
        assert (system.statistics()[0].restarts, system.dead_letters) == (1, 1)  # the crash alone
    assert told_numbers == [2]


@in_virtual_time
async def test_a_timer_that_finds_no_room_is_a_dead_letter_by_the_name_of_its_message(simulation: Simulation) -> None:
    class Full(Recorder):
        mailbox_size_max: ClassVar[int] = 1
        overflow: ClassVar[Overflow] = Overflow.REFUSE

        async def on_unknown(self, message: Unknown) -> None:
            self.start_timer("soon", 0.01, Tell(1))
            await asyncio.sleep(1)
            self.start_timer("soon", 0.01, Tell(3))

    actor = Full()
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: actor))
        system.tell(ONE, Unknown())
        await simulation.pass_time(0.001)
        system.tell(ONE, Tell(2))
        await simulation.pass_time(10)
        assert system.dead_letters == 1
    assert actor.told == [2, 3]


@in_virtual_time
async def test_a_timer_tells_once_and_what_is_no_timer_tells_itself(simulation: Simulation) -> None:
    passed: list[Envelope] = []
    timers = Timers(Deadlines())
    for number in (1, 2):
        timers.start("key", number, Tell(number), lambda timer: passed.append((timer, Origin())))
    timers.start("other", 1, Tell(3), lambda timer: passed.append((timer, Origin())))
    await simulation.pass_time(5)
    timers.cancel_all()
    assert [told(envelope) for envelope in passed] == [None, None]
    timers.start("key", 1, Tell(4), lambda timer: passed.append((timer, Origin())))
    await simulation.pass_time(5)
    assert [told(passed[-1]), told(passed[-1])] == [(Tell(4), Origin()), None]
    assert told((Tell(5), Origin())) == (Tell(5), Origin())


@in_virtual_time
async def test_nothing_is_like_a_timer_where_messages_coalesce(simulation: Simulation) -> None:
    timers = Timers(Deadlines())
    key = apart(type)
    assert key is not None
    one, two = (TimerPassed("key", Tell(1), timers) for _ in range(2))
    assert key(one) == key(one) != key(two)
    assert key(Tell(1)) == key(Tell(2))
    assert apart(None) is None
