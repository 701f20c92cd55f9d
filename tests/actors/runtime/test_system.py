"""The system from outside: the edge, draining, pausing, catching up, and how it ends."""

import asyncio
from collections.abc import Sequence

import pytest

from actors.runtime import ActorSystem, SupervisionOptions
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.log import REOPENS_MAX
from actors.runtime.simulation import MemoryJournal
from actors.runtime.virtual_time import Simulation
from bus.address import Address
from bus.clock import SystemClock
from bus.envelope import Recorded
from bus.errors import DeadlinePassed, NoSuchActor, StorageError, SystemStopping
from bus.messages.base import Position
from bus.messages.system import JOURNAL
from bus.refusals import IllegalTransition, IntakePaused
from tests.actors.runtime.test_log import Full
from tests.support.virtual import (
    Add,
    Adder,
    Crash,
    Echo,
    Hang,
    ReadSum,
    Recorder,
    Sum,
    Tell,
    amounts,
    child,
    in_virtual_time,
    system_in,
    until,
)

ONE, TWO = Address("one"), Address("two")


@in_virtual_time
async def test_a_write_that_fails_once_is_not_noticed_outside(simulation: Simulation) -> None:
    journal = MemoryJournal(clock=simulation.clock)
    async with system_in(simulation, journal) as system:
        await system.start(child("one", Adder), child("two", Echo))
        for amount in range(1, 6):
            journal.fail_next_writes = 1
            await system.ask(ONE, Add(amount))
        await simulation.pass_time(5)
    assert sorted(amounts([record.event for record in journal.events])) == sorted([*range(1, 6)] * 2)


@in_virtual_time
async def test_a_log_that_can_never_be_written_ends_the_system_with_the_cause(simulation: Simulation) -> None:
    journal = MemoryJournal(clock=simulation.clock)
    async with system_in(simulation, journal) as system:
        await system.start(child("one", Adder))
        journal.fail_next_writes = REOPENS_MAX + 1
        with pytest.raises(StorageError):
            await system.ask(ONE, Add(1), timeout_s=60)
        assert isinstance(await system.failed(), StorageError)
    assert journal.events == []


@in_virtual_time
async def test_an_ask_whose_commit_does_not_come_in_time_ends_at_its_deadline(simulation: Simulation) -> None:
    journal = MemoryJournal(clock=simulation.clock)
    async with system_in(simulation, journal) as system:
        await system.start(child("one", Adder))
        journal.fail_next_writes = REOPENS_MAX
        with pytest.raises(DeadlinePassed):
            await system.ask(ONE, Add(1), timeout_s=1)
        assert 1 <= simulation.clock.monotonic_s() < 1.1
        await simulation.pass_time(10)
        assert await system.ask(ONE, ReadSum()) == Sum(1)


@in_virtual_time
async def test_a_drain_refuses_what_is_new_and_ends_when_nothing_waits(simulation: Simulation) -> None:
    told: list[int] = []
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: Recorder(told)), child("two", Adder))
        for number in range(100):
            system.tell(ONE, Tell(number))
            system.tell(TWO, Add(1))
        assert await system.drain(10)
        assert (len(told), system.log.watermark) == (100, 100)
        with pytest.raises(SystemStopping):
            await system.ask(ONE, ReadSum())
        system.tell(ONE, Tell(1))
        assert system.dead_letters == 1


@in_virtual_time
async def test_a_drain_waits_for_a_restart_and_what_waits_behind_it(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        await system.start(child("one", Adder))
        for amount in (1, 13, 2):
            system.tell(ONE, Add(amount))
        assert await system.drain(10)
        assert system.log.head == 3
    assert system.dead_letters == 1


@in_virtual_time
async def test_a_drain_gives_up_when_its_time_is_over(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        await system.start(child("one", Recorder))
        system.tell(ONE, Hang())
        assert not await system.drain(3)
        assert 3 <= simulation.clock.monotonic_s() < 3.1


@in_virtual_time
async def test_a_drain_ends_when_the_last_one_that_is_busy_is_stopped_or_paused(simulation: Simulation) -> None:
    for end in ("stop", "pause"):
        async with system_in(simulation) as system, asyncio.TaskGroup() as tasks:
            await system.start(child("one", Recorder))
            system.tell(ONE, Crash())
            system.tell(ONE, Hang() if end == "stop" else Tell(1))
            if end == "pause":
                system.pause(ONE)
                system.resume(ONE)
            draining = tasks.create_task(system.drain(60))
            await simulation.pass_time(1)
            if end == "stop":
                await system.stop_actor(ONE)
            assert await draining
        assert simulation.clock.monotonic_s() < 30


@in_virtual_time
async def test_a_drain_does_not_wait_for_those_who_are_paused(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        await system.start(child("one", Recorder))
        system.pause(ONE)
        system.tell(ONE, Tell(1))
        assert await system.drain(3)


@in_virtual_time
async def test_a_paused_actor_starts_no_turn_and_then_handles_all_that_came(simulation: Simulation) -> None:
    told: list[int] = []
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: Recorder(told)))
        system.tell(ONE, Tell(1))
        system.pause(ONE)
        with pytest.raises(DeadlinePassed):
            await system.ask(ONE, ReadSum(), timeout_s=1)
        before = list(told)
        assert before in ([], [1])
        system.resume(ONE)
        await simulation.pass_time(1)
        assert told == [1]
        with pytest.raises(IllegalTransition):
            system.resume(ONE)
        with pytest.raises(NoSuchActor):
            system.pause(TWO)


@in_virtual_time
async def test_a_pause_outlasts_a_restart(simulation: Simulation) -> None:
    class Late(Recorder):
        def on_tell(self, message: Tell) -> None:
            self.perform(self._fail_later)
            super().on_tell(message)

        async def _fail_later(self, job: object) -> None:
            await asyncio.sleep(1)
            raise ValueError("a bug")

    async with system_in(simulation) as system:
        await system.start(child("one", Late))
        system.tell(ONE, Tell(1))
        await simulation.pass_time(0.5)
        system.pause(ONE)
        await simulation.pass_time(10)
        assert [(s.state, s.restarts) for s in system.statistics()] == [(Lifecycle.PAUSED, 1)]
        system.resume(ONE)
        assert await system.ask(ONE, ReadSum()) == Sum(0)


@in_virtual_time
async def test_a_pause_while_facts_are_read_from_the_past_loses_none(simulation: Simulation) -> None:
    journal = MemoryJournal(clock=simulation.clock)
    async with system_in(simulation, journal) as system:
        await system.start(child("one", Adder))
        for amount in range(1, 600):
            system.tell(ONE, Add(amount))
            if amount % 100 == 0:
                await simulation.pass_time(1)
        await simulation.pass_time(1)
    async with system_in(simulation, journal) as system, asyncio.TaskGroup() as tasks:
        await system.start(child("one", Adder))
        starting = tasks.create_task(system.start(child("two", Echo)))
        await until(lambda: [s.state for s in system.statistics()] == [Lifecycle.RUNNING] * 2)
        for _ in range(3):
            system.pause(TWO)
            system.tell(ONE, Add(1_000))
            for _ in range(simulation.dice.index(3)):
                await asyncio.sleep(0)
            system.resume(TWO)
            await asyncio.sleep(0)
        await starting
        assert await system.drain(60)
    added = [r.event.amount for r in journal.events if r.source == ONE and hasattr(r.event, "amount")]
    echoed = [r.event.amount for r in journal.events if r.source == TWO and hasattr(r.event, "amount")]
    assert echoed == added
    assert len(added) == 598 + 3


async def caught_up(system: ActorSystem, after: Position, into: list[Position]) -> None:
    async for batch in system.catch_up(("test.added",), after):
        into.extend(positions(batch))


def positions(batch: Sequence[Recorded]) -> list[Position]:
    return [record.position for record in batch]


@in_virtual_time
async def test_catching_up_has_no_gap_and_no_duplicate_and_ends_with_the_system(simulation: Simulation) -> None:
    journal = MemoryJournal(clock=simulation.clock)
    heard: dict[int, list[Position]] = {0: [], 2: [], 7: []}
    async with asyncio.TaskGroup() as tasks, system_in(simulation, journal) as system:
        await system.start(child("one", Adder), child("two", Echo))
        tasks.create_task(caught_up(system, Position(0), heard[0]))
        for amount in range(1, 4):
            await system.ask(ONE, Add(amount))
        tasks.create_task(caught_up(system, Position(2), heard[2]))
        for amount in range(4, 10):
            system.tell(ONE, Add(amount))
            await simulation.pass_time(simulation.dice.uniform(0, 0.01))
        tasks.create_task(caught_up(system, Position(7), heard[7]))
        await simulation.pass_time(1)
    expected = [record.position for record in journal.events if record.event.wire_name == "test.added"]
    for after, found in heard.items():
        assert found == [position for position in expected if position > after]


@in_virtual_time
async def test_stopping_twice_is_fine_and_addresses_are_taken_once(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        await system.start(child("one", Recorder))
        with pytest.raises(ValueError, match="already"):
            await system.start(child("one", Recorder))
        with pytest.raises(NoSuchActor):
            await system.stop_actor(TWO)
        await system.stop()
        await system.stop()
        assert system.statistics() == ()


class BrokenClock(SystemClock):
    """Tells the time until it breaks."""

    is_broken = False

    def monotonic_s(self) -> float:
        if self.is_broken:
            raise ValueError("the clock is broken")
        return super().monotonic_s()


@in_virtual_time
async def test_a_bug_in_the_runtime_itself_ends_the_system_and_does_not_hang_it(simulation: Simulation) -> None:
    journal, clock = MemoryJournal(clock=simulation.clock), BrokenClock()
    async with ActorSystem(log=journal.log, history=journal, clock=clock) as system:
        await system.start(child("one", Recorder))
        clock.is_broken = True
        system.tell(ONE, Crash())
        assert "the clock is broken" in str(await system.failed())


@in_virtual_time
async def test_sent_is_handled_and_dead_letters_and_queued(simulation: Simulation) -> None:
    patient = SupervisionOptions(intensity_max=1_000)
    async with system_in(simulation, supervision=patient) as system:
        await system.start(*(child(name, Recorder) for name in ("one", "two", "three")))
        handled_by_the_gone = 0
        for sent in range(1, 61):
            to = Address(simulation.dice.choice(("one", "two", "three", "nobody")))
            system.tell(to, simulation.dice.choice((Tell(1), Hang(), Add(1), ReadSum(), Crash())))
            if simulation.dice.random() < 0.2:
                await simulation.pass_time(simulation.dice.uniform(0, 1))
            if simulation.dice.random() < 0.05:
                gone = simulation.dice.choice(system.statistics())
                handled_by_the_gone += gone.handled - gone.is_busy  # what is in hand becomes a dead letter
                await system.stop_actor(gone.address)
                await system.start(child(gone.address, Recorder))
            statistics = system.statistics()
            handled = sum(s.handled for s in statistics) + handled_by_the_gone
            queued = sum(s.mailbox.depth for s in statistics)
            assert sent == handled + queued + system.dead_letters


@in_virtual_time
async def test_while_the_disk_is_full_commands_are_refused_and_questions_answered_and_it_goes_on_by_itself(
    simulation: Simulation,
) -> None:
    journal = Full(clock=simulation.clock)
    async with system_in(simulation, journal) as system:
        await system.start(child("one", Adder))
        await system.ask(ONE, Add(1))
        journal.is_full = True
        with pytest.raises(DeadlinePassed):  # it was taken before anybody knew: whether it lands is unknown
            await system.ask(ONE, Add(2))
        with pytest.raises(IntakePaused, match="disk full"):
            await system.ask(ONE, Add(3))
        with pytest.raises(NoSuchActor):  # what the journal itself is told goes through, such as to prune
            await system.ask(JOURNAL, Add(3))
        journal.is_full = False
        await simulation.pass_time(5)
        await system.ask(ONE, Add(4))
    assert amounts([record.event for record in journal.events]) == [1, 2, 4]
