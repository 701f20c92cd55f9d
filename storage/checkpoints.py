"""Checkpoints on disk: the state of every actor as of one position, whole or not at all.

Rules: a checkpoint's chunks and its manifest are of one transaction, so that killed at any point, the older ones stand.
Chunks are named by their content: what did not change since the last checkpoint is not written again. The manifest is
JSON and carries its own hash, and the hash of the state, both of which are proved before a checkpoint is used. One that
is damaged is passed over with a warning; a file that cannot be used at all is moved aside with a warning, since the
journal alone suffices. Whoever saves says which older ones stay; what only the others used goes after the answer.
Pinned ones stay whatever is said.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from itertools import chain
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from bus.address import Address
from bus.errors import StorageError
from bus.messages.base import Position
from bus.messages.system import CheckpointView
from bus.refusals import NotFound
from storage import manifests, queries
from storage.cells import digest
from storage.chunks import Compression
from storage.database import Database, WalKeeper, is_full, move_aside
from storage.directory import DirectoryLock
from storage.errors import CorruptCheckpoint, CorruptDatabase
from storage.manifests import ActorManifest, ActorState, Changes, Description, Listing, Manifest
from storage.schema import CHECKPOINT_PINS, CHECKPOINTS, check, create_or_check, is_of_version_1, unsound
from storage.transactions import snapshot, transaction

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
        self._compression = Compression()
        self._has_pins = True
        self._base: dict[Address, ActorManifest] = {}
        """The entries that were saved last, under a name."""
        self._base_name = ""
        self._untended: sqlite3.Error | None = None
        self._gone: list[frozenset[str]] | None = None
        """What the checkpoints were made of that went; None until all that is there was looked through."""
        self._sizes: dict[str, int] = {}
        """As stored, of the chunks that are being saved."""
        self._listing = Listing()
        self._reachable: dict[str, frozenset[str]] = {}
        """By checkpoint: the chunks that it uses."""
        self._views: dict[str, tuple[bytes, CheckpointView]] = {}
        """By checkpoint: the hash of its manifest, and what that says; it takes long to read of many actors."""

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
            return await self._database.run(work, self._tend)
        except CorruptDatabase as error:
            await self._begin_anew(error)
            return await self._database.run(work, self._tend)

    async def pin(self, checkpoint: str, *, is_pinned: bool = True) -> CheckpointView:
        """Let a checkpoint stay whatever comes after it, or no longer. Raises NotFound, StorageError."""
        return await self._database.run(partial(self._pin, name=checkpoint, is_pinned=is_pinned))

    async def prune(self, keep: Collection[str]) -> tuple[str, ...]:
        """Remove all but those named and the pinned ones; the names of those that went. Raises StorageError."""
        return await self._database.run(partial(self._prune, keep=frozenset(keep)), self._tend)

    async def list(self) -> tuple[CheckpointView, ...]:
        """All kept checkpoints whose manifests can be read, newest first."""
        return await self._database.run(self._sound_views)

    async def manifest(self, checkpoint: str) -> Manifest:
        """What a checkpoint consists of. Raises NotFound, CorruptCheckpoint."""
        return await self._database.run(partial(self._manifest, name=checkpoint))

    async def state(self, checkpoint: str, address: Address) -> bytes:
        """One actor's state in a checkpoint, as canonical JSON. Raises NotFound, CorruptCheckpoint."""
        return await self._database.run(partial(self._state, name=checkpoint, address=address))

    async def load(self, checkpoint: str) -> Checkpoint:
        """One checkpoint, proved. Raises NotFound, CorruptCheckpoint."""
        try:
            return await self._database.run(partial(self._load, name=checkpoint))
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
        names = (checkpoint,) if checkpoint else await self._database.run(_names)
        findings: list[Finding] = []
        for name in names:
            try:
                await self.load(name)
                findings.append(Finding(name, ""))
            except (CorruptCheckpoint, NotFound) as error:
                if checkpoint and isinstance(error, NotFound):
                    raise
                findings.append(Finding(name, error.reason if isinstance(error, CorruptCheckpoint) else str(error)))
        if not checkpoint and self._has_pins:
            work = partial(unsound, path=self.path, schema=CHECKPOINTS)
            if problem := await self._database.run(work):
                findings.append(Finding(self.path.name, problem))
        return tuple(findings)

    async def _open(self) -> None:
        await self._database.__aenter__()
        await self._database.run(self._prepare)

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
        aside = await anyio.to_thread.run_sync(move_aside, self.path)
        self._warnings.append(f"{error}; it was moved to {aside} and the journal takes its place")
        self._database = Database(self.path)
        self._forget_base()
        self._reachable, self._views, self._gone = {}, {}, None
        await self._open()

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """On the thread: see that the file is ours, and of the version that is written today."""
        if self._is_read_only:
            self._has_pins = not is_of_version_1(connection, CHECKPOINTS)
            if self._has_pins:
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
        if connection.execute(queries.CHECKPOINT, (self._base_name,)).fetchone() is None:
            self._forget_base()  # what it refers to may be gone with it
        packed = manifests.pack(actors, changes.addresses if changes is not None else None, self._base)
        with self._all_or_nothing(connection):
            new = self._store(connection, packed.chunks)
            entries = packed.actors
            for address in packed.new:
                entries[address] = manifests.sized(entries[address], self._sizes)
            self._listing.take(entries, packed.new)
            manifest = manifests.describe(description, actors, self._listing, sum(new.values()), changes)
            content, hash_ = manifests.encode(manifest, self._listing)
            self._store(connection, self._listing.changed)
            name = manifest.view.checkpoint
            replaced = self._chunks_of(connection, name)
            connection.execute(queries.DELETE_CHECKPOINT, (name,))
            connection.execute(queries.INSERT_CHECKPOINT, (name, content, hash_))
            self._reachable[name] = self._listing.chunks
            if replaced:
                self._sweep(connection, [replaced])
            gone = self._remove(connection, [old for old in self._unkept(connection, keep) if old != name])
        if self._gone is not None:
            self._gone.extend(gone)
        self._base, self._base_name = entries, name
        self._views[name] = (hash_, manifest.view)
        self._sizes = {}
        return manifest.view

    @contextmanager
    def _all_or_nothing(self, connection: sqlite3.Connection) -> Iterator[None]:
        """A transaction; where it is rolled back, what was learned in it is forgotten."""
        try:
            with transaction(connection):
                yield
        except BaseException:
            self._reachable, self._sizes = {}, {}
            self._forget_base()
            raise

    def _forget_base(self) -> None:
        self._base, self._base_name, self._listing = {}, "", Listing()

    def _store(self, connection: sqlite3.Connection, chunks: Mapping[bytes, bytes]) -> dict[bytes, int]:
        """Write the chunks that are not there yet; the sizes of those, as stored."""
        known: dict[bytes, int] = {}
        for asked in _filled(list(chunks)):
            known.update(connection.execute(queries.CHUNK_SIZES, asked))
        missing = [hash_ for hash_ in chunks if hash_ not in known]
        stored = list(self._compression.compress_all([chunks[hash_] for hash_ in missing]))
        rows = list(zip(missing, stored, strict=True))
        alone = len(rows) % queries.CHUNKS_INSERTED
        connection.executemany(queries.INSERT_CHUNK, rows[:alone])
        for some in range(alone, len(rows), queries.CHUNKS_INSERTED):
            connection.execute(queries.INSERT_CHUNKS, list(chain(*rows[some : some + queries.CHUNKS_INSERTED])))
        new = dict(zip(missing, map(len, stored), strict=True))
        self._sizes |= {hash_.hex(): size for hash_, size in (*known.items(), *new.items())}
        return new

    def _unkept(self, connection: sqlite3.Connection, keep: frozenset[str]) -> Sequence[str]:
        pinned = _pinned(connection, self._has_pins)
        return [name for name in _names(connection) if name not in keep and name not in pinned]

    def _remove(self, connection: sqlite3.Connection, names: Sequence[str]) -> Sequence[frozenset[str]]:
        """Let checkpoints go; gives what they were made of."""
        gone = [self._chunks_of(connection, name) for name in names]
        for name in names:
            connection.execute(queries.DELETE_CHECKPOINT, (name,))
            self._reachable.pop(name, None)
            self._views.pop(name, None)
        connection.execute(queries.DELETE_STALE_PINS)
        return gone

    def _sweep(self, connection: sqlite3.Connection, gone: Sequence[frozenset[str]]) -> None:
        """Delete those of the chunks that no checkpoint uses any more."""
        # The newest first: it has most of what an older one had, and leaves little to look for in the others.
        kept = [self._chunks_of(connection, name) for name in _names(connection)]
        unused = frozenset[str]().union(*[chunks.difference(*kept) for chunks in gone])
        for asked in _filled([bytes.fromhex(name) for name in unused]):
            connection.execute(queries.DELETE_CHUNKS, asked)

    def _chunks_of(self, connection: sqlite3.Connection, name: str) -> frozenset[str]:
        """What a checkpoint uses. Of a damaged one that is unknown: what only it used stays until it is compacted."""
        if name not in self._reachable:
            try:
                self._reachable[name] = self._manifest(connection, name=name).chunks()
            except (CorruptCheckpoint, NotFound):
                return frozenset()
        return self._reachable[name]

    def _prune(self, connection: sqlite3.Connection, *, keep: frozenset[str]) -> tuple[str, ...]:
        with self._all_or_nothing(connection):
            self._remove(connection, unkept := self._unkept(connection, keep))
            self._sweep(connection, [_all_chunks(connection)])
        return tuple(unkept)

    def _pin(self, connection: sqlite3.Connection, *, name: str, is_pinned: bool) -> CheckpointView:
        with transaction(connection):
            self._manifest(connection, name=name)
            connection.execute(queries.PIN if is_pinned else queries.UNPIN, (name,))
        return self._manifest(connection, name=name).view

    def _tend(self, connection: sqlite3.Connection) -> None:
        """What is left to do while the answer is on its way; an error of it is the next save's."""
        try:
            if self._gone is None:  # a kill may have left some; of a damaged checkpoint nobody knows what it uses
                are_known = all(self._chunks_of(connection, name) for name in _names(connection))
                self._gone = [_all_chunks(connection)] if are_known else []
            if self._gone:
                connection.execute(queries.COMMIT_WITHOUT_WAITING)  # what comes back after a loss of power goes again
                with transaction(connection):
                    self._sweep(connection, self._gone)
                self._gone = []
            self._wal.after_commit(connection)
        except sqlite3.Error as error:
            if not is_full(error):  # what is in the log is durable; it is copied once there is room for it
                self._untended = error
        finally:
            with suppress(sqlite3.Error):  # the next save finds the same
                connection.execute(queries.COMMIT_WAITING)

    def _sound_views(self, connection: sqlite3.Connection) -> tuple[CheckpointView, ...]:
        found: list[CheckpointView] = []
        pinned = _pinned(connection, self._has_pins)
        for name, content, hash_ in connection.execute(queries.CHECKPOINTS).fetchall():
            known = self._views.get(name)
            with suppress(CorruptCheckpoint):  # a list names what can be used; `verify` says what cannot
                if known is None or known[0] != hash_ or digest(content) != hash_:
                    known = self._views[name] = (hash_, self._manifest(connection, name=name).view)
                found.append(msgspec.structs.replace(known[1], is_pinned=name in pinned))
        return tuple(found)

    def _manifest(self, connection: sqlite3.Connection, *, name: str) -> Manifest:
        row = connection.execute(queries.CHECKPOINT, (name,)).fetchone()
        if row is None:
            raise NotFound("checkpoint", name)
        manifest = manifests.decode(name, row[1], row[2], partial(self._read, connection))
        if name in _pinned(connection, self._has_pins):
            return msgspec.structs.replace(manifest, view=msgspec.structs.replace(manifest.view, is_pinned=True))
        return manifest

    def _load(self, connection: sqlite3.Connection, *, name: str) -> Checkpoint:
        with snapshot(connection):
            manifest = self._manifest(connection, name=name)
            return Checkpoint(manifest.view, manifests.unpack(manifest, partial(self._read, connection)))

    def _state(self, connection: sqlite3.Connection, *, name: str, address: Address) -> bytes:
        with snapshot(connection):
            manifest = self._manifest(connection, name=name)
            if address not in manifest.actors:
                raise NotFound(f"actor in {name}", address)
            return manifests.state_of(manifest, address, partial(self._read, connection)).state

    def _read(self, connection: sqlite3.Connection, hash_: bytes) -> bytes | None:
        found = connection.execute(queries.CHUNK, (hash_,)).fetchone()
        return self._compression.decompress(found[0]) if found is not None else None


def _filled(hashes: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """So many at a time, the last with one of its own again: a statement is prepared for one number of them."""
    for first in range(0, len(hashes), queries.CHUNKS_LOOKED_UP):
        some = hashes[first : first + queries.CHUNKS_LOOKED_UP]
        yield [*some, *[some[0]] * (queries.CHUNKS_LOOKED_UP - len(some))]


def _pinned(connection: sqlite3.Connection, has_pins: bool) -> frozenset[str]:
    return frozenset(name for (name,) in connection.execute(queries.PINS)) if has_pins else frozenset()


def _all_chunks(connection: sqlite3.Connection) -> frozenset[str]:
    return frozenset(hash_.hex() for (hash_,) in connection.execute(queries.CHUNK_HASHES) if isinstance(hash_, bytes))


def _names(connection: sqlite3.Connection) -> tuple[str, ...]:
    return tuple(str(name) for (name,) in connection.execute(queries.CHECKPOINT_NAMES))


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
