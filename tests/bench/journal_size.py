"""The journal at a million events: how fast it is asked, pruned and read again, and how large it is."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from actors.runtime import GroupCommitLog
from bus.clock import SystemClock
from bus.codec import Catalogue
from bus.envelope import Recorded
from bus.messages.base import Message, Position
from bus.messages.catalogue import EVENTS
from bus.messages.system import ReadEvents, SearchEvents
from storage.events import EventStore
from tests.bench.events import START_US, records
from tests.bench.harness import Aim, Figure, Scale, figure, median, stopwatch
from tests.bench.journal import append_all

MILLION = 1_000_000
PART = 50_000
PACE_US = 86_400
"""A million events a day."""
TRIES = 200
APPENDS_WHILE_PRUNING = 5_000


class At(SystemClock):
    """The time at which the events happened."""

    def now_us(self) -> int:
        return START_US + MILLION * PACE_US


async def figures(scale: Scale) -> AsyncIterator[Figure]:
    """Questions, size, recovery, prune."""
    catalogue = Catalogue(EVENTS)
    count = scale.count(MILLION)
    with TemporaryDirectory() as name:
        directory = Path(name)
        clock = At()
        async with EventStore.open(directory, catalogue, clock) as store, asyncio.TaskGroup() as tasks:
            log = GroupCommitLog(store, head=store.head, epoch=store.epoch, clock=clock)
            writing = tasks.create_task(log.run())
            for first in range(0, count, PART):
                await append_all(log, _renumbered(first, min(PART, count - first)))
                await log.committed(log.head)
            size = await store.measure()
            yield figure("size", "bytes/event", size.size_bytes / count, None, scale=scale)
            async for found in _questions(store, count, scale):
                yield found
            async for found in _recovery(store, catalogue, count, scale):
                yield found
            async for found in _prune(store, log, count, scale):
                yield found
            log.close()
            await writing


async def _questions(store: EventStore, count: int, scale: Scale) -> AsyncIterator[Figure]:
    middle = Position(count // 2)
    questions = {
        "newest 50": ReadEvents(),
        "by type": ReadEvents(types=("task.completed",), before=middle),
        "by type pattern": ReadEvents(types=("step.*",), before=middle),
        "by source": ReadEvents(source="ledger", after=middle, is_newest_first=False),
        "by task": ReadEvents(task=f"t-{count // 22}"),
        "by agent": ReadEvents(agent="scout", before=middle),
        "by correlation": ReadEvents(correlation=f"task/{count // 22}"),
        "by time": ReadEvents(since_us=START_US + middle * PACE_US, until_us=START_US + (middle + 700) * PACE_US),
    }
    for name, query in questions.items():
        took_ms = await _median_ms(partial(store.read, query))
        yield figure(f"query {name}, p50", "ms", took_ms, None, scale=scale, aim=Aim(1.0, "at_most"))
    took_ms = await _median_ms(partial(store.summarise, 60.0))
    yield figure("summary of an hour, p50", "ms", took_ms, None, scale=scale, aim=Aim(2.0, "at_most"))
    began_s = time.perf_counter()
    await store.search(SearchEvents("sentences a-7"))
    yield figure("first search, all of it indexed before", "s", time.perf_counter() - began_s, None, scale=scale)
    took_ms = await _median_ms(partial(store.search, SearchEvents("sentences a-7")), tries=20)
    yield figure("search, p50", "ms", took_ms, None, scale=scale)


async def _recovery(store: EventStore, catalogue: Catalogue, count: int, scale: Scale) -> AsyncIterator[Figure]:
    with stopwatch() as ours:
        read = 0
        async for batch in store.facts(("#",), None, Position(0), Position(count)):
            read += len(batch)
    assert read == count
    paths = [store.layout.path(segment) for segment in store.layout.segments]
    with stopwatch() as baseline:
        assert await asyncio.to_thread(_read_raw, paths, catalogue) == count
    yield figure("reading all again", "s", ours.wall_s, baseline.wall_s, scale=scale, aim=Aim(1.5, "at_most"))


def _read_raw(paths: Sequence[Path], catalogue: Catalogue) -> int:
    read = 0
    for path in paths:
        with closing(sqlite3.connect(path)) as connection:
            names = dict(connection.execute("SELECT id, name FROM types").fetchall())
            rows = connection.execute("SELECT type, version, data, sealed FROM events ORDER BY position")
            while page := rows.fetchmany(1_000):
                read += len([catalogue.decode(names[type_], *rest) for type_, *rest in page])
    return read


async def _prune(store: EventStore, log: GroupCommitLog, count: int, scale: Scale) -> AsyncIterator[Figure]:
    quiet = await _commit_times(log)
    await log.committed(log.head)
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(_commit_times(log))
        await asyncio.sleep(0.05)
        began_s = time.perf_counter()
        pruned = await store.prune(Position(count))
        took_s = time.perf_counter() - began_s
    stall_ms = (max(writing.result()) - max(quiet)) * 1_000
    per_million_s = took_s * MILLION / max(1, pruned.events + pruned.kept)
    yield figure("prune, per million", "s", per_million_s, None, scale=scale, aim=Aim(1.0, "at_most"))
    yield figure(
        "slowest commit meanwhile, over a quiet one", "ms", stall_ms, None, scale=scale, aim=Aim(20, "at_most")
    )


async def _commit_times(log: GroupCommitLog) -> list[float]:
    """Of one small commit after another."""
    times: list[float] = []
    for _ in range(APPENDS_WHILE_PRUNING // 20):
        batch = _renumbered(log.head, 20)
        began_s = time.perf_counter()
        log.append(batch)
        await log.committed(batch[-1].position)
        times.append(time.perf_counter() - began_s)
    return times


def _renumbered(after: int, count: int) -> list[Recorded]:
    """Events as a society makes them, at the positions after one."""
    task = after // 11
    return [
        msgspec.structs.replace(
            record,
            position=Position(after + 1 + n),
            correlation=f"task/{task + n // 11}",
            time_us=START_US + (after + n) * PACE_US,
        )
        for n, record in enumerate(records(count, after=task))
    ]


async def _median_ms(ask: Callable[[], Awaitable[Message]], tries: int = TRIES) -> float:
    times: list[float] = []
    for _ in range(tries):
        began_s = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - began_s) * 1_000)
    return median(times)
