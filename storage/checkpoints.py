"""Checkpoints on disk: the state of every actor as of one position, whole or not at all.

Rules: a checkpoint is proved before it is used. One that is damaged is passed over with a warning; a file that cannot
be used at all is moved aside with a warning, since the journal alone suffices. What is left to do after a save is done
while its answer is on its way. How they lie in the file is in `storage.shelf`.
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
from bus.errors import StorageError
from bus.messages.base import Position
from bus.messages.system import CheckpointPage, CheckpointView
from bus.refusals import NotFound
from storage import queries, shelf
from storage.database import Database, WalKeeper, Work, is_full, move_aside
from storage.directory import DirectoryLock
from storage.errors import CorruptCheckpoint, CorruptDatabase
from storage.manifests import ActorState, Changes, Description, Manifest
from storage.schema import CHECKPOINT_PINS, CHECKPOINTS, check, create_or_check, is_of_version_1, unsound
from storage.shelf import Shelf
from storage.transactions import transaction

CHECKPOINTS_NAME = "checkpoints.sqlite"
CLOSE_TIMEOUT_S = 10.0

T = TypeVar("T")

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
        self._shelf = Shelf()
        self._is_prepared = False
        """Not while an empty file that takes a damaged one's place cannot be made: for want of room, say."""
        self._opening = anyio.Lock()
        self._warnings: list[str] = []
        self._untended: sqlite3.Error | None = None
        """What went wrong after the last save, which the next one raises."""

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
        self,
        description: Description,
        actors: Mapping[Address, ActorState],
        *,
        keep: Collection[str],
        changes: Changes | None = None,
    ) -> CheckpointView:
        """Keep the state of all actors, and of the older checkpoints those named in `keep` and the pinned ones.

        Where `changes` are given, the states of all others are those that were saved last by this store, and are not
        looked at. The position is the highest that any state stands on; one at the same position is replaced. Raises
        StorageError.
        """
        assert actors, "a checkpoint holds the state of at least one actor"
        work = partial(self._save, description=description, actors=dict(actors), keep=frozenset(keep), changes=changes)
        try:
            return await self._run(work, self._tend)
        except CorruptDatabase as error:
            await self._begin_anew(error)
            return await self._run(work, self._tend)

    async def older(self) -> tuple[str, ...]:
        """The names of those in `list`, for who is about to save another: a file that none can be read of goes aside.

        Raises StorageError.
        """
        try:
            views = await self.list()
        except CorruptDatabase as error:
            await self._begin_anew(error)
            return ()
        return tuple(view.checkpoint for view in views)

    async def pin(self, checkpoint: str, *, is_pinned: bool = True) -> CheckpointView:
        """Let a checkpoint stay whatever comes after it, or no longer. Raises NotFound, StorageError."""
        return await self._run(partial(self._shelf.pin, name=checkpoint, is_pinned=is_pinned))

    async def prune(self, keep: Collection[str]) -> tuple[str, ...]:
        """Remove all but those named and the pinned ones; the names of those that went. Raises StorageError."""
        return await self._run(partial(self._shelf.prune, keep=frozenset(keep)), self._tend)

    async def list(self) -> tuple[CheckpointView, ...]:
        """All kept checkpoints whose manifests can be read, newest first."""
        return (await self.page()).checkpoints

    async def page(self) -> CheckpointPage:
        """Those, and with what is wrong with them those whose manifests cannot be read."""
        return await self._run(self._shelf.page)

    async def manifest(self, checkpoint: str) -> Manifest:
        """What a checkpoint consists of. Raises NotFound, CorruptCheckpoint."""
        return await self._run(partial(self._shelf.manifest, name=checkpoint))

    async def state(self, checkpoint: str, address: Address) -> bytes:
        """One actor's state in a checkpoint, as canonical JSON. Raises NotFound, CorruptCheckpoint."""
        return await self._run(partial(self._shelf.state, name=checkpoint, address=address))

    async def load(self, checkpoint: str) -> Checkpoint:
        """One checkpoint, proved. Raises NotFound, CorruptCheckpoint."""
        try:
            view, actors = await self._run(partial(self._shelf.states, name=checkpoint))
        except CorruptDatabase as error:
            raise CorruptCheckpoint(checkpoint, error.reason) from error
        return Checkpoint(view, actors)

    async def load_newest(self, is_held: IsHeld = lambda _epoch, _position: True) -> Checkpoint | None:
        """The newest that is sound and of this timeline; those passed over are in `warnings`."""
        try:
            names = await self._run(shelf.names)
        except CorruptDatabase as error:
            await self._begin_anew(error)
            return None
        for name in names:
            try:
                found = await self.load(name)
            except (CorruptCheckpoint, NotFound) as error:
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
        """Prove one checkpoint, or all, newest first, and then the file itself. Raises NotFound, StorageError."""
        names = (checkpoint,) if checkpoint else await self._run(shelf.names)
        findings: list[Finding] = []
        for name in names:
            try:
                await self.load(name)
                findings.append(Finding(name, ""))
            except (CorruptCheckpoint, NotFound) as error:
                if checkpoint and isinstance(error, NotFound):
                    raise
                findings.append(Finding(name, error.reason if isinstance(error, CorruptCheckpoint) else str(error)))
        if not checkpoint and self._shelf.has_pins:
            work = partial(unsound, path=self.path, schema=CHECKPOINTS)
            if problem := await self._run(work):
                findings.append(Finding(self.path.name, problem))
        return tuple(findings)

    async def _run(self, work: Work[T], then: Work[None] | None = None) -> T:
        """Run it on the thread, of a file that is opened first where the last try could not. Raises StorageError."""
        async with self._opening:
            if not self._is_prepared:
                await self._open()
        return await self._database.run(work, then)

    async def _open(self) -> None:
        """All of it or nothing: what fails may be tried again."""
        self._database = Database(self.path, is_read_only=self._is_read_only)
        await self._database.__aenter__()
        try:
            await self._database.run(self._prepare)
        except BaseException:
            with anyio.CancelScope(shield=True), suppress(sqlite3.Error):
                await self._database.close()
            raise
        self._is_prepared = True

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
        async with self._opening:
            self._is_prepared = False
            with suppress(sqlite3.Error):  # its file is damaged; how it closes says nothing new
                await self._database.close()
            aside = await anyio.to_thread.run_sync(move_aside, self.path)
            self._warnings.append(f"{error}; it was moved to {aside} and the journal takes its place")
            self._shelf, self._untended = Shelf(), None
            await self._open()

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """On the thread: see that the file is ours, and of the version that is written today."""
        if self._is_read_only:
            self._shelf.has_pins = not is_of_version_1(connection, CHECKPOINTS)
            if self._shelf.has_pins:
                check(connection, self.path, CHECKPOINTS)
            return
        if is_of_version_1(connection, CHECKPOINTS):
            self._warnings.append(f"{self.path} was of version 1; it is kept as {_migrate(connection, self.path)}")
        create_or_check(connection, self.path, CHECKPOINTS)
        try:
            # What a kill left there may never have been synced, and events are pruned by what is saved.
            self._wal.empty(connection)
        except sqlite3.Error as error:
            if not is_full(error):
                raise

    def _save(
        self,
        connection: sqlite3.Connection,
        *,
        description: Description,
        actors: dict[Address, ActorState],
        keep: frozenset[str],
        changes: Changes | None,
    ) -> CheckpointView:
        if self._untended is not None:
            error, self._untended = self._untended, None
            raise error
        return self._shelf.save(connection, description, actors, keep=keep, changes=changes)

    def _tend(self, connection: sqlite3.Connection) -> None:
        """What is left to do while the answer is on its way; an error of it is the next save's."""
        try:
            self._shelf.sweep(connection)
            self._wal.after_commit(connection)
        except sqlite3.Error as error:
            if not is_full(error):  # what is in the log is durable; it is copied once there is room for it
                self._untended = error
        finally:
            with suppress(sqlite3.Error):  # the next save finds the same
                connection.execute(queries.COMMIT_WAITING)


def _migrate(connection: sqlite3.Connection, path: Path) -> Path:
    """From version 1 to 2, after a copy of the whole was put aside; where that is."""
    backup = path.with_name(path.name + ".version-1")
    backup.unlink(missing_ok=True)  # of a migration that was killed before it was done
    connection.execute(queries.COPY_INTO, (str(backup),))
    with transaction(connection):
        connection.execute(CHECKPOINT_PINS)
        connection.execute(queries.DROP_USES)
        connection.execute(queries.set_version(2))
    return backup
