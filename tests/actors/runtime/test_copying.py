"""Copies for checkpoints: of what changed, without holding up anybody but the actor that is copied."""

import asyncio

import msgspec

from actors.runtime import ActorSystem, ChildSpec, PersistentActor
from actors.runtime.simulation import MemoryJournal
from bus.address import Address
from bus.canonical import canonical
from bus.messages.base import Command, Done, Event, Query, Reply

BIG, SMALL = Address("big"), Address("small")


class Put(Command[Done], frozen=True):
    """Sent to have entries written."""

    wire_name = "test.put"

    first: int
    count: int


class Count(Query["Counted"], frozen=True):
    """Sent to learn how many entries there are; changes nothing."""

    wire_name = "test.count"


class Counted(Reply, frozen=True):
    """How many."""

    wire_name = "test.counted"

    entries: int


class WasPut(Event, frozen=True):
    """Recorded for each put."""

    wire_name = "test.was_put"

    first: int
    count: int


class Entries(msgspec.Struct):
    """What is kept."""

    texts: dict[str, str] = {}


class Keeper(PersistentActor[Entries]):
    """Keeps entries."""

    state_type = Entries

    def initial(self) -> Entries:
        return Entries()

    def apply(self, event: Event) -> None:
        assert isinstance(event, WasPut)
        for number in range(event.first, event.first + event.count):
            self.state.texts[f"entry {number}"] = f"text {number} " * 20

    def on_put(self, command: Put) -> Done:
        self.persist(WasPut(command.first, command.count))
        return Done()

    def on_count(self, query: Count) -> Counted:
        return Counted(len(self.state.texts))


def _system() -> ActorSystem:
    journal = MemoryJournal()
    return ActorSystem(log=journal.log, history=journal)


async def test_a_copy_is_the_state_and_one_that_was_not_touched_is_not_copied_again() -> None:
    async with _system() as system:
        await system.start(ChildSpec(SMALL, Keeper), ChildSpec(BIG, Keeper))
        await system.ask(SMALL, Put(0, 3))
        first = await system.copies()
        assert first.is_whole
        assert b"".join(first.copies[SMALL].pieces or ()) == system.snapshots()[SMALL].state
        assert first.copies[SMALL].fields == ("texts",)
        await system.ask(BIG, Put(0, 1))
        await system.ask(SMALL, Count())
        second = await system.copies(first.number)
        assert (second.is_whole, second.position) == (False, 2)
        assert second.copies.keys() == {BIG}
        assert second.copies[BIG].pieces is not None
        assert (await system.copies(second.number)).copies == {}


async def test_copies_that_nobody_got_are_taken_again_of_everyone() -> None:
    async with _system() as system:
        await system.start(ChildSpec(SMALL, Keeper), ChildSpec(BIG, Keeper))
        await system.ask(SMALL, Put(0, 3))
        await system.ask(BIG, Put(0, 100_000))
        first = await system.copies()
        await system.ask(BIG, Put(100_000, 1))
        lost = asyncio.create_task(system.copies(first.number))
        await asyncio.sleep(0)
        lost.cancel()
        await asyncio.wait({lost})
        assert lost.cancelled()
        second = await system.copies(first.number)
        assert second.is_whole
        assert second.copies.keys() == {SMALL, BIG}
        assert (await system.copies(first.number)).is_whole, "others were taken since those"


async def test_a_small_state_comes_in_one_piece_and_one_that_has_grown_is_cut() -> None:
    async with _system() as system:
        await system.start(ChildSpec(SMALL, Keeper))
        number = 0
        for first, count, is_one in ((0, 3, True), (3, 3, True), (6, 10_000, False), (10_006, 1, False)):
            await system.ask(SMALL, Put(first, count))
            copies = await system.copies(number)
            number = copies.number
            found = copies.copies[SMALL].pieces or ()
            assert (len(found) == 1) == is_one
            assert b"".join(found) == system.snapshots()[SMALL].state


async def test_an_actor_that_restarts_is_absent_and_copied_once_it_runs_again() -> None:
    async with _system() as system:
        await system.start(ChildSpec(SMALL, Keeper))
        await system.ask(SMALL, Put(0, 3))
        first = await system.copies()
        await system.ask(SMALL, Put(3, 1))
        system.kill(SMALL)
        second = await system.copies(first.number)
        assert (second.copies, second.absent) == ({}, (SMALL,))
        assert (await system.ask(SMALL, Count())).entries == 4
        third = await system.copies(second.number)
        assert b"".join(third.copies[SMALL].pieces or ()) == system.snapshots()[SMALL].state
        assert third.absent == ()


async def test_an_actor_that_has_stopped_is_gone_and_one_at_its_address_is_copied() -> None:
    async with _system() as system:
        await system.start(ChildSpec(SMALL, Keeper), ChildSpec(BIG, Keeper))
        await system.ask(SMALL, Put(0, 3))
        first = await system.copies()
        await system.stop_actor(SMALL)
        await system.stop_actor(BIG)
        await system.start(ChildSpec(SMALL, Keeper))
        second = await system.copies(first.number)
        assert second.copies[SMALL].pieces == first.copies[SMALL].pieces
        assert second.gone == (BIG,)


async def test_while_a_large_state_is_copied_the_others_go_on_and_its_own_actor_waits() -> None:
    async with _system() as system:
        await system.start(ChildSpec(BIG, Keeper), ChildSpec(SMALL, Keeper))
        await system.ask(BIG, Put(0, 100_000))
        before = canonical(Entries({f"entry {n}": f"text {n} " * 20 for n in range(100_000)}))
        copying = asyncio.create_task(system.copies())
        changing = asyncio.create_task(system.ask(BIG, Put(0, 100_001)))
        asks = 0
        while not copying.done():
            await system.ask(SMALL, Count())
            asks += 1
        assert asks > 5
        copy = (await copying).copies[BIG]
        await changing
        assert b"".join(copy.pieces or ()) == before
        assert (await system.ask(BIG, Count())).entries == 100_001


async def test_a_copy_says_whether_facts_may_wait_for_its_actor() -> None:
    async with _system() as system:
        await system.start(ChildSpec(SMALL, Keeper))
        await system.ask(SMALL, Put(1, 1))
        assert not (await system.copies()).copies[SMALL].is_behind
        system.pause(SMALL)
        system.tell(SMALL, Put(2, 1))
        assert (await system.copies()).copies[SMALL].is_behind
        system.resume(SMALL)
