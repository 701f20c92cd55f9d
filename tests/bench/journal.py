"""The journal against SQLite itself: a burst of events through the group commit, beside raw inserts of ready rows.

The baseline gets its rows ready-made and inserts them by 1,000, on this thread, into the same tables with the same
indexes, pragmas, full durability and care for the write-ahead log. Ours starts from events: it encodes them, chains
their hashes, keeps the rollup, and hops to the writer's thread, while the loop stays free, or is kept busy by a
callback in every turn.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from actors import interpreter
from actors.runtime import GroupCommitLog
from actors.runtime.dispatcher import TURN_S
from bus.clock import SystemClock
from bus.codec import Catalogue
from bus.envelope import Recorded
from bus.messages.catalogue import EVENTS
from storage import queries
from storage.database import WalKeeper
from storage.events import EventStore
from storage.queries import Value
from storage.schema import SEGMENT, create_or_check
from storage.transactions import transaction
from tests.bench import checkpoints
from tests.bench.events import records
from tests.bench.harness import Aim, Figure, Sample, Scale, compare_rates, stopwatch

BURST = 100_000
ROWS_PER_INSERT = 1_000
APPENDS_PER_BATCH = 16
"""As many turns of an actor, each with an event, as the dispatcher lets pass between two looks at the clock."""
Row = tuple[Value, ...]


async def figures(scale: Scale) -> AsyncIterator[Figure]:
    """The burst, with an idle and with a saturated loop; then the checkpoints."""
    interpreter.share()  # as when it is served
    catalogue = Catalogue(EVENTS)
    events = records(scale.count(BURST))
    rows = rows_of(catalogue, events)
    baseline = partial(raw_inserts, rows)
    for name, is_saturated, aim in (("idle", False, Aim(0.9)), ("saturated", True, Aim(0.6))):
        ours = partial(_burst, catalogue, events, is_saturated)
        async for figure in compare_rates(f"burst, {name} loop", "events", ours, baseline, scale=scale, aim=aim):
            yield figure
    async for figure in checkpoints.figures(scale):
        yield figure


async def _burst(catalogue: Catalogue, events: Sequence[Recorded], is_saturated: bool) -> Sample:
    clock = SystemClock()
    with TemporaryDirectory() as directory:
        async with EventStore.open(Path(directory), catalogue, clock) as store, asyncio.TaskGroup() as tasks:
            log = GroupCommitLog(store, head=store.head, epoch=store.epoch, clock=clock)
            writing = tasks.create_task(log.run())
            with stopwatch() as watch, saturated(is_saturated):
                await append_all(log, events)
                await log.committed(events[-1].position)
            log.close()
            await writing
            assert store.head == len(events)
    return watch.sample(len(events))


async def append_all(log: GroupCommitLog, events: Sequence[Recorded]) -> None:
    """One append per event, as one turn per event would do; gives way and is held back as the dispatcher is."""
    drained = asyncio.Event()
    began_s = time.perf_counter()
    for first in range(0, len(events), APPENDS_PER_BATCH):
        while log.is_saturated:
            drained.clear()
            log.when_drained(drained.set)
            await drained.wait()
        for record in events[first : first + APPENDS_PER_BATCH]:
            log.append((record,))
        if time.perf_counter() - began_s >= TURN_S:
            await asyncio.sleep(0)
            began_s = time.perf_counter()


@contextmanager
def saturated(is_saturated: bool) -> Iterator[None]:
    """Keep the loop busy with a callback in every turn, or leave it alone."""
    loop = asyncio.get_running_loop()
    is_over = not is_saturated

    def again() -> None:
        if not is_over:
            loop.call_soon(again)

    again()
    try:
        yield
    finally:
        is_over = True


async def raw_inserts(rows: Sequence[Row]) -> Sample:
    """The baseline: ready rows into a fresh file."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "raw.sqlite"
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for pragma in queries.WRITER_PRAGMAS:
                connection.execute(pragma).fetchall()
            create_or_check(connection, path, SEGMENT)
            wal = WalKeeper(path)
            insert = queries.insert_events(1)
            with stopwatch() as watch:
                for first in range(0, len(rows), ROWS_PER_INSERT):
                    with transaction(connection):
                        connection.executemany(insert, rows[first : first + ROWS_PER_INSERT])
                    wal.after_commit(connection)
            (head,) = connection.execute(queries.HEAD).fetchone()
            assert head == len(rows)
    return watch.sample(len(rows))


def rows_of(catalogue: Catalogue, events: Sequence[Recorded]) -> list[Row]:
    """The rows that ours would make of the events, hashes apart."""
    types: dict[str, int] = {}
    sources: dict[str, int] = {}
    rows: list[Row] = []
    for record in events:
        event = record.event
        data, sealed = catalogue.encode(event)
        about = catalogue.attributes(event)
        rows.append(
            (
                record.position,
                record.time_us,
                types.setdefault(event.wire_name, len(types) + 1),
                event.version,
                sources.setdefault(record.source, len(sources) + 1),
                about.subject,
                about.task,
                about.agent,
                about.run,
                record.correlation,
                record.cause,
                record.cursor,
                data,
                sealed,
                int(event.is_kept),
                sha256(data).digest(),
            )
        )
    return rows
