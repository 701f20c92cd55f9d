"""The journal under load: many producers that each wait for their commit, and how free the loop stays in a burst.

Beside it: a commit per event through aiosqlite, with the same table, indexes and durability; and what one fdatasync of
the same disk takes. Everything with a loop that has nothing else to do, and with one that runs a callback every turn.
"""

import asyncio
import gc
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from actors import interpreter
from actors.runtime import GroupCommitLog
from bus.clock import SystemClock
from bus.codec import Catalogue
from bus.envelope import Recorded
from bus.messages.catalogue import EVENTS
from storage import queries
from storage.database import Database
from storage.events import EventStore
from storage.schema import SEGMENT, create_or_check
from storage.transactions import transaction
from tests.bench.events import records
from tests.bench.harness import LOOPS, Aim, Figure, Sample, Scale, compare_rates, figure, median, p99, stopwatch
from tests.bench.journal import Row, append_all, rows_of, saturated

PRODUCERS = 100
EVENTS_EACH = 300
"""A log of four megabytes is copied several times meanwhile, so that the p99 has seen it."""
COMMITS = 1_500
SYNCS = 300
BURST = 100_000
LAG_EVERY_S = 0.002


async def figures(scale: Scale) -> AsyncIterator[Figure]:
    """Producers, acknowledgements, lag."""
    interpreter.share()  # as when it is served
    catalogue = Catalogue(EVENTS)
    rows = rows_of(catalogue, records(scale.count(COMMITS, at_least=PRODUCERS)))
    for name, is_saturated in LOOPS:
        waits: list[float] = []
        syncs: list[float] = []
        ours = partial(_produce, catalogue, scale.count(EVENTS_EACH), is_saturated, waits, syncs)
        baseline = partial(_commit_each, rows, is_saturated)
        async for found in compare_rates(
            f"{PRODUCERS} producers, {name} loop", "events", ours, baseline, scale=scale, aim=Aim(10.0)
        ):
            yield found
        aim = Aim(5 * p99(syncs) * 1_000 + 5, "at_most")
        yield figure(f"acknowledge p99, {name} loop", "ms", p99(waits) * 1_000, None, scale=scale, aim=aim)
    events = records(scale.count(BURST))
    gc.collect()
    gc.freeze()  # as a society does after its start
    try:
        for name, is_saturated in LOOPS:
            async for found in _lag_figures(catalogue, events, name, is_saturated, scale):
                yield found
    finally:
        gc.unfreeze()


async def _lag_figures(
    catalogue: Catalogue, events: Sequence[Recorded], name: str, is_saturated: bool, scale: Scale
) -> AsyncIterator[Figure]:
    """The median of some bursts: of each how late the loop was, at p99 and at most."""
    with saturated(is_saturated):
        quiet = p99(await _lags(asyncio.sleep(0.1 if scale.is_quick else 1.0)))
        bursts = [await _lags(_burst(catalogue, events)) for _ in range(scale.rounds)]
    aim = Aim(quiet * 1_000 + 5, "at_most")
    usual, longest = median([p99(lags) * 1_000 for lags in bursts]), median([max(lags) * 1_000 for lags in bursts])
    yield figure(f"loop lag p99 in a burst, {name} loop", "ms", usual, None, scale=scale, aim=aim)
    yield figure(f"loop lag max in a burst, {name} loop", "ms", longest, None, scale=scale, aim=Aim(20.0, "at_most"))


async def _produce(
    catalogue: Catalogue, each: int, is_saturated: bool, waits: list[float], syncs: list[float]
) -> Sample:
    syncs += await asyncio.to_thread(_sync_times)  # right before, so that a slow minute of the disk counts for both
    return await produce(catalogue, each, is_saturated, waits)


async def produce(catalogue: Catalogue, each: int, is_saturated: bool, waits: list[float]) -> Sample:
    """Producers that each wait for the commit of an event before the next; how long they waited goes into `waits`."""
    clock = SystemClock()
    events = iter(records(each * PRODUCERS))
    with TemporaryDirectory() as directory:
        async with EventStore.open(Path(directory), catalogue, clock) as store, asyncio.TaskGroup() as tasks:
            log = GroupCommitLog(store, head=store.head, epoch=store.epoch, clock=clock)
            writing = tasks.create_task(log.run())

            async def wait_for_each() -> None:
                for record in islice(events, each):
                    began_s = time.perf_counter()
                    log.append((record,))
                    await log.committed(record.position)
                    waits.append(time.perf_counter() - began_s)

            with saturated(is_saturated), stopwatch() as watch:
                async with asyncio.TaskGroup() as producers:
                    for _ in range(PRODUCERS):
                        producers.create_task(wait_for_each())
            log.close()
            await writing
    return watch.sample(each * PRODUCERS)


async def _commit_each(rows: list[Row], is_saturated: bool) -> Sample:
    left = iter(rows)
    insert = queries.insert_events(1)
    with TemporaryDirectory() as directory:
        path = Path(directory) / "raw.sqlite"
        async with Database(path) as database:
            await database.run(partial(create_or_check, path=path, schema=SEGMENT))

            async def produce() -> None:
                for row in left:
                    await database.run(partial(_insert, statement=insert, row=row))

            with saturated(is_saturated), stopwatch() as watch:
                async with asyncio.TaskGroup() as producers:
                    for _ in range(PRODUCERS):
                        producers.create_task(produce())
    return watch.sample(len(rows))


async def _burst(catalogue: Catalogue, events: Sequence[Recorded]) -> None:
    clock = SystemClock()
    with TemporaryDirectory() as directory:
        async with EventStore.open(Path(directory), catalogue, clock) as store, asyncio.TaskGroup() as tasks:
            log = GroupCommitLog(store, head=store.head, epoch=store.epoch, clock=clock)
            writing = tasks.create_task(log.run())
            await append_all(log, events)
            await log.committed(events[-1].position)
            log.close()
            await writing


async def _lags(work: Awaitable[None]) -> list[float]:
    """How late a callback that is due every two milliseconds comes while the work is done."""
    loop = asyncio.get_running_loop()
    lags: list[float] = []

    async def look() -> None:
        while True:
            due = loop.time() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            lags.append(loop.time() - due)

    looking = asyncio.create_task(look())
    await work
    looking.cancel()
    return lags


def _insert(connection: sqlite3.Connection, *, statement: str, row: Row) -> None:
    with transaction(connection):
        connection.execute(statement, row)


def _sync_times() -> list[float]:
    times: list[float] = []
    with TemporaryDirectory() as directory:
        descriptor = os.open(Path(directory) / "synced", os.O_RDWR | os.O_CREAT)
        try:
            for number in range(SYNCS):
                os.pwrite(descriptor, bytes(4_096), number * 4_096)
                began_s = time.perf_counter()
                os.fdatasync(descriptor)
                times.append(time.perf_counter() - began_s)
        finally:
            os.close(descriptor)
    return times
