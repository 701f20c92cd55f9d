"""The journal's twin: it keeps what the journal keeps, to the byte."""

import pytest

from actors.runtime.simulation import MemoryJournal
from actors.runtime.virtual_time import Simulation
from bus.address import Address
from bus.codec import EVENT_BYTES_MAX, EventTooLarge
from bus.envelope import Batch, Recorded
from bus.errors import StorageError
from bus.messages.base import Position
from tests.support.virtual import Added, Echoed, in_virtual_time


def recorded(position: int, source: str = "one", *, is_echo: bool = False) -> Recorded:
    event = Echoed(position) if is_echo else Added(position, agent=source)
    return Recorded(event, Position(position), 1_000 + position, Address(source), Position(0), "talk", Position(0))


PAST = [recorded(1), recorded(2, "two"), recorded(3, is_echo=True), recorded(4)]


async def found(journal: MemoryJournal, topics: tuple[str, ...], agent: str | None, after: int, upto: int) -> list[int]:
    facts = journal.facts(topics, agent, Position(after), Position(upto))
    return [record.position async for batch in facts for record in batch]


@in_virtual_time
async def test_events_come_back_as_they_were(simulation: Simulation) -> None:
    journal = MemoryJournal(PAST)
    assert journal.events == PAST
    (own,) = [batch async for batch in journal.own_events(Address("one"), Position(1))]
    assert (own.events, own.position, own.cursor) == ([PAST[2].event, PAST[3].event], 4, PAST[3].cursor)


@in_virtual_time
async def test_facts_are_found_by_topic_agent_and_position(simulation: Simulation) -> None:
    journal = MemoryJournal(PAST)
    assert await found(journal, ("test.*",), None, 0, 4) == [1, 2, 3, 4]
    assert await found(journal, ("test.added",), None, 1, 3) == [2]
    assert await found(journal, ("test.added",), "one", 0, 4) == [1, 4]


@in_virtual_time
async def test_a_write_that_is_made_to_fail_keeps_nothing(simulation: Simulation) -> None:
    journal = MemoryJournal(PAST)
    journal.encode([recorded(5)], batch := Batch())
    journal.fail_next_writes = 1
    with pytest.raises(StorageError):
        await journal.write(batch, {})
    assert (journal.head, await journal.reopen()) == (4, 4)
    await journal.write(batch, {})
    assert journal.head == 5


def test_a_crash_leaves_a_prefix() -> None:
    journal = MemoryJournal(PAST)
    assert [record.position for record in journal.truncated(Position(2)).events] == [1, 2]
    assert journal.head == 4


def test_what_cannot_be_stored_cannot_be_kept() -> None:
    with pytest.raises(EventTooLarge):
        MemoryJournal(
            [Recorded(Added(1, "x" * EVENT_BYTES_MAX), Position(1), 0, Address("one"), Position(0), "", Position(0))]
        )
