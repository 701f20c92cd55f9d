"""Checkpoints on disk: the state of every actor as of one position, whole or not at all.

Rules: a checkpoint's chunks and its manifest are of one transaction, so that killed at any point, the older ones stand.
Chunks are named by their content: what did not change since the last checkpoint is not written again. The manifest is
JSON and carries its own hash, and the hash of the state, both of which are proved before a checkpoint is used. One that
is damaged is passed over with a warning; a file that cannot be used at all is moved aside with a warning, since the
journal alone suffices. Whoever saves says which older ones stay; what only the others used goes with them.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import msgspec

from bus.address import Address
from bus.errors import NotFound, StorageError
from bus.messages.base import Position
from bus.messages.system import CheckpointView
from storage import manifests, queries
from storage.database import Database, WalKeeper, is_full
from storage.directory import DirectoryLock
from storage.errors import CorruptCheckpoint, CorruptDatabase
from storage.manifests import ActorState, Description, Manifest, Packed
from storage.schema import CHECKPOINTS, check, create_or_check
from storage.transactions import snapshot, transaction

T = TypeVar("T")

CHECKPOINTS_NAME = "checkpoints.sqlite"
CLOSE_TIMEOUT_S = 10.0

IsHeld = Callable[[int, Position], bool]
"""Whether what stood at a position in an epoch is part of the timeline."""


class Checkpoint(msgspec.Struct, frozen=True):
    """A checkpoint with all that it holds, proved."""

    view: CheckpointView
    actors: dict[Address, ActorState]


class Finding(msgspec.Struct, frozen=True):
    """What proving one checkpoint came to."""

    checkpoint: str
    problem: str
    """Empty when it is sound."""


class CheckpointStore:
    """The checkpoints of one directory."""

    def __init__(self, directory: Path, *, is_read_only: bool = False) -> None:
        self.path = directory / CHECKPOINTS_NAME
        self._is_read_only = is_read_only
        self._database = Database(self.path, is_read_only=is_read_only)
        self._wal = WalKeeper(self.path)
        self._warnings: list[str] = []

    @classmethod
    @asynccontextmanager
    async def open(cls, directory: Path) -> AsyncIterator["CheckpointStore"]:
        """Hold the directory and open its checkpoints, made where there are none.

        Raises DirectoryNotWritable, DirectoryInUse, UnknownSchema, DiskFull.
        """
        lock = await anyio.to_thread.run_sync(DirectoryLock.acquire, directory)
        try:
            store = cls(directory)
            async with AsyncExitStack() as stack:
                stack.push_async_callback(store._close)
                try:
                    await store._open()
                except CorruptDatabase as error:
                    await store._begin_anew(error)
                yield store
        finally:
            lock.release()

    @classmethod
    @asynccontextmanager
    async def inspect(cls, directory: Path) -> AsyncIterator["CheckpointStore"]:
        """Open for reading only, beside whoever holds the directory. Raises NotFound, StorageError."""
        store = cls(directory, is_read_only=True)
        if not await anyio.Path(store.path).is_file():
            raise NotFound("checkpoint file", str(store.path))
        async with AsyncExitStack() as stack:
            stack.push_async_callback(store._close)
            await store._open()
            yield store

    def take_warnings(self) -> tuple[str, ...]:
        """What was passed over or moved aside; each is given once."""
        warnings, self._warnings = tuple(self._warnings), []
        return warnings

    async def save(
        self, description: Description, actors: Mapping[Address, ActorState], *, keep: Collection[str]
    ) -> CheckpointView:
        """Keep the state of all actors, and of the older checkpoints those named in `keep`.

        The position is the highest that any state stands on; one at the same position is replaced. Raises StorageError.
        """
        assert actors, "a checkpoint holds the state of at least one actor"
        states = dict(actors)
        work = partial(self._save, description=description, actors=states, keep=frozenset(keep))
        try:
            return await self._database.run(work)
        except CorruptDatabase as error:
            await self._begin_anew(error)
            return await self._database.run(work)

    async def list(self) -> tuple[CheckpointView, ...]:
        """All kept checkpoints whose manifests can be read, newest first."""
        return tuple(manifest.view for manifest in await self._database.run(_sound_manifests))

    async def load(self, checkpoint: str) -> Checkpoint:
        """One checkpoint, proved. Raises NotFound, CorruptCheckpoint."""
        try:
            return await self._database.run(partial(_load, name=checkpoint))
        except CorruptDatabase as error:
            raise CorruptCheckpoint(checkpoint, error.reason) from error

    async def load_newest(self, is_held: IsHeld = lambda _epoch, _position: True) -> Checkpoint | None:
        """The newest that is sound and of this timeline; those passed over are in `warnings`."""
        try:
            names = await self._database.run(_names)
        except CorruptDatabase as error:
            await self._begin_anew(error)
            return None
        for name in names:
            try:
                found = await self.load(name)
            except CorruptCheckpoint as error:
                self._warnings.append(f"{error}; an older one is used, or the journal alone")
                continue
            if is_held(found.view.epoch, found.view.position):
                return found
            self._warnings.append(
                f"checkpoint {name} stands on position {found.view.position} of epoch {found.view.epoch}, which the "
                "journal has lost; an older one is used, or the journal alone"
            )
        return None

    async def verify(self, checkpoint: str = "") -> tuple[Finding, ...]:
        """Prove one checkpoint, or all, newest first. Raises NotFound, StorageError."""
        names = (checkpoint,) if checkpoint else await self._database.run(_names)
        findings: list[Finding] = []
        for name in names:
            try:
                await self.load(name)
            except CorruptCheckpoint as error:
                findings.append(Finding(name, error.reason))
            else:
                findings.append(Finding(name, ""))
        return tuple(findings)

    async def _open(self) -> None:
        await self._database.__aenter__()
        prepare = check if self._is_read_only else create_or_check
        await self._database.run(partial(prepare, path=self.path, schema=CHECKPOINTS))

    async def _close(self) -> None:
        with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
            try:
                if not self._is_read_only:
                    # What is saved is durable in the log; a file that cannot take it up is found when it is opened.
                    with suppress(StorageError):
                        await self._database.run(self._wal.empty)
            finally:
                await self._database.close()

    async def _begin_anew(self, error: CorruptDatabase) -> None:
        """Move what cannot be used aside, where a person may look at it, and go on with an empty file."""
        with suppress(sqlite3.Error):  # its file is damaged; how it closes says nothing new
            await self._database.close()
        aside = await anyio.to_thread.run_sync(_move_aside, self.path)
        self._warnings.append(f"{error}; it was moved to {aside} and the journal takes its place")
        self._database = Database(self.path)
        await self._open()

    def _save(
        self,
        connection: sqlite3.Connection,
        *,
        description: Description,
        actors: dict[Address, ActorState],
        keep: frozenset[str],
    ) -> CheckpointView:
        packed = manifests.pack(actors)
        with transaction(connection):
            size = _store_chunks(connection, packed)
            manifest = manifests.describe(description, actors, packed, size)
            content, hash_ = manifests.encode(manifest)
            for name in _names(connection):
                if name not in keep or name == manifest.view.checkpoint:
                    connection.execute(queries.DELETE_CHECKPOINT, (name,))
            (id_,) = connection.execute(
                queries.INSERT_CHECKPOINT, (manifest.view.checkpoint, content, hash_)
            ).fetchone()
            connection.executemany(queries.INSERT_USE, [(id_, chunk) for chunk in packed.chunks])
            connection.execute(queries.DELETE_STALE_USES)
            connection.execute(queries.DELETE_STALE_CHUNKS)
        try:
            self._wal.after_commit(connection)
        except sqlite3.Error as error:
            if not is_full(error):
                raise
            # What is in the log is durable; it is copied once there is room for it.
        return manifest.view


def _store_chunks(connection: sqlite3.Connection, packed: Packed) -> int:
    """Write the chunks that are not there yet; the size of all of them as stored."""
    total = 0
    for hash_, content in packed.chunks.items():
        row = connection.execute(queries.CHUNK_SIZE, (hash_,)).fetchone()
        if row is None:
            compressed = manifests.compress(content)
            connection.execute(queries.INSERT_CHUNK, (hash_, compressed))
            total += len(compressed)
        else:
            total += row[0]
    return total


def _names(connection: sqlite3.Connection) -> tuple[str, ...]:
    return tuple(name for name, _, _ in connection.execute(queries.CHECKPOINTS).fetchall())


def _sound_manifests(connection: sqlite3.Connection) -> list[Manifest]:
    found: list[Manifest] = []
    for name, content, hash_ in connection.execute(queries.CHECKPOINTS).fetchall():
        with suppress(CorruptCheckpoint):  # a list names what can be used; `verify` says what cannot
            found.append(manifests.decode(name, content, hash_))
    return found


def _load(connection: sqlite3.Connection, *, name: str) -> Checkpoint:
    with snapshot(connection):
        row = connection.execute(queries.CHECKPOINT, (name,)).fetchone()
        if row is None:
            raise NotFound("checkpoint", name)
        manifest = manifests.decode(*row)

        def read(hash_: bytes) -> bytes | None:
            found = connection.execute(queries.CHUNK, (hash_,)).fetchone()
            return found[0] if found is not None else None

        return Checkpoint(manifest.view, manifests.unpack(manifest, read))


def _move_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):  # they belong to the damaged file; beside a new one they would be taken for its own
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside
