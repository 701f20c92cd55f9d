"""How messages reach actors, and what becomes of those that cannot."""

import asyncio
import gc
import weakref
from typing import ClassVar

import pytest

from actors.runtime import Actor
from actors.runtime.virtual_time import Simulation
from bus.address import Address
from bus.envelope import HOPS_MAX
from bus.errors import ActorStopped, DeadlinePassed, MailboxFull, NoSuchActor
from bus.mailbox import CoalesceKey, Overflow
from bus.messages.base import Message
from bus.messages.runtime import DeadLettered, Terminated
from bus.refusals import IllegalTransition
from tests.support.virtual import Add, Hang, ReadSum, Recorder, Sum, Tell, Unknown, child, in_virtual_time, system_in

ONE, TWO, NOBODY_THERE = Address("one"), Address("two"), Address("nobody")


class Small(Recorder):
    """Has room for two messages; asked to hang it does not take any."""

    mailbox_size_max: ClassVar[int] = 2

    async def on_hang(self, command: Hang) -> None:
        await asyncio.sleep(10)


class Timed(Small):
    """Starts a timer that passes while it hangs."""

    async def on_hang(self, command: Hang) -> None:
        self.start_timer("while busy", 1, Tell(3))
        await asyncio.sleep(10)


class Letters(Actor):
    """Reads the dead letters and what becomes of those it watches."""

    def __init__(self, watched: tuple[Address, ...] = ()) -> None:
        self.read: list[Message] = []
        self._watched = watched

    async def on_start(self) -> None:
        self.subscribe(DeadLettered)
        for address in self._watched:
            self.watch(address)

    def on_letter(self, message: DeadLettered | Terminated) -> None:
        self.read.append(message)


class Sender(Actor):
    """Sends what it is told to add to another actor, with two seconds of patience."""

    def __init__(self, to: Address = ONE) -> None:
        self._to = to

    async def on_add(self, command: Add) -> Sum:
        try:
            await self.send(self._to, Tell(command.amount), timeout_s=2)
        except MailboxFull:
            return Sum(-1)
        return Sum(command.amount)


@in_virtual_time
async def test_what_is_told_to_nobody_is_a_dead_letter_that_can_be_read(simulation: Simulation) -> None:
    letters = Letters()
    async with system_in(simulation) as system:
        await system.start(child("letters", lambda: letters))
        system.tell(NOBODY_THERE, Tell(1))
        with pytest.raises(NoSuchActor):
            await system.ask(NOBODY_THERE, ReadSum())
        await simulation.pass_time(1)
    assert letters.read == [DeadLettered(NOBODY_THERE, Address(""), "test.tell", "no actor at 'nobody'")]


@in_virtual_time
async def test_a_timer_that_meets_a_full_mailbox_is_heard_all_the_same(simulation: Simulation) -> None:
    actor = Timed()
    async with system_in(simulation) as system, asyncio.TaskGroup() as tasks:
        await system.start(child("one", lambda: actor))
        tasks.create_task(system.ask(ONE, Hang(), timeout_s=60))
        await simulation.pass_time(0.5)
        for number in (1, 2):
            system.tell(ONE, Tell(number))
        await simulation.pass_time(20)
        assert system.dead_letters == 0
    assert actor.told == [1, 2, 3]


@in_virtual_time
async def test_a_send_waits_for_room_and_the_wait_is_counted(simulation: Simulation) -> None:
    actor = Small()
    async with system_in(simulation) as system, asyncio.TaskGroup() as tasks:
        await system.start(child("one", lambda: actor), child("two", Sender), child("three", Sender))
        tasks.create_task(system.ask(ONE, Hang(), timeout_s=60))
        await simulation.pass_time(9)
        for number in (1, 2):
            system.tell(ONE, Tell(number))
        assert await system.ask(TWO, Add(3)) == Sum(3)
        statistics = system.statistics()[0]
        assert 0.9 < statistics.backpressure_s < 1.1
        assert statistics.mailbox.high_water == 2
        await simulation.pass_time(1)
    assert actor.told == [1, 2, 3]


@in_virtual_time
async def test_a_send_to_a_mailbox_that_stays_full_ends_at_its_deadline(simulation: Simulation) -> None:
    actor = Small()
    async with system_in(simulation) as system, asyncio.TaskGroup() as tasks:
        await system.start(child("one", lambda: actor), child("two", Sender))
        tasks.create_task(system.ask(ONE, Hang(), timeout_s=60))
        await simulation.pass_time(1)
        for number in (1, 2):
            system.tell(ONE, Tell(number))
        assert await system.ask(TWO, Add(3)) == Sum(-1)
        await simulation.pass_time(20)
    assert actor.told == [1, 2]


@in_virtual_time
async def test_who_waits_for_room_hears_that_the_actor_is_gone(simulation: Simulation) -> None:
    async with system_in(simulation) as system, asyncio.TaskGroup() as tasks:
        await system.start(child("one", Small))

        async def ask(request: Hang | ReadSum) -> None:
            with pytest.raises(ActorStopped):
                await system.ask(ONE, request, timeout_s=60)

        tasks.create_task(ask(Hang()))
        await simulation.pass_time(1)
        for _ in range(4):
            tasks.create_task(ask(ReadSum()))
        await simulation.pass_time(1)
        assert system.statistics()[0].mailbox.parked == 2
        await system.stop_actor(ONE)


@in_virtual_time
async def test_one_deadline_covers_the_wait_for_room_the_answer_and_the_commit(simulation: Simulation) -> None:
    async with system_in(simulation) as system, asyncio.TaskGroup() as tasks:
        await system.start(child("one", Small))
        tasks.create_task(system.ask(ONE, Hang(), timeout_s=60))
        await simulation.pass_time(9)
        for number in (1, 2):
            system.tell(ONE, Tell(number))
        with pytest.raises(DeadlinePassed):
            await system.ask(ONE, Hang(), timeout_s=3)
        assert 12 <= simulation.clock.monotonic_s() < 12.1
        await simulation.pass_time(60)
        assert system.late_replies == 1


class Ping(Actor):
    """Sends each number on to its partner, who sends it back."""

    mailbox_size_max: ClassVar[int] = 1

    def __init__(self, partner: Address) -> None:
        self._partner = partner
        self.given_up = 0

    async def on_tell(self, message: Tell) -> None:
        try:
            await self.send(self._partner, message, timeout_s=1)
            await self.send(self._partner, message, timeout_s=1)
        except MailboxFull:
            self.given_up += 1


@in_virtual_time
async def test_two_actors_that_send_to_each_other_with_full_mailboxes_go_on_after_the_deadline(
    simulation: Simulation,
) -> None:
    one, two = Ping(TWO), Ping(ONE)
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: one), child("two", lambda: two))
        for address in (ONE, TWO):
            system.tell(address, Tell(1))
        await simulation.pass_time(60)
        assert one.given_up + two.given_up > 0
        assert all(statistics.handled > 1 for statistics in system.statistics())


class Echoing(Actor):
    """Tells itself again whatever it is told."""

    def on_tell(self, message: Tell) -> None:
        self.tell(self.address, message)


@in_virtual_time
async def test_a_message_that_feeds_itself_ends_as_a_dead_letter(simulation: Simulation) -> None:
    letters = Letters()
    async with system_in(simulation) as system:
        await system.start(child("letters", lambda: letters), child("one", Echoing))
        system.tell(ONE, Tell(1))
        await simulation.pass_time(1)
        assert system.statistics()[1].handled == HOPS_MAX + 1
    assert [letter.reason for letter in letters.read if isinstance(letter, DeadLettered)] == [
        f"a message to one has been passed on {HOPS_MAX + 1} times"
    ]


@in_virtual_time
async def test_a_watcher_hears_once_that_an_actor_is_gone_for_good(simulation: Simulation) -> None:
    letters = Letters((ONE, ONE, NOBODY_THERE))
    async with system_in(simulation) as system:
        await system.start(child("one", Recorder), child("letters", lambda: letters))
        await simulation.pass_time(1)
        await system.stop_actor(ONE)
        await simulation.pass_time(1)
    assert letters.read == [
        Terminated(NOBODY_THERE, "there is no such actor"),
        Terminated(ONE, "it was stopped"),
    ]


@in_virtual_time
async def test_a_watcher_that_is_gone_itself_is_not_told(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        await system.start(child("one", Recorder), child("two", lambda: Letters((ONE,))))
        await system.stop_actor(TWO)
        await system.stop_actor(ONE)
        assert system.dead_letters == 0


@in_virtual_time
async def test_an_actor_that_stops_with_a_full_mailbox_loses_nothing_in_silence(simulation: Simulation) -> None:
    async with system_in(simulation) as system, asyncio.TaskGroup() as tasks:
        await system.start(child("one", Small))

        async def ask() -> None:
            with pytest.raises(ActorStopped):
                await system.ask(ONE, Hang(), timeout_s=60)

        tasks.create_task(ask())
        await simulation.pass_time(1)
        tasks.create_task(ask())
        await simulation.pass_time(1)
        system.tell(ONE, Tell(1))
        await system.stop_actor(ONE)
        assert system.dead_letters == 3


class Dropping(Small):
    """Drops what is old when it is full."""

    overflow: ClassVar[Overflow] = Overflow.DROP_OLD


class Refusing(Small):
    """Refuses what is new when it is full."""

    overflow: ClassVar[Overflow] = Overflow.REFUSE


class Ignoring(Small):
    """Drops what is new when it is full."""

    overflow: ClassVar[Overflow] = Overflow.DROP_NEW


def parity(message: Message) -> int:
    return message.number % 2 if isinstance(message, Tell) else -1


class Coalescing(Small):
    """Keeps the last even and the last odd number."""

    overflow: ClassVar[Overflow] = Overflow.COALESCE
    coalesce_key: ClassVar[CoalesceKey | None] = parity


@pytest.mark.parametrize(
    ("kind", "told"),
    [(Small, [1, 2]), (Refusing, [1, 2]), (Ignoring, [1, 2]), (Dropping, [3, 4]), (Coalescing, [3, 4])],
)
def test_at_the_bound_each_policy_does_what_it_says_and_the_rest_are_dead_letters(
    kind: type[Small], told: list[int]
) -> None:
    @in_virtual_time
    async def run(simulation: Simulation) -> None:
        actor = kind()
        async with system_in(simulation) as system, asyncio.TaskGroup() as tasks:
            await system.start(child("one", lambda: actor))
            tasks.create_task(system.ask(ONE, Hang(), timeout_s=60))
            await simulation.pass_time(1)
            for number in (1, 2, 3, 4):
                system.tell(ONE, Tell(number))
            await simulation.pass_time(20)
            statistics = system.statistics()[0]
            assert (statistics.handled, system.dead_letters, statistics.mailbox.depth) == (3, 2, 0)
            assert statistics.mailbox.high_water == 2
        assert actor.told == told

    run()


@in_virtual_time
async def test_an_envelope_of_unknown_type_is_a_dead_letter_and_harms_nobody(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        await system.start(child("one", Recorder))
        system.tell(ONE, Unknown())
        system.tell(ONE, Tell(1))
        assert (await system.ask(ONE, ReadSum())).total in (0, 1)
        await simulation.pass_time(1)
        statistics = system.statistics()[0]
        assert (statistics.restarts, statistics.handled, system.dead_letters) == (0, 2, 1)


@in_virtual_time
async def test_an_ask_that_was_refused_leaves_nothing_behind(simulation: Simulation) -> None:
    class Refuser(Actor):
        def on_add(self, command: Add) -> Sum:
            raise IllegalTransition("it", "here", "there")

        async def on_read(self, query: ReadSum) -> Sum:
            raise IllegalTransition("it", "here", "there")

    errors = weakref.WeakSet[Exception]()
    async with system_in(simulation) as system:
        await system.start(child("one", Refuser))
        for request in (Add(1), ReadSum()):
            try:
                await system.ask(ONE, request)
            except IllegalTransition as error:
                errors.add(error)
        assert len(errors) == 2
        gc.collect()
        assert len(errors) == 0
