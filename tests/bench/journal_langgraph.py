"""langgraph's AsyncSqliteSaver beside the journal: a record per event, durable before its producer goes on.

It keeps the state of a graph after each step; here a step's state is one event, and each producer is a thread of its
own. Its file is its own too: its tables, its pragmas.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from bus.codec import Catalogue
from bus.messages.catalogue import EVENTS
from tests.bench.events import records
from tests.bench.harness import Figure, Sample, Scale, compare_rates, stopwatch
from tests.bench.journal_load import PRODUCERS, produce

EVENTS_EACH = 20


async def figures(scale: Scale) -> AsyncIterator[Figure]:
    """A hundred producers, ours and langgraph's."""
    catalogue = Catalogue(EVENTS)
    each = scale.count(EVENTS_EACH)
    ours = partial(produce, catalogue, each, False, [])
    name = f"{PRODUCERS} producers, beside langgraph's AsyncSqliteSaver"
    async for figure in compare_rates(name, "events", ours, partial(_put_all, catalogue, each), scale=scale):
        yield figure


async def _put_all(catalogue: Catalogue, each: int) -> Sample:
    events = [catalogue.encode(record.event)[0] for record in records(each * PRODUCERS)]
    with TemporaryDirectory() as directory:
        async with AsyncSqliteSaver.from_conn_string(str(Path(directory) / "langgraph.sqlite")) as saver:
            await saver.setup()

            async def put(producer: int) -> None:
                config: RunnableConfig = {"configurable": {"thread_id": f"producer-{producer}", "checkpoint_ns": ""}}
                for event in events[producer::PRODUCERS]:
                    checkpoint = empty_checkpoint()
                    checkpoint["channel_values"]["event"] = event
                    config = await saver.aput(config, checkpoint, {}, {})

            with stopwatch() as watch:
                async with asyncio.TaskGroup() as tasks:
                    for producer in range(PRODUCERS):
                        tasks.create_task(put(producer))
    return watch.sample(len(events))
