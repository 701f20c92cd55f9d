"""Who runs next: budgets, answers in place, fairness, and backpressure of the log."""

import asyncio
import logging
import time
from collections.abc import Callable

import pytest

from actors.runtime import Actor, ActorSystem, Job
from actors.runtime.dispatcher import IN_PLACE_BUDGET, TURN_BUDGET, TURN_S
from actors.runtime.log import BUFFER_EVENTS_MAX, SATURATION, Blobs
from actors.runtime.simulation import MemoryJournal
from actors.runtime.turns import ACTOR_BUDGET
from actors.runtime.virtual_time import Simulation, simulate
from bus.address import Address
from bus.clock import SystemClock
from bus.envelope import Batch
from bus.messages.base import Done, Event
from bus.messages.runtime import Terminated
from tests.support.virtual import (
    Add,
    Added,
    Adder,
    Crash,
    Hang,
    ReadSum,
    Recorder,
    Sum,
    Tell,
    child,
    in_virtual_time,
    system_in,
)

ONE, TWO = Address("one"), Address("two")


def in_line(simulation: Simulation) -> ActorSystem:
    """A system whose run queue is first in, first out."""
    journal = MemoryJournal(clock=simulation.clock)
    return ActorSystem(log=journal.log, history=journal, clock=simulation.clock)


class Shared(Recorder):
    """Adds who it is to a list that several share."""

    def __init__(self, heard: list[str]) -> None:
        super().__init__()
        self._heard = heard

    def on_tell(self, message: Tell) -> None:
        self._heard.append(self.address)


@in_virtual_time
async def test_a_flood_of_one_actor_does_not_keep_another_waiting_for_more_than_its_budget(
    simulation: Simulation,
) -> None:
    heard: list[str] = []
    async with in_line(simulation) as system:
        await system.start(child("one", lambda: Shared(heard)), child("two", lambda: Shared(heard)))
        for _ in range(1_000):
            system.tell(ONE, Tell(1))
        system.tell(TWO, Tell(1))
        await simulation.pass_time(1)
    assert 0 < heard.index(TWO) <= ACTOR_BUDGET
    assert len(heard) == 1_001


@in_virtual_time
async def test_a_turn_of_the_loop_handles_no_more_than_its_budget(simulation: Simulation) -> None:
    heard: list[str] = []
    async with in_line(simulation) as system:
        names = [f"actor/{number}" for number in range(20)]
        await system.start(*(child(name, lambda: Shared(heard)) for name in names))
        for name in names:
            for _ in range(200):
                system.tell(Address(name), Tell(1))
        most = before = 0
        while len(heard) < 4_000:
            await asyncio.sleep(0)
            most, before = max(most, len(heard) - before), len(heard)
        assert most <= 2 * TURN_BUDGET


class Heavy(Shared):
    """Holds the loop for as long as a turn of it may last."""

    def on_tell(self, message: Tell) -> None:
        super().on_tell(message)
        ends_s = time.perf_counter() + TURN_S
        while time.perf_counter() < ends_s:
            pass


async def _most_in_a_turn(heard: list[str], until: int) -> int:
    """How many more are heard in one turn of the loop at most, until so many are."""
    most, before = 0, len(heard)
    while len(heard) < until:
        await asyncio.sleep(0)
        most, before = max(most, len(heard) - before), len(heard)
    return most


async def test_after_a_heavy_handler_the_loop_has_its_turn_before_the_next_actor() -> None:
    heard: list[str] = []
    journal = MemoryJournal()
    async with ActorSystem(log=journal.log, history=journal, clock=SystemClock()) as system:
        names = [f"actor/{number}" for number in range(10)]
        await system.start(*(child(name, lambda: Heavy(heard)) for name in names))
        for name in names:
            system.tell(Address(name), Tell(1))
        assert await _most_in_a_turn(heard, len(names)) == 1


async def test_in_a_flood_of_heavy_messages_the_loop_has_its_turn_after_each_once_they_are_known_to_be() -> None:
    heard: list[str] = []
    journal = MemoryJournal()
    async with ActorSystem(log=journal.log, history=journal, clock=SystemClock()) as system:
        await system.start(child("one", lambda: Heavy(heard)))
        system.tell(ONE, Tell(1))
        await _most_in_a_turn(heard, 1)
        for _ in range(10):
            system.tell(ONE, Tell(1))
        assert await _most_in_a_turn(heard, 11) == 1


class Asking(Actor):
    """Asks again and again without ever waiting for anything."""

    async def on_add(self, command: Add) -> Sum:
        total = 0
        for _ in range(command.amount):
            total += (await self.ask(TWO, ReadSum(), timeout_s=5)).total
        return Sum(total)


@in_virtual_time
async def test_an_idle_actor_answers_in_place_but_never_starves_the_loop(simulation: Simulation) -> None:
    turns = 0
    async with in_line(simulation) as system, asyncio.TaskGroup() as tasks:
        await system.start(child("two", lambda: Recorder([1])), child("one", Asking))
        asking = tasks.create_task(system.ask(ONE, Add(10 * IN_PLACE_BUDGET)))
        while not asking.done():
            turns += 1
            await asyncio.sleep(0)
    assert asking.result() == Sum(10 * IN_PLACE_BUDGET)
    assert 10 <= turns < 100


class Alert(Recorder):
    """Does something in the midst of what it is told that comes before the rest."""

    def __init__(self, told: list[int], act: Callable[["Alert"], None]) -> None:
        super().__init__(told)
        self._act = act

    def on_tell(self, message: Tell) -> None:
        super().on_tell(message)
        if message.number == 1:
            self._act(self)

    def on_terminated(self, notice: Terminated) -> None:
        self.told.append(-1)


@in_virtual_time
async def test_a_notice_of_the_runtime_comes_before_the_rest_of_a_batch(simulation: Simulation) -> None:
    told: list[int] = []
    async with in_line(simulation) as system:
        await system.start(child("one", lambda: Alert(told, lambda actor: actor.watch(Address("nobody")))))
        for number in range(4):
            system.tell(ONE, Tell(number))
        await simulation.pass_time(1)
    assert told == [0, 1, -1, 2, 3]


@in_virtual_time
async def test_a_batch_ends_where_its_actor_is_paused_and_goes_on_when_it_is_resumed(simulation: Simulation) -> None:
    told: list[int] = []
    async with in_line(simulation) as system:
        await system.start(child("one", lambda: Alert(told, lambda actor: system.pause(ONE))))
        for number in range(4):
            system.tell(ONE, Tell(number))
        await simulation.pass_time(1)
        statistics = system.statistics()[0]
        assert (told, statistics.handled, statistics.mailbox.taken, statistics.mailbox.depth) == ([0, 1], 2, 2, 2)
        system.resume(ONE)
        await simulation.pass_time(1)
    assert told == [0, 1, 2, 3]


@in_virtual_time
async def test_a_fault_in_the_midst_of_a_batch_costs_the_message_and_leaves_the_rest(simulation: Simulation) -> None:
    told: list[int] = []

    def fail(actor: Alert) -> None:
        raise ValueError("one")

    async with in_line(simulation) as system:
        await system.start(child("one", lambda: Alert(told, fail)))
        for number in range(4):
            system.tell(ONE, Tell(number))
        await simulation.pass_time(10)
        statistics = system.statistics()[0]
        assert (statistics.handled, statistics.restarts, system.dead_letters) == (3, 1, 1)
    assert told == [0, 1, 2, 3]


@in_virtual_time
async def test_a_cancellation_that_escapes_from_a_synchronous_handler_is_a_fault_and_cancels_nobody(
    simulation: Simulation,
) -> None:
    def escape(actor: Alert) -> None:
        raise asyncio.CancelledError

    async with system_in(simulation) as system:
        await system.start(child("one", lambda: Alert([], escape)), child("two", Recorder))
        for number in range(3):
            system.tell(ONE, Tell(number))
        await simulation.pass_time(10)
        assert system.statistics()[0].last_error.startswith("RuntimeError: a cancellation escaped")
        assert await system.ask(TWO, ReadSum()) == Sum(0)


@in_virtual_time
async def test_an_ask_does_not_overtake_what_was_told_before(simulation: Simulation) -> None:
    class Ordered(Actor):
        async def on_add(self, command: Add) -> Sum:
            self.tell(TWO, Tell(command.amount))
            return await self.ask(TWO, ReadSum(), timeout_s=5)

    async with system_in(simulation) as system:
        await system.start(child("two", Recorder), child("one", Ordered))
        assert await system.ask(ONE, Add(7)) == Sum(7)


class SlowJournal(MemoryJournal):
    """Writes nothing until it is released."""

    released: asyncio.Event

    async def write(self, batch: Batch, blobs: Blobs) -> None:
        await self.released.wait()
        await super().write(batch, blobs)


class Flooding(Adder):
    """Persists many events for one command."""

    def on_add(self, command: Add) -> Sum:
        self.persist(*(Added(1) for _ in range(command.amount)))
        return Sum(self.state.total)

    def apply(self, event: Event) -> None:
        self.state.total += 1


@pytest.mark.slow
def test_no_turn_of_a_persistent_actor_starts_while_the_log_is_full_and_others_go_on() -> None:
    async def run(simulation: Simulation) -> None:
        journal = SlowJournal(clock=simulation.clock)
        journal.released = asyncio.Event()
        full = int(BUFFER_EVENTS_MAX * SATURATION)
        told: list[int] = []
        async with system_in(simulation, journal) as system, asyncio.TaskGroup() as tasks:
            await system.start(child("one", Flooding), child("two", lambda: Recorder(told)))
            system.tell(ONE, Add(full))
            for _ in range(10):
                system.tell(ONE, Add(1))
            system.tell(TWO, Tell(1))
            asking = tasks.create_task(system.ask(ONE, ReadSum(), timeout_s=60))
            await simulation.pass_time(1)
            assert (system.log.head, told) == (full, [1])
            journal.released.set()
            assert (await asking).total == full + 10

    simulate(1, run)


class Blocking(Actor):
    """Keeps the loop for itself."""

    def on_hang(self, command: Hang) -> Done:
        self._block()
        return Done()

    async def on_crash(self, command: Crash) -> Done:
        await asyncio.sleep(0)
        self._block()
        await asyncio.sleep(0)
        return Done()

    def _block(self) -> None:
        until = time.perf_counter() + 0.06
        while time.perf_counter() < until:
            pass


async def test_an_actor_that_blocks_the_loop_is_named(caplog: pytest.LogCaptureFixture) -> None:
    journal = MemoryJournal()
    with caplog.at_level(logging.WARNING, logger="actors.runtime"):
        async with ActorSystem(log=journal.log, history=journal) as system:
            await system.start(child("one", Blocking))
            system.tell(ONE, Hang())
            await system.drain(5)
            assert system.statistics()[0].handle_p99_s > 0.05
    assert ("an actor blocked the loop", "one", "") in map(blamed, caplog.records)


async def test_a_step_of_an_asynchronous_handler_that_blocks_the_loop_is_named_with_its_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal = MemoryJournal()
    with caplog.at_level(logging.WARNING, logger="actors.runtime"):
        async with ActorSystem(log=journal.log, history=journal) as system:
            await system.start(child("one", Blocking))
            assert await system.ask(ONE, Crash()) == Done()
    assert ("an actor blocked the loop", "one", "test.crash") in map(blamed, caplog.records)


def blamed(record: logging.LogRecord) -> tuple[object, ...]:
    return record.message, record.__dict__["actor"], record.__dict__["handled"]


@in_virtual_time
async def test_while_the_log_falls_behind_the_loop_cedes_time(simulation: Simulation) -> None:
    class Busy(Adder):
        def on_tell(self, message: Tell) -> None:
            if message.number:
                self.tell(self.address, Tell(message.number - 1))

        def on_hang(self, command: Hang) -> Done:
            self.perform(self._nothing)
            return Done()

        async def _nothing(self, job: Job) -> None:
            return

    journal = SlowJournal(clock=simulation.clock)
    journal.released = asyncio.Event()
    async with system_in(simulation, journal) as system:
        await system.start(child("one", Busy))
        system.tell(ONE, Add(1))
        await simulation.pass_time(1)
        began_s = simulation.clock.monotonic_s()
        for number in (50, 50):
            system.tell(ONE, Tell(number))
        while system.statistics()[0].handled < 100:
            await simulation.pass_time(0.001)
        assert simulation.clock.monotonic_s() - began_s > 0.03
        journal.released.set()
