"""Persistent actors: a turn is all or nothing, state is the fold of events, facts are exactly once in effect."""

import asyncio

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.runtime import ActorSystem, Job, Subscription
from actors.runtime.simulation import MemoryJournal
from actors.runtime.virtual_time import Simulation, simulate
from bus.address import Address
from bus.codec import EVENT_BYTES_MAX
from bus.errors import ActorFault
from bus.messages.base import Position
from bus.refusals import IllegalTransition
from tests.support.virtual import (
    Add,
    Added,
    Adder,
    Echo,
    Echoed,
    ReadSum,
    Recorder,
    Sum,
    Tell,
    Total,
    amounts,
    child,
    in_virtual_time,
    system_in,
    until,
)

ADDER, ECHO, OTHER = Address("adder"), Address("echo"), Address("other")


def states(system: ActorSystem) -> dict[str, bytes]:
    return {address: snapshot.state for address, snapshot in system.snapshots().items()}


def journal_in(simulation: Simulation) -> MemoryJournal:
    return MemoryJournal(clock=simulation.clock)


@in_virtual_time
async def test_state_is_the_fold_of_events_live_and_after_a_restart(simulation: Simulation) -> None:
    journal = journal_in(simulation)
    async with system_in(simulation, journal) as system:
        await system.start(child("adder", Adder))
        for amount in (1, 2, 3):
            await system.ask(ADDER, Add(amount))
        live = states(system)
    async with system_in(simulation, journal) as system:
        await system.start(child("adder", Adder))
        assert states(system) == live
        assert await system.ask(ADDER, ReadSum()) == Sum(6)


@in_virtual_time
async def test_a_turn_that_fails_leaves_no_event_and_no_message(simulation: Simulation) -> None:
    class Loud(Adder):
        def on_add(self, command: Add) -> Sum:
            self.tell(OTHER, Tell(command.amount))
            self.publish(Tell(command.amount))
            self.start_timer("never", 0.01, Tell(command.amount))
            self.perform(self._shout, command.amount)
            return super().on_add(command)

        def on_tell(self, message: Tell) -> None:
            self.tell(OTHER, Tell(1_000))

        async def _shout(self, job: Job, amount: int) -> None:
            job.tell(OTHER, Tell(10 * amount))

    told: list[int] = []
    async with system_in(simulation) as system:
        await system.start(child("other", lambda: Recorder(told)), child("adder", Loud))
        with pytest.raises(ActorFault):
            await system.ask(ADDER, Add(13))
        with pytest.raises(IllegalTransition):
            await system.ask(ADDER, Add(-1))
        await simulation.pass_time(5)
        assert (told, states(system)[ADDER]) == ([], msgspec.json.encode(Total()))
        await system.ask(ADDER, Add(2))
        await simulation.pass_time(5)
    assert sorted(told) == [2, 20, 1_000]


@in_virtual_time
async def test_a_refusal_after_something_was_persisted_is_a_bug(simulation: Simulation) -> None:
    class Confused(Adder):
        def on_add(self, command: Add) -> Sum:
            self.persist(Added(command.amount))
            raise IllegalTransition("it", "done", "refused")

    journal = journal_in(simulation)
    async with system_in(simulation, journal) as system:
        await system.start(child("adder", Confused))
        with pytest.raises(ActorFault, match="refused after it had persisted"):
            await system.ask(ADDER, Add(1))
    assert amounts([record.event for record in journal.events]) == []


@in_virtual_time
async def test_an_answer_leaves_after_the_commit_and_names_the_event_that_it_caused(simulation: Simulation) -> None:
    journal = journal_in(simulation)
    async with system_in(simulation, journal) as system:
        await system.start(child("adder", Adder))
        for expected in (1, 2):
            answer = await system.exchange(ADDER, Add(5), correlation="talk")
            assert (answer.position, answer.after, journal.head) == (expected, expected, expected)
    assert {record.correlation for record in journal.events} == {"talk"}


@in_virtual_time
async def test_a_query_that_reads_what_is_not_committed_waits_at_the_edge_too(simulation: Simulation) -> None:
    journal = journal_in(simulation)
    async with system_in(simulation, journal) as system:
        await system.start(child("adder", Adder))
        system.tell(ADDER, Add(1))
        await asyncio.sleep(0)
        journal.fail_next_writes = 1
        reply = await system.ask(ADDER, ReadSum())
        assert reply.total in (0, 1)
        assert reply.total == 0 or journal.head == 1


@in_virtual_time
async def test_a_restarted_actor_folds_events_that_are_still_in_flight(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        await system.start(child("adder", Adder))
        for amount in (1, 2, 13, 3):
            system.tell(ADDER, Add(amount))
        await simulation.pass_time(5)
        assert await system.ask(ADDER, ReadSum()) == Sum(6)
        assert system.statistics()[0].restarts == 1


@in_virtual_time
async def test_an_actor_that_is_started_again_at_its_address_folds_what_is_in_flight(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        await system.start(child("adder", Adder))
        system.tell(ADDER, Add(5))
        await until(lambda: system.log.head > 0)
        await system.stop_actor(ADDER)
        await system.start(child("adder", Adder))
        assert await system.ask(ADDER, ReadSum()) == Sum(5)


@in_virtual_time
async def test_a_fact_reaches_its_subscriber_in_order_and_once_across_restarts(simulation: Simulation) -> None:
    journal = journal_in(simulation)
    for start in (1, 4):
        async with system_in(simulation, journal) as system:
            await system.start(child("adder", Adder), child("echo", Echo))
            for amount in range(start, start + 3):
                system.tell(ADDER, Add(amount))
            await simulation.pass_time(5)
    echoed = [record.event.amount for record in journal.events if isinstance(record.event, Echoed)]
    assert echoed == [1, 2, 3, 4, 5, 6]


@in_virtual_time
async def test_a_subscriber_that_comes_late_reads_the_past_unless_it_does_not_want_it(simulation: Simulation) -> None:
    class Newcomer(Echo):
        reads_past = False

    journal = journal_in(simulation)
    async with system_in(simulation, journal) as system:
        await system.start(child("adder", Adder))
        for amount in (1, 2):
            await system.ask(ADDER, Add(amount))
        await system.start(child("echo", Echo), child("other", Newcomer))
        await system.ask(ADDER, Add(3))
        await simulation.pass_time(5)
    heard = {ECHO: list[int](), OTHER: list[int]()}
    for record in journal.events:
        if isinstance(record.event, Echoed):
            heard[record.source].append(record.event.amount)
    assert heard == {ECHO: [1, 2, 3], OTHER: [3]}


@in_virtual_time
async def test_an_actor_does_not_hear_its_own_facts_and_an_agent_hears_only_its_own(simulation: Simulation) -> None:
    class Choosy(Echo):
        def subscriptions(self) -> tuple[Subscription, ...]:
            return (Subscription("test.added", agent="adder"),)

    journal = journal_in(simulation)
    async with system_in(simulation, journal) as system:
        await system.start(child("adder", Adder), child("other", Adder), child("echo", Choosy))
        await system.ask(ADDER, Add(1))
        await system.ask(OTHER, Add(2))
        await system.ask(ECHO, Add(3))
        await simulation.pass_time(5)
    assert [record.event.amount for record in journal.events if isinstance(record.event, Echoed)] == [1]


@in_virtual_time
async def test_a_checkpoint_and_the_events_after_it_give_the_same_state_as_all_events(simulation: Simulation) -> None:
    journal = journal_in(simulation)
    async with system_in(simulation, journal) as system:
        await system.start(child("adder", Adder), child("echo", Echo))
        for amount in (1, 2):
            await system.ask(ADDER, Add(amount))
        await simulation.pass_time(1)
        snapshots = system.snapshots()
        await system.ask(ADDER, Add(3))
        await simulation.pass_time(1)
        live = states(system)
    restored = MemoryJournal(journal.events, journal.blobs, snapshots, clock=simulation.clock)
    async with system_in(simulation, restored) as system:
        await system.start(child("adder", Adder), child("echo", Echo))
        await simulation.pass_time(1)
        assert states(system) == live
    assert restored.head == journal.head


@in_virtual_time
async def test_the_recovered_turn_may_persist_and_sees_the_folded_state(simulation: Simulation) -> None:
    class Counting(Adder):
        def on_recovered(self) -> None:
            self.persist(Added(self.state.total + 1))

    journal = journal_in(simulation)
    for expected in (1, 3, 7):
        async with system_in(simulation, journal) as system:
            await system.start(child("adder", Counting))
            assert await system.ask(ADDER, ReadSum()) == Sum(expected)


@in_virtual_time
async def test_an_event_over_its_bound_is_a_fault_of_its_actor_and_not_of_the_journal(simulation: Simulation) -> None:
    class Wordy(Adder):
        def on_add(self, command: Add) -> Sum:
            self.persist(Added(command.amount, "x" * EVENT_BYTES_MAX))
            return Sum(0)

    async with system_in(simulation) as system:
        await system.start(child("adder", Wordy))
        with pytest.raises(ActorFault, match="bytes"):
            await system.ask(ADDER, Add(1))
        assert not system.log.has_failed


@in_virtual_time
async def test_blobs_are_kept_with_the_event_that_names_them(simulation: Simulation) -> None:
    class Keeper(Adder):
        def on_add(self, command: Add) -> Sum:
            self.persist(Added(command.amount), blobs=(b"some bytes",))
            return Sum(0)

    journal = journal_in(simulation)
    async with system_in(simulation, journal) as system:
        await system.start(child("adder", Keeper))
        await system.ask(ADDER, Add(1))
        assert list(journal.blobs.values()) == [b"some bytes"]


@in_virtual_time
async def test_a_job_begins_after_the_commit_of_the_turn_that_started_it(simulation: Simulation) -> None:
    heads: list[Position] = []

    class Careful(Adder):
        def on_add(self, command: Add) -> Sum:
            self.perform(self._act)
            return super().on_add(command)

        async def _act(self, job: Job) -> None:
            heads.append(journal.head)

    journal = journal_in(simulation)
    journal.fail_next_writes = 1
    async with system_in(simulation, journal) as system:
        await system.start(child("adder", Careful))
        system.tell(ADDER, Add(1))
        await simulation.pass_time(5)
    assert heads == [1]


@in_virtual_time
async def test_a_persistent_actor_that_would_ask_past_the_gate_is_told_so(simulation: Simulation) -> None:
    class Hasty(Adder):
        def on_tell(self, message: Tell) -> None:
            self.perform(self._act)

        async def _act(self, job: Job) -> None:
            await self.ask(OTHER, ReadSum(), timeout_s=1)

    async with system_in(simulation) as system:
        await system.start(child("other", Recorder), child("adder", Hasty))
        system.tell(ADDER, Tell(1))
        await simulation.pass_time(5)
        assert "asks from a job" in system.statistics()[1].last_error


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), amounts_told=st.lists(st.sampled_from([1, 2, 3, 13, -1]), max_size=8))
def test_whatever_a_crash_cuts_off_every_prefix_recovers_and_goes_on(seed: int, amounts_told: list[int]) -> None:
    """Every prefix of the journal is a state that a crash may leave; from each one the echo ends up exact."""

    async def run(simulation: Simulation) -> None:
        journal = journal_in(simulation)
        async with system_in(simulation, journal) as system:
            await system.start(child("adder", Adder), child("echo", Echo))
            for amount in amounts_told:
                system.tell(ADDER, Add(amount))
            await simulation.pass_time(60)
        for head in range(journal.head + 1):
            left = journal.truncated(Position(head))
            async with system_in(simulation, left) as system:
                await system.start(child("adder", Adder), child("echo", Echo))
                await simulation.pass_time(60)
                fold = Total()
                for record in left.events:
                    if isinstance(record.event, Added):
                        fold.total += record.event.amount
                assert states(system)[ADDER] == msgspec.json.encode(fold)
            added = [record.event.amount for record in left.events if isinstance(record.event, Added)]
            echoed = [record.event.amount for record in left.events if isinstance(record.event, Echoed)]
            assert echoed == added

    simulate(seed, run)
