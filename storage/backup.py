"""A copy of a data directory in one file, while it is written to.

Rules: checkpoints are copied before the journal, so that none stands on what the copy lacks; each database is copied as
of one moment, page by page, without keeping its writer from writing; where old events are pruned meanwhile, the copy is
begun again. It is proved before it takes its name, and takes it whole or not at all. It is a plain tar: unpacked into
an empty directory, it is a data directory.
"""

import os
import shutil
import sqlite3
import tarfile
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from bus.clock import Clock
from bus.codec import Catalogue
from bus.errors import BadUsage, StorageError
from bus.messages.base import Position
from bus.refusals import NotFound
from storage import queries
from storage.checkpoints import CHECKPOINTS_NAME, CheckpointStore
from storage.database import Database
from storage.errors import PrunedMeanwhile
from storage.events import EventStore
from storage.forks import Progress
from storage.layout import SEGMENTS_NAME
from storage.migration import JOURNAL_NAME
from storage.schema import JOURNAL
from storage.segments import read_layout

PAGES_AT_A_TIME = 2_000
"""Eight megabytes; between two of them the bar moves."""
TRIES_MAX = 3
"""Between two prunes by the limits of a society there is time for more than one copy."""


class BackedUp(msgspec.Struct, frozen=True):
    """What the copy holds."""

    file: str
    position: Position
    events: int
    blobs: int
    checkpoints: int
    size_bytes: int


async def back_up(
    data: Path, checkpoints: Path, file: Path, *, catalogue: Catalogue, clock: Clock, progress: Progress
) -> BackedUp:
    """Copy a directory into a new file, and prove the copy. Raises BadUsage, NotFound, StorageError."""
    if await anyio.Path(file).exists():
        raise BadUsage(f"{file} is there already; choose another name")
    if not await anyio.Path(data / JOURNAL_NAME).is_file():
        raise NotFound("journal", str(data / JOURNAL_NAME))
    for _ in range(TRIES_MAX - 1):
        before = await _pruned_to(data)
        try:
            return await _back_up(data, checkpoints, file, catalogue=catalogue, clock=clock, progress=progress)
        except StorageError:
            if await _pruned_to(data) == before:
                raise
    return await _back_up(data, checkpoints, file, catalogue=catalogue, clock=clock, progress=progress)


async def _pruned_to(data: Path) -> Position:
    async with Database(data / JOURNAL_NAME, is_read_only=True) as database:
        return await database.run(partial(_read_pruned_to, path=database.path))


def _read_pruned_to(connection: sqlite3.Connection, path: Path) -> Position:
    (version,) = connection.execute(queries.VERSION).fetchone()
    return read_layout(connection, path).pruned_to if version == JOURNAL.version else Position(0)


async def _back_up(
    data: Path, checkpoints: Path, file: Path, *, catalogue: Catalogue, clock: Clock, progress: Progress
) -> BackedUp:
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    pruned_to = await _pruned_to(data)
    try:
        await anyio.to_thread.run_sync(partial(draft.mkdir, parents=True, mode=0o700))
        if await anyio.Path(checkpoints / CHECKPOINTS_NAME).is_file():
            into = draft / "checkpoints"
            await anyio.to_thread.run_sync(into.mkdir)
            await _copy(checkpoints / CHECKPOINTS_NAME, into / CHECKPOINTS_NAME, _nobody_looks)
        await anyio.to_thread.run_sync((draft / SEGMENTS_NAME).mkdir)
        for name in await _databases(data):
            await _copy(data / name, draft / name, progress)
        if (after := await _pruned_to(data)) != pruned_to:
            raise PrunedMeanwhile(after)
        found = await _proved(draft, catalogue, clock)
        size = await anyio.to_thread.run_sync(_pack, draft, file)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(partial(shutil.rmtree, draft, ignore_errors=True))
    return msgspec.structs.replace(found, file=str(file), size_bytes=size)


async def _databases(data: Path) -> list[str]:
    """The catalogue, the segments that it names, and then what stands beside: what their events name is there by then.

    An index of text is made anew where it is missing.
    """
    segments = [path async for path in anyio.Path(data / SEGMENTS_NAME).glob("*.sqlite")]
    named = sorted(f"{SEGMENTS_NAME}/{path.name}" for path in segments if not path.name.endswith(".text.sqlite"))
    beside = sorted([path.name async for path in anyio.Path(data).glob("*.sqlite") if path.name != JOURNAL_NAME])
    return [JOURNAL_NAME, *named, *beside]


async def _copy(source: Path, target: Path, progress: Progress) -> None:
    async with Database(source, is_read_only=True) as database:
        await database.run(partial(_copy_pages, target=target, progress=progress))


def _copy_pages(connection: sqlite3.Connection, *, target: Path, progress: Progress) -> None:
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        # Within a transaction all pages are of one moment, and a writer does not make it begin again.
        connection.execute(queries.BEGIN_READ)
        connection.execute(queries.COUNT_TABLES).fetchone()
        connection.backup(copy, pages=PAGES_AT_A_TIME, progress=lambda _, left, all_: progress(all_ - left, all_))
        connection.execute(queries.ROLLBACK)
    finally:
        copy.close()


async def _proved(draft: Path, catalogue: Catalogue, clock: Clock) -> BackedUp:
    kept = 0
    if await anyio.Path(draft / "checkpoints").is_dir():
        async with CheckpointStore.open(draft / "checkpoints") as store:
            # One that was damaged before is damaged in the copy too; it is passed over at a start.
            kept = sum(not finding.problem for finding in await store.verify())
    async with EventStore.open(draft, catalogue, clock) as journal:
        verification = await journal.verify()
        if verification.problem:
            raise StorageError(
                f"the journal is damaged, and so is its copy: {verification.problem}; run `agora verify`"
            )
        return BackedUp("", journal.head, verification.events, verification.blobs, kept, 0)


def _pack(draft: Path, file: Path) -> int:
    packed = draft.with_name(draft.name + ".tar")
    try:
        packed.touch(mode=0o600)  # the keys of personal text are in it
        with tarfile.open(packed, "w") as archive:
            for path in sorted(draft.rglob("*")):
                if path.name != "lock" and not path.name.endswith(("-wal", "-shm")):
                    archive.add(path, str(path.relative_to(draft)), recursive=False)
        with packed.open("rb") as written:
            os.fsync(written.fileno())
        os.rename(packed, file)
    finally:
        packed.unlink(missing_ok=True)
    return file.stat().st_size


def _nobody_looks(done: int, of: int) -> None:
    """Checkpoints are small; the journal has the bar."""
