"""What is read beside an actor's turns: bounded, and each error where it belongs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from actors.reads import Reads
from actors.runtime import Actor, ActorSystem, ChildSpec, Job
from actors.runtime.simulation import MemoryJournal
from bus.address import Address
from bus.errors import AgoraError, StorageError
from bus.messages.base import Done, Query

LIBRARY = Address("library")
AT_ONCE_MAX = 3


class Look(Query[Done], frozen=True):
    """Asked for something that is found when the library opens."""

    wire_name = "test.look"

    fault: str = ""


class Library(Actor):
    """Finds things once it is open."""

    def __init__(self, opens: asyncio.Event) -> None:
        self._opens = opens
        self._reads = Reads(self, "the library", AT_ONCE_MAX)

    def on_look(self, query: Look) -> None:
        self._reads.begin(self._find, query.fault)

    async def _find(self, job: Job, fault: str) -> Done:
        await self._opens.wait()
        if fault == "disk":
            raise StorageError("the disk has failed")
        assert not fault
        return Done()


class Place:
    """A system with a library, and what was answered."""

    def __init__(self, system: ActorSystem, opens: asyncio.Event) -> None:
        self._system = system
        self.opens = opens

    async def look(self, fault: str = "") -> str:
        try:
            await self._system.ask(LIBRARY, Look(fault), timeout_s=30.0)
        except AgoraError as error:
            return type(error).__name__
        return "found"


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    journal, opens = MemoryJournal(), asyncio.Event()
    async with ActorSystem(log=journal.log, history=journal) as system:
        await system.start(ChildSpec(LIBRARY, lambda: Library(opens)))
        yield Place(system, opens)


async def test_more_at_once_than_the_bound_are_told_to_come_back_and_find_room_later() -> None:
    async with place() as at, asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(at.look()) for _ in range(AT_ONCE_MAX)]
        refused = tasks.create_task(at.look())
        assert await refused == "Overloaded"
        at.opens.set()
        assert [await one for one in waiting] == ["found"] * AT_ONCE_MAX
        assert await at.look() == "found"


async def test_an_error_of_ours_is_the_answer_and_makes_room() -> None:
    async with place() as at:
        at.opens.set()
        for _ in range(AT_ONCE_MAX + 2):
            assert await at.look("disk") == "StorageError"
        assert await at.look() == "found"


async def test_any_other_error_is_a_fault_of_the_actor_which_begins_anew() -> None:
    async with place() as at:
        at.opens.set()
        assert await at.look("bug") not in {"found", "StorageError"}
        assert await at.look() == "found"
