"""The SQLite recorder of the eventsourcing library beside the journal: a commit per event.

Its file is its own: its one table, its pragmas. Its calls block, so that they come from a thread, one after another.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteAggregateRecorder, SQLiteDatastore

from bus.codec import Catalogue
from bus.messages.catalogue import EVENTS
from tests.bench.events import records
from tests.bench.harness import Figure, Sample, Scale, compare_rates, stopwatch
from tests.bench.journal_load import PRODUCERS, produce

EVENTS_EACH = 20


async def figures(scale: Scale) -> AsyncIterator[Figure]:
    """A hundred producers of ours, and one of theirs: what it writes, it writes one after another."""
    catalogue = Catalogue(EVENTS)
    each = scale.count(EVENTS_EACH)
    ours = partial(produce, catalogue, each, False, [])
    theirs = partial(asyncio.to_thread, _insert_all, catalogue, each * PRODUCERS)
    name = f"{PRODUCERS} producers, beside eventsourcing's recorder"
    async for figure in compare_rates(name, "events", ours, theirs, scale=scale):
        yield figure


def _insert_all(catalogue: Catalogue, count: int) -> Sample:
    rows = [(record.event.wire_name, catalogue.encode(record.event)[0]) for record in records(count)]
    with TemporaryDirectory() as directory:
        datastore = SQLiteDatastore(str(Path(directory) / "eventsourcing.sqlite"))
        recorder = SQLiteAggregateRecorder(datastore)
        recorder.create_table()
        aggregate = uuid4()
        with stopwatch() as watch:
            for version, (topic, state) in enumerate(rows, 1):
                recorder.insert_events([StoredEvent(aggregate, version, topic, state)])
        assert len(recorder.select_events(aggregate)) == count
        datastore.close()
    return watch.sample(count)
