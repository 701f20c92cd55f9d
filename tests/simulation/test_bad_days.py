"""Bad days of the runtime that need a whole system around them: everything is full, busy, or ends at once."""

import asyncio
import logging
from functools import partial
from typing import ClassVar

import pytest

from actors.runtime import Actor, Deferred, Job, PersistentActor, SupervisionOptions
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.virtual_time import Simulation
from bus.address import Address
from bus.dice import Dice
from bus.errors import AgoraError, MailboxFull
from bus.mailbox import CoalesceKey, Overflow
from bus.messages.base import Done, Event, Message, Request
from bus.messages.runtime import DeadLettered
from tests.simulation.market_parts import Disk
from tests.support.virtual import (
    Add,
    Added,
    Crash,
    Hang,
    ReadSum,
    Recorder,
    Sum,
    Tell,
    Total,
    child,
    in_virtual_time,
    system_in,
    temporary,
)

ONE, TWO = Address("one"), Address("two")
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Faults are planned here."""
    caplog.set_level(logging.CRITICAL + 1, logger="actors.runtime")


@in_virtual_time
async def test_a_synchronous_handler_runs_without_a_task_and_an_asynchronous_one_in_a_task_of_its_own(
    simulation: Simulation,
) -> None:
    tasks: list[object] = []

    class Both(Actor):
        def on_tell(self, message: Tell) -> None:
            tasks.append(asyncio.current_task())

        async def on_crash(self, command: Crash) -> None:
            tasks.append(asyncio.current_task())

    async with system_in(simulation) as system:
        await system.start(child("one", Both))
        before = asyncio.all_tasks()
        system.tell(ONE, Tell(1))
        await simulation.pass_time(1)
        system.tell(ONE, Crash())
        await simulation.pass_time(1)
        assert asyncio.all_tasks() == before
    assert tasks[0] is None
    assert isinstance(tasks[1], asyncio.Task)


class Full(Recorder):
    """Has room for two; hangs for ten seconds when it is asked to."""

    mailbox_size_max: ClassVar[int] = 2

    async def on_hang(self, command: Hang) -> None:
        await asyncio.sleep(10)


class Refusing(Full):
    overflow: ClassVar[Overflow] = Overflow.REFUSE


class Ignoring(Full):
    overflow: ClassVar[Overflow] = Overflow.DROP_NEW


class Dropping(Full):
    overflow: ClassVar[Overflow] = Overflow.DROP_OLD


def kind_of(message: Message) -> str:
    return message.wire_name


class Coalescing(Full):
    overflow: ClassVar[Overflow] = Overflow.COALESCE
    coalesce_key: ClassVar[CoalesceKey | None] = kind_of


@pytest.mark.parametrize(
    ("kind", "answers"),
    [
        (Full, ["answered", "answered", "answered"]),
        (Refusing, ["answered", "answered", "full"]),
        (Ignoring, ["answered", "answered", "full"]),
        (Dropping, ["full", "answered", "answered"]),
        (Coalescing, ["answered", "full", "answered"]),
    ],
)
def test_who_asks_at_the_bound_waits_or_hears_at_once_that_it_is_full(kind: type[Full], answers: list[str]) -> None:
    @in_virtual_time
    async def run(simulation: Simulation) -> None:
        heard = dict.fromkeys(range(3), "")

        async def ask(number: int) -> None:
            try:
                await system.ask(ONE, ReadSum(), timeout_s=PATIENCE_S)
                heard[number] = "answered"
            except MailboxFull:
                assert simulation.clock.monotonic_s() < 2, "at once, not at the deadline"
                heard[number] = "full"

        async with system_in(simulation) as system, asyncio.TaskGroup() as tasks:
            await system.start(child("one", kind))
            tasks.create_task(system.ask(ONE, Hang(), timeout_s=PATIENCE_S))
            await simulation.pass_time(1)
            for number in range(3):
                tasks.create_task(ask(number))
                await simulation.pass_time(0.1)
        assert list(heard.values()) == answers

    run()


@in_virtual_time
async def test_the_message_that_crashed_its_actor_is_a_dead_letter_with_the_error(simulation: Simulation) -> None:
    letters: list[DeadLettered] = []

    class Reader(Actor):
        async def on_start(self) -> None:
            self.subscribe(DeadLettered)

        def on_letter(self, letter: DeadLettered) -> None:
            letters.append(letter)

    async with system_in(simulation) as system:
        await system.start(child("reader", Reader), child("one", Recorder))
        system.tell(ONE, Crash())
        await simulation.pass_time(1)
    assert [(letter.to, letter.message) for letter in letters] == [(ONE, "test.crash")]
    assert "ValueError: a bug" in letters[0].reason


class Fragile(Recorder):
    """Hears what is published, and fails at 2."""

    async def on_start(self) -> None:
        self.subscribe(Tell)

    def on_tell(self, message: Tell) -> None:
        if message.number == 2:
            raise ValueError("two")
        super().on_tell(message)


class Sturdy(Fragile):
    def on_tell(self, message: Tell) -> None:
        self.told.append(message.number)


class Crier(Actor):
    def on_tell(self, message: Tell) -> None:
        self.publish(message)


@in_virtual_time
async def test_a_subscriber_that_fails_costs_the_others_nothing_and_hears_again_once_it_is_back(
    simulation: Simulation,
) -> None:
    fragile: list[int] = []
    sturdy: list[int] = []
    async with system_in(simulation) as system:
        await system.start(
            child("fragile", lambda: Fragile(fragile)), child("sturdy", lambda: Sturdy(sturdy)), child("one", Crier)
        )
        for number in range(5):
            system.tell(ONE, Tell(number))
            await simulation.pass_time(10)
        assert [statistics.restarts for statistics in system.statistics()] == [1, 0, 0]
    assert sturdy == [0, 1, 2, 3, 4]
    assert fragile == [0, 1, 3, 4]


class Avalanche(Recorder):
    """Tells itself twice whatever it is told: without bounds it would never end."""

    mailbox_size_max: ClassVar[int] = 16

    def on_tell(self, message: Tell) -> None:
        for _ in range(2):
            self.tell(self.address, Tell(message.number + 1))


@in_virtual_time
async def test_an_actor_that_buries_itself_in_messages_keeps_its_bound_and_lets_others_work(
    simulation: Simulation,
) -> None:
    async with system_in(simulation) as system:
        await system.start(child("one", Avalanche), child("two", lambda: Recorder([7])))
        system.tell(ONE, Tell(0))
        for _ in range(5):
            for _ in range(400):
                await asyncio.sleep(0)
            assert await system.ask(TWO, ReadSum(), timeout_s=1) == Sum(7)
        buried = system.statistics()[0]
        assert buried.mailbox.depth > buried.mailbox.size_max, "what it tells itself has room of its own"
        assert system.dead_letters > 0, "and that room has a bound"


class Worker(PersistentActor[Total]):
    """Appends, begins jobs, sets timers, tells its neighbour, and leaves some answers for later."""

    state_type: ClassVar[type[Total]] = Total
    mailbox_size_max: ClassVar[int] = 4

    def __init__(self, neighbour: Address, dice: Dice) -> None:
        self._neighbour = neighbour
        self._dice = dice
        self._owed: list[Deferred[Sum]] = []

    def initial(self) -> Total:
        return Total()

    def apply(self, event: Event) -> None:
        if isinstance(event, Added):
            self.state.total += event.amount

    def on_add(self, command: Add) -> Sum | None:
        self.start_timer("later", self._dice.uniform(0, 3), Tell(1))
        self.tell(self._neighbour, Tell(command.amount))
        self.perform(self._work)
        if self._dice.random() < 0.3:
            self._owed.append(self.defer())
            return None
        self.persist(Added(command.amount))
        return Sum(self.state.total)

    def on_crash(self, command: Crash) -> Done:
        raise ValueError("a bug")

    def on_tell(self, message: Tell) -> None:
        for deferred in self._owed:
            if deferred.is_open:
                deferred.answer(Sum(self.state.total))
        self._owed.clear()

    async def _work(self, job: Job) -> None:
        await asyncio.sleep(self._dice.uniform(0, 5))
        job.tell(self._neighbour, Tell(1))


class Hanger(Recorder):
    """Hangs at everything that it is asked."""

    mailbox_size_max: ClassVar[int] = 2


@in_virtual_time
async def test_shutdown_while_everything_is_busy_answers_everyone_loses_no_commit_and_leaves_nothing(
    simulation: Simulation,
) -> None:
    """Bursts hang, jobs run, timers wait, mailboxes are full, senders stand outside, commits are under way, one is
    paused, one waits for its restart: each asker hears what became of it, and what was answered is on the disk."""
    dice = simulation.dice.split("busy")
    disk = Disk(simulation.dice.split("disk"), simulation.clock)
    positions: list[int] = []
    outcomes: list[str] = []

    async def ask(to: Address, request: Request[Message]) -> None:
        try:
            answer = await system.exchange(to, request, timeout_s=1_000)
        except AgoraError as error:
            outcomes.append(type(error).__name__)
        else:
            outcomes.append("answered")
            positions.append(max(answer.position, answer.after))

    names = ("worker/1", "worker/2", "worker/3")
    supervision = SupervisionOptions(intensity_max=1_000)
    async with asyncio.TaskGroup() as tasks, system_in(simulation, disk, supervision) as system:
        for number, name in enumerate(names):
            neighbour = Address(names[number - 1])
            await system.start(child(name, partial(Worker, neighbour, dice), shutdown_s=1.0))
        await system.start(child("hanger", Hanger, shutdown_s=1.0), temporary("mayfly", Recorder))
        asked = 0
        for _ in range(60):
            to = Address(dice.choice((*names, "hanger", "mayfly")))
            request: Request[Message] = dice.choice((Add(1), Add(1), ReadSum(), Hang(), Crash()))
            tasks.create_task(ask(to, request))
            asked += 1
            if dice.random() < 0.3:
                await simulation.pass_time(dice.uniform(0, 0.2))
        if system.statistics()[0].state is Lifecycle.RUNNING:
            system.pause(Address(names[0]))
        began_s = simulation.clock.monotonic_s()
        await system.stop()
        assert simulation.clock.monotonic_s() - began_s < 10, "the deadlines of all together bound it"
        assert system.statistics() == ()
        assert system.log.buffered == 0, "all that was appended is durable"
    assert len(outcomes) == asked, "everyone who asked has heard"
    assert "DeadlinePassed" not in outcomes, "and nobody by waiting in vain"
    assert max(positions, default=0) <= disk.head, "what was answered is there"
