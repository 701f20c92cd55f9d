"""A process to be killed: `python -m tests.storage.writer events|checkpoints DIRECTORY` writes until it dies.
`log DIRECTORY BATCHES` writes so many batches, `checkpoints DIRECTORY COUNT` so many checkpoints, and
`open DIRECTORY` opens the checkpoints, says what there is, and ends without closing them.

It prints what was acknowledged, a line each, right after the acknowledgement.
"""

import asyncio
import os
import sys
from pathlib import Path

from actors.runtime import GroupCommitLog
from bus.address import Address
from bus.clock import SystemClock
from bus.errors import StorageError
from bus.messages.base import Position, RunId
from storage.checkpoints import CheckpointStore
from storage.manifests import ActorState, Description
from tests.storage.support import blob, naming, opened, records, write

BATCH_SIZES = (1, 7, 40, 300)
SEGMENT_EVENTS = 400


async def write_events(directory: Path) -> None:
    async with opened(directory, SystemClock()) as store:
        number = 0
        while True:
            count = BATCH_SIZES[number % len(BATCH_SIZES)]
            await write(store, records(store.head + 1, count), blob(b"%d" % store.head))
            print(store.head, flush=True)
            number += 1


async def write_log(directory: Path, batches: int) -> None:
    """Append through the log, which overcomes what can be overcome, over many small segments."""
    clock = SystemClock()
    async with opened(directory, clock, segment_events=SEGMENT_EVENTS) as store, asyncio.TaskGroup() as tasks:
        log = GroupCommitLog(store, head=store.head, epoch=store.epoch, clock=clock)
        tasks.create_task(log.run())
        for number in range(batches):
            batch, contents = naming(log.head + 1, BATCH_SIZES[number % len(BATCH_SIZES)])
            log.append(batch, contents)
            await log.committed(batch[-1].position)
            print(log.watermark, flush=True)
        log.close()


async def save_checkpoints(directory: Path, count: int = 0) -> None:
    """So many, or without end; one that cannot be saved is tried again, as the journal's actor does."""
    async with CheckpointStore.open(directory) as store:
        held = await store.list()
        position = held[0].position if held else 0
        while not count or position < count:
            state = (b"%d," % (position + 1)) * 200_000
            actors = {Address("ledger"): ActorState.of(Position(position + 1), Position(position + 1), state)}
            try:
                kept = [view.checkpoint for view in await store.list()][:2]
                await store.save(description(), actors, keep=kept)
            except StorageError as error:
                print(error, file=sys.stderr)
            else:
                position += 1
                print(position, flush=True)


async def open_checkpoints(directory: Path) -> None:
    async with CheckpointStore.open(directory) as store:
        print(len(await store.list()), flush=True)
        os._exit(0)


def description(label: str = "") -> Description:
    """Of a checkpoint whose circumstances do not matter."""
    return Description("manual", 1, RunId("r-1"), 0, label, 1, "", "0")


if __name__ == "__main__":
    kind, directory = sys.argv[1], Path(sys.argv[2])
    if kind == "log":
        asyncio.run(write_log(directory, int(sys.argv[3])))
    elif kind == "checkpoints":
        asyncio.run(save_checkpoints(directory, int(sys.argv[3]) if len(sys.argv) > 3 else 0))
    else:
        asyncio.run({"events": write_events, "open": open_checkpoints}[kind](directory))
