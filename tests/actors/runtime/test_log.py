"""The log: positions at once, one write for all that queued, and what happens when a write fails."""

import asyncio
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.runtime.log import BATCH_EVENTS_MAX, BUFFER_EVENTS_MAX, REOPENS_MAX, Blobs, GroupCommitLog
from actors.runtime.simulation import MemoryJournal
from actors.runtime.virtual_time import Simulation, simulate
from bus.address import Address
from bus.envelope import Batch, Recorded, StoredEvent
from bus.errors import StorageError, SystemStopping
from bus.messages.base import Position
from tests.support.virtual import Added, in_virtual_time

PAUSED = "the intake is paused until the journal can be written"
OPEN_AGAIN = "the journal is written again; the intake is open"


def records(first: int, count: int = 1) -> list[Recorded]:
    return [
        Recorded(Added(position), Position(position), 0, Address("source"), Position(0), "", Position(0))
        for position in range(first, first + count)
    ]


class Running:
    """A log over a journal in memory, running as long as the block."""

    def __init__(self, simulation: Simulation, journal: MemoryJournal | None = None) -> None:
        self.journal = journal or MemoryJournal(clock=simulation.clock)
        self.log = self.journal.log

    async def __aenter__(self) -> "Running":
        self._task = asyncio.create_task(self.log.run(), name="log")
        return self

    async def __aexit__(self, *error: object) -> None:
        self.log.close()
        await asyncio.wait({self._task})
        if not self.log.has_failed:
            await self._task
        else:
            assert isinstance(self._task.exception(), StorageError)


@in_virtual_time
async def test_an_append_has_its_positions_at_once_and_is_durable_later(simulation: Simulation) -> None:
    async with Running(simulation) as running:
        log = running.log
        log.append(records(1, 3))
        assert (log.head, log.watermark, running.journal.head, log.buffered) == (3, 0, 0, 3)
        await log.committed(Position(2))
        assert (log.head, log.watermark, running.journal.head, log.buffered) == (3, 3, 3, 0)


@in_virtual_time
async def test_what_queues_during_one_write_goes_with_the_next_and_no_append_is_split(simulation: Simulation) -> None:
    batches: list[int] = []
    async with Running(simulation) as running:
        running.log.on_commit(lambda stored: batches.append(len(stored)))
        running.log.append(records(1, 2))
        running.log.append(records(3, 5), {})
        await running.log.committed(Position(7))
        running.log.append(records(8, BATCH_EVENTS_MAX - 1))
        running.log.append(records(running.log.head + 1, 3))
        await running.log.committed(running.log.head)
    assert batches == [7, BATCH_EVENTS_MAX - 1, 3]


@in_virtual_time
async def test_a_write_that_fails_once_is_made_again_at_the_same_positions(simulation: Simulation) -> None:
    heard: list[Position] = []
    async with Running(simulation) as running:
        running.log.on_commit(lambda stored: heard.extend(event.position for event in stored))
        for failures in (1, REOPENS_MAX):
            running.journal.fail_next_writes = failures
            running.log.append(records(running.log.head + 1, 2))
            await running.log.committed(running.log.head)
    assert heard == [1, 2, 3, 4]


@in_virtual_time
async def test_a_commit_that_landed_before_its_error_was_seen_is_not_made_twice(simulation: Simulation) -> None:
    class Unsure(MemoryJournal):
        async def write(self, batch: Batch, blobs: Blobs) -> None:
            if batch.events[-1].position <= self.head:
                return
            await super().write(batch, blobs)
            raise StorageError("the connection broke after the commit")

    async with Running(simulation, Unsure(clock=simulation.clock)) as running:
        running.log.append(records(1, 3))
        await running.log.committed(Position(3))
    assert [event.position for event in running.journal.stored] == [1, 2, 3]


@in_virtual_time
async def test_a_write_that_fails_for_ever_ends_the_log_and_nobody_waits_for_ever(simulation: Simulation) -> None:
    async with Running(simulation) as running:
        running.journal.fail_next_writes = REOPENS_MAX + 1
        running.log.append(records(1))
        with pytest.raises(StorageError):
            await running.log.committed(Position(1))
        assert running.log.has_failed
        with pytest.raises(StorageError):
            running.log.append(records(2))
        with pytest.raises(StorageError):
            await running.log.committed(Position(1))


@in_virtual_time
async def test_an_error_of_another_kind_ends_the_log_too(simulation: Simulation) -> None:
    class Broken(MemoryJournal):
        async def write(self, batch: Batch, blobs: Blobs) -> None:
            raise ValueError("a bug in the writer")

    async with Running(simulation, Broken(clock=simulation.clock)) as running:
        running.log.append(records(1))
        with pytest.raises(StorageError, match="a bug in the writer"):
            await running.log.committed(Position(1))


@in_virtual_time
async def test_who_waits_for_what_will_never_come_hears_when_the_log_is_closed(simulation: Simulation) -> None:
    async with Running(simulation) as running:
        running.log.append(records(1))
        asyncio.get_running_loop().call_later(1, running.log.close)
        with pytest.raises(SystemStopping):
            await running.log.committed(Position(2))
        assert running.log.watermark == 1
        with pytest.raises(SystemStopping):
            await running.log.committed(Position(2))
        with pytest.raises(StorageError):
            running.log.append(records(2))


@in_virtual_time
async def test_a_full_buffer_is_saturated_until_it_drains(simulation: Simulation) -> None:
    drained: list[int] = []
    async with Running(simulation) as running:
        log = running.log
        log.append(records(1, BUFFER_EVENTS_MAX))
        is_full = log.is_saturated
        log.when_drained(lambda: drained.append(log.buffered))
        await log.committed(log.head)
        assert (is_full, log.is_saturated) == (True, False)
    assert drained == [0]


@in_virtual_time
async def test_the_age_of_the_watermark_is_that_of_the_oldest_event_that_waits(simulation: Simulation) -> None:
    released = asyncio.Event()

    class Slow(MemoryJournal):
        async def write(self, batch: Batch, blobs: Blobs) -> None:
            await released.wait()
            await super().write(batch, blobs)

    async with Running(simulation, Slow(clock=simulation.clock)) as running:
        assert running.log.watermark_age_s == 0
        running.log.append(records(1))
        await simulation.pass_time(3)
        assert running.log.watermark_age_s == 3
        released.set()
        await running.log.committed(Position(1))
        assert running.log.watermark_age_s == 0


@settings(max_examples=50)
@given(
    seed=st.integers(0, 2**32),
    appends=st.lists(st.integers(1, 4), max_size=12),
    failures=st.lists(st.integers(0, 2), max_size=6),
)
def test_whatever_fails_on_the_way_every_event_is_stored_once_and_in_order(
    seed: int, appends: list[int], failures: list[int]
) -> None:
    async def run(simulation: Simulation) -> None:
        heard: list[StoredEvent] = []
        async with Running(simulation) as running:
            running.log.on_commit(heard.extend)
            for count, failing in zip(appends, [*failures, *[0] * len(appends)], strict=False):
                running.journal.fail_next_writes = failing
                running.log.append(records(running.log.head + 1, count))
                await simulation.pass_time(simulation.dice.uniform(0, 0.1))
            await running.log.committed(running.log.head)
        assert [event.position for event in running.journal.stored] == list(range(1, sum(appends) + 1))
        assert heard == running.journal.stored

    simulate(seed, run)


def test_a_log_goes_on_after_the_head_that_it_is_given() -> None:
    journal = MemoryJournal(records(1, 4))
    log: GroupCommitLog = journal.log
    assert (log.head, log.watermark, log.epoch) == (4, 4, 1)


class NoRoom(StorageError):
    """As of a full disk."""

    code = "disk_full"
    is_passing = True


class Full(MemoryJournal):
    """A journal whose disk is full until somebody makes room."""

    is_full = False

    async def write(self, batch: Batch, blobs: Blobs) -> None:
        if self.is_full:
            raise NoRoom("there is no room")
        await super().write(batch, blobs)


@in_virtual_time
async def test_what_only_needs_patience_is_waited_for_and_told_while_it_lasts_and_after(simulation: Simulation) -> None:
    journal = Full(clock=simulation.clock)
    async with Running(simulation, journal) as running:
        log = running.log
        journal.is_full = True
        log.append(records(1))
        await simulation.pass_time(60)
        assert str(log.stalled) == "there is no room"
        assert (log.watermark, log.has_failed) == (0, False)
        journal.is_full = False
        await log.committed(Position(1))
        assert log.stalled is None
        stall = log.take_stall()
        assert stall is not None
        assert 60 <= stall[1] < 70
        assert (isinstance(stall[0], NoRoom), log.take_stall()) == (True, None)


def test_the_operator_reads_one_line_when_the_intake_pauses_and_one_when_it_opens(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def body(simulation: Simulation) -> None:
        journal = Full(clock=simulation.clock)
        async with Running(simulation, journal) as running:
            journal.is_full = True
            running.log.append(records(1))
            await simulation.pass_time(60)
            assert [record.getMessage() for record in caplog.records][1:] == [PAUSED]
            journal.is_full = False
            await running.log.committed(Position(1))
        assert [record.getMessage() for record in caplog.records][1:] == [PAUSED, OPEN_AGAIN]

    with caplog.at_level(logging.WARNING, logger="actors.runtime.log"):
        simulate(0, body)
