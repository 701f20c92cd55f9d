"""The journal at a million events: how fast it is asked, pruned and folded again, and how large it is."""

import asyncio
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from actors import interpreter
from actors.history import JournalHistory
from actors.runtime import ActorSystem, ChildSpec, GroupCommitLog, PersistentActor
from bus.address import Address
from bus.clock import SystemClock
from bus.codec import Catalogue
from bus.envelope import Recorded
from bus.messages.base import Event, Message, Position
from bus.messages.catalogue import EVENTS
from bus.messages.system import ReadEvents, SearchEvents
from storage.boxes import has_box
from storage.events import EventStore
from storage.files import Files
from storage.keys import KEYS_NAME, opener_of
from tests.bench.events import AGENTS, START_US, records
from tests.bench.harness import LOOPS, Aim, Figure, Scale, figure, median, stopwatch
from tests.bench.journal import append_all, saturated

MILLION = 1_000_000
PART = 50_000
PACE_US = 86_400
"""A million events a day."""
DENSE = 100_000
"""Events of a minute in which much happens; what is asked for is a second of it."""
TRIES = 200
RECOVERIES = 3
APPENDS_WHILE_PRUNING = 5_000
SOURCES = ("ledger", "coordinator", *[f"agents/{name}" for name in AGENTS])


class At(SystemClock):
    """The time at which the events happened."""

    def now_us(self) -> int:
        return START_US + MILLION * PACE_US


class Tally(msgspec.Struct):
    """How many events of each type there were."""

    events: dict[str, int] = {}


class Folder(PersistentActor[Tally]):
    """An actor that folds its events, at the least price that a fold can have."""

    state_type = Tally

    def initial(self) -> Tally:
        return Tally()

    def apply(self, event: Event) -> None:
        events = self.state.events
        events[event.wire_name] = events.get(event.wire_name, 0) + 1


@asynccontextmanager
async def _writing(store: EventStore) -> AsyncIterator[GroupCommitLog]:
    async with asyncio.TaskGroup() as tasks:
        log = GroupCommitLog(store, head=store.head, epoch=store.epoch, clock=SystemClock())
        writing = tasks.create_task(log.run())
        yield log
        log.close()
        await writing


async def figures(scale: Scale) -> AsyncIterator[Figure]:
    """Size, questions, recovery, prune."""
    interpreter.share()  # as when it is served
    catalogue = Catalogue(EVENTS)
    count = scale.count(MILLION)
    with TemporaryDirectory() as name:
        async with EventStore.open(Path(name), catalogue, At()) as store:
            async with _writing(store) as log:
                for first in range(0, count, PART):
                    await append_all(log, _renumbered(first, min(PART, count - first)))
                    await log.committed(log.head)
                    _tell(f"journal: {log.head:,} of {count:,} events are written")
            size = await store.measure()
            yield figure("size", "bytes/event", size.size_bytes / count, None, scale=scale)
            async for found in _questions(store, count, scale):
                yield found
            async for found in _recovery(store, catalogue, count, scale):
                yield found
            async with _writing(store) as log:
                async for found in _prune(store, log, count, scale):
                    yield found
    async for found in _dense(catalogue, scale):
        yield found


async def _questions(store: EventStore, count: int, scale: Scale) -> AsyncIterator[Figure]:
    began_s = time.perf_counter()
    while (await store.search(SearchEvents("nowhere"))).head < count:
        pass  # what follows is asked of a journal that is at rest
    yield figure("searches until all of it is indexed", "s", time.perf_counter() - began_s, None, scale=scale)
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
    for loop, is_saturated in LOOPS:
        with saturated(is_saturated):
            for name, query in questions.items():
                took_ms = await _median_ms(partial(store.read, query), scale.count(TRIES))
                text = f"query {name}, p50, {loop} loop"
                yield figure(text, "ms", took_ms, None, scale=scale, aim=Aim(1.0, "at_most"))
            took_ms = await _median_ms(partial(store.summarise, 60.0), scale.count(TRIES))
            text = f"summary of an hour, p50, {loop} loop"
            yield figure(text, "ms", took_ms, None, scale=scale, aim=Aim(2.0, "at_most"))
    took_ms = await _median_ms(partial(store.search, SearchEvents("sentences a-7")), scale.count(20))
    yield figure("search, p50", "ms", took_ms, None, scale=scale)


async def _dense(catalogue: Catalogue, scale: Scale) -> AsyncIterator[Figure]:
    """A second in the middle of a minute of very many events."""
    count = scale.count(DENSE)
    pace_us = 55_000_000 // count
    since_us = START_US + count // 2 * pace_us
    query = ReadEvents(since_us=since_us, until_us=since_us + 1_000_000)
    with TemporaryDirectory() as name:
        async with EventStore.open(Path(name), catalogue, At()) as store, _writing(store) as log:
            events = [
                msgspec.structs.replace(record, time_us=START_US + record.position * pace_us)
                for record in records(count)
            ]
            await append_all(log, events)
            await log.committed(log.head)
            began_s = time.perf_counter()
            await store.read(query)
            took_ms = (time.perf_counter() - began_s) * 1_000
            yield figure("query by time in a dense minute, first", "ms", took_ms, None, scale=scale)
            for loop, is_saturated in LOOPS:
                with saturated(is_saturated):
                    took_ms = await _median_ms(partial(store.read, query), scale.count(TRIES))
                text = f"query by time in a dense minute, p50, {loop} loop"
                yield figure(text, "ms", took_ms, None, scale=scale, aim=Aim(1.0, "at_most"))


async def _recovery(store: EventStore, catalogue: Catalogue, count: int, scale: Scale) -> AsyncIterator[Figure]:
    """Five actors fold all events, one actor after another, as at a start; beside it the same rows in one sweep.

    Both take turns, part by part, so that a slow second of the machine hurts both.
    """
    paths = [store.layout.path(segment) for segment in store.layout.segments]
    for loop, is_saturated in LOOPS:
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(1 if scale.is_quick or is_saturated else RECOVERIES):
            with saturated(is_saturated):
                folded, read, ours_s, theirs_s = await _in_turns(store, paths, catalogue)
            assert folded == read == count
            ours.append(ours_s)
            theirs.append(theirs_s)
        name = f"recovery, beside reading and decoding the same, {loop} loop"
        yield figure(name, "s", median(ours), median(theirs), scale=scale, aim=Aim(1.5, "at_most"))


async def _in_turns(store: EventStore, paths: Sequence[Path], catalogue: Catalogue) -> tuple[int, int, float, float]:
    """An actor recovers, a segment is read, and so on: how many events were folded and read, and how long it took."""
    log = GroupCommitLog(store, head=store.head, epoch=store.epoch, clock=SystemClock())
    folded = read = 0
    ours_s = theirs_s = 0.0
    async with ActorSystem(log=log, history=JournalHistory(store, None)) as system:
        for source, path in zip_longest(SOURCES, paths):
            if source is not None:
                actor = Folder()
                with stopwatch() as watch:
                    await system.start(ChildSpec(Address(source), lambda actor=actor: actor))  # type: ignore[misc]  # a default binds the actor of this turn
                ours_s += watch.wall_s
                folded += sum(actor.state.events.values())
            if path is not None:
                with stopwatch() as watch:
                    read += await asyncio.to_thread(_read_raw, path, catalogue)
                theirs_s += watch.wall_s
    return folded, read, ours_s, theirs_s


def _read_raw(path: Path, catalogue: Catalogue) -> int:
    read = 0
    files = Files()
    opener = opener_of(files, path.parent.parent / KEYS_NAME)
    with closing(sqlite3.connect(path)) as connection:
        names = dict(connection.execute("SELECT id, name FROM types").fetchall())
        rows = connection.execute("SELECT type, version, data, sealed FROM events ORDER BY position")
        while page := rows.fetchmany(1_000):
            events = [
                catalogue.decode(names[type_], version, opener.data(data) if has_box(data) else data, sealed)
                for type_, version, data, sealed in page
            ]
            read += len(events)
    files.close()
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


async def _median_ms(ask: Callable[[], Awaitable[Message]], tries: int) -> float:
    times: list[float] = []
    for _ in range(tries):
        began_s = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - began_s) * 1_000)
    return median(times)


def _tell(text: str) -> None:
    """Progress, beside the figures."""
    sys.stderr.write(f"{text}\n")
