"""Another directory that goes on from a position of this one.

Rules: the new journal holds the events up to the position to the byte, with their blobs, and is proved after it was
written; it begins a new epoch, so that nobody takes a position of the one for a position of the other. The checkpoints
that stand on nothing later come along. The old directory is only read.
"""

from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread

from bus.clock import Clock
from bus.codec import Catalogue
from bus.errors import BadUsage, StorageError
from bus.messages.base import Position
from storage.beginnings import Beginning, begin, copying
from storage.checkpoints import CHECKPOINTS_NAME, Checkpoint, CheckpointStore
from storage.directory import begin_copy, end_copy
from storage.errors import CorruptCheckpoint, PastPruned
from storage.events import EventStore
from storage.manifests import Description
from storage.mark import MARK_NAME, Mark, write_mark
from storage.past import Past, encoded

Progress = Callable[[int, int], None]
"""Called with what is done and what there is."""


async def check_empty(into: Path) -> None:
    """Raises BadUsage where there is something already."""
    if await anyio.Path(into).exists() and [path async for path in anyio.Path(into).iterdir()]:
        raise BadUsage(f"{into} is not empty; choose another directory")


async def fork_journal(
    past: Past, into: Path, upto: Position, *, catalogue: Catalogue, clock: Clock, progress: Progress
) -> None:
    """Write the events up to a position into a directory of their own. Raises BadUsage, StorageError."""
    if not 0 < upto <= past.head:
        raise BadUsage(f"there is no position {upto}; the journal has 1 to {past.head}")
    beginning = Beginning.of(past.layout)
    if beginning is not None and upto < beginning.upto:
        raise PastPruned(upto, beginning.upto)
    await anyio.to_thread.run_sync(begin_copy, into)
    if beginning is not None:
        await anyio.to_thread.run_sync(begin, into, beginning, copying(past.layout))
    async with EventStore.open(into, catalogue, clock, is_copy=True) as store:
        async for blobs in past.blobs():
            await store.contents.keep(blobs)
        async for page in past.stored(store.head, upto=upto):
            await store.contents.keep_keys(await past.keys(page.events))
            written = await store.copy([encoded(event) for event in page.events])
            if [event.hash for event in written] != [event.hash for event in page.events]:
                raise StorageError("the events are not what their hashes say; run `agora verify`")
            progress(store.head, upto)
        found = await store.verify()
        if found.problem:
            raise StorageError(f"what was written cannot be proved: {found.problem}")
    await begin_epoch(into, past.epoch, upto, catalogue, clock)
    await anyio.to_thread.run_sync(end_copy, into)


async def standing_for(past: Past, directory: Path, upto: Position) -> Checkpoint | None:
    """The newest sound checkpoint up to a position that stands for what was pruned; None where nothing was.

    Raises PastPruned where none does.
    """
    pruned_to = past.layout.pruned_to
    if not pruned_to:
        return None
    if upto >= pruned_to and await anyio.Path(directory / CHECKPOINTS_NAME).is_file():
        async with CheckpointStore.inspect(directory) as store:
            for view in await store.list():
                if view.left_out or not (pruned_to <= view.position <= upto and past.holds(view.epoch, view.position)):
                    continue
                try:
                    checkpoint = await store.load(view.checkpoint)
                except CorruptCheckpoint:
                    continue  # an older one may do
                if stands_on(checkpoint) >= pruned_to:
                    return checkpoint
    raise PastPruned(upto, pruned_to)


def stands_on(checkpoint: Checkpoint) -> Position:
    """The position that all its states have reached, but for projections of what is committed."""
    return min((state.position for state in checkpoint.actors.values() if not state.follows), default=Position(0))


async def begin_epoch(into: Path, epoch: int, head: Position, catalogue: Catalogue, clock: Clock) -> None:
    """Let a journal go on as the epoch after one that it was copied from."""
    # A head below the mark is how a journal notices that its timeline goes on from an earlier position.
    await anyio.to_thread.run_sync(write_mark, into / MARK_NAME, Mark(epoch, head + 1))
    async with EventStore.open(into, catalogue, clock, is_copy=True) as store:
        store.take_warnings()


async def fork_checkpoints(past: Past, directory: Path, into: Path, upto: Position) -> tuple[str, ...]:
    """Take along the sound checkpoints that stand on nothing after a position; their names, newest first."""
    if not await anyio.Path(directory).is_dir():
        return ()
    taken: list[str] = []
    async with CheckpointStore.inspect(directory) as old, CheckpointStore.open(into) as new:
        for view in reversed(await old.list()):
            if view.position > upto or not past.holds(view.epoch, view.position):
                continue
            try:
                checkpoint = await old.load(view.checkpoint)
            except CorruptCheckpoint:
                continue  # it would be passed over at the start anyway
            await new.save(Description.of(view), checkpoint.actors, keep=taken)
            taken.insert(0, view.checkpoint)
            if view.is_pinned:
                await new.pin(view.checkpoint)
    return tuple(taken)
