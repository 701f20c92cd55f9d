"""The shelf of a checkpoints' file: its rows, read and written on the thread of their connection.

Rules: a checkpoint's chunks and its manifest are of one transaction, so that killed at any point, the older ones stand.
Chunks are named by their content: what did not change since the last checkpoint is not written again. Each manifest is
proved before it is used. Whoever saves says which older ones stay; pinned ones stay whatever is said. What only those
used that went is swept afterwards; of a damaged one it is unknown what it uses, and what only it used stays.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain

import msgspec

from bus.address import Address
from bus.messages.checkpoints import DamagedCheckpoint
from bus.messages.system import CheckpointPage, CheckpointView
from bus.refusals import NotFound
from storage import manifests, queries
from storage.cells import digest
from storage.chunks import Compression
from storage.errors import CorruptCheckpoint
from storage.manifests import ActorManifest, ActorState, Changes, Description, Listing, Manifest
from storage.transactions import snapshot, transaction


class Shelf:
    """Of one file. It remembers what it has saved and read, so that neither is done again."""

    def __init__(self) -> None:
        self.has_pins = True
        """No file of version 1 has."""
        self._compression = Compression()
        self._base: dict[Address, ActorManifest] = {}
        """The entries that were saved last, under a name."""
        self._base_name = ""
        self._gone: list[frozenset[str]] | None = None
        """What the checkpoints were made of that went; None until all that is there was looked through."""
        self._sizes: dict[str, int] = {}
        """As stored, of the chunks that are being saved."""
        self._listing = Listing()
        self._reachable: dict[str, frozenset[str]] = {}
        """By checkpoint: the chunks that it uses."""
        self._views: dict[str, tuple[bytes, CheckpointView]] = {}
        """By checkpoint: the hash of its manifest, and what that says; it takes long to read of many actors."""

    def save(
        self,
        connection: sqlite3.Connection,
        description: Description,
        actors: dict[Address, ActorState],
        *,
        keep: frozenset[str],
        changes: Changes | None,
    ) -> CheckpointView:
        """Keep the state of all, and of the older checkpoints those that are named and the pinned ones."""
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

    def prune(self, connection: sqlite3.Connection, *, keep: frozenset[str]) -> tuple[str, ...]:
        """Remove all but those named and the pinned ones; the names of those that went."""
        with self._all_or_nothing(connection):
            self._remove(connection, unkept := self._unkept(connection, keep))
            self._sweep(connection, [_all_chunks(connection)])
        return tuple(unkept)

    def pin(self, connection: sqlite3.Connection, name: str, *, is_pinned: bool) -> CheckpointView:
        """Let a checkpoint stay whatever comes after it, or no longer. Raises NotFound, CorruptCheckpoint."""
        with transaction(connection):
            self.manifest(connection, name)
            connection.execute(queries.PIN if is_pinned else queries.UNPIN, (name,))
        return self.manifest(connection, name).view

    def sweep(self, connection: sqlite3.Connection) -> None:
        """Delete what only checkpoints used that went: what a save leaves for when its answer is on its way."""
        if self._gone is None:  # a kill may have left some; of a damaged checkpoint nobody knows what it uses
            are_known = all(self._chunks_of(connection, name) for name in names(connection))
            self._gone = [_all_chunks(connection)] if are_known else []
        if self._gone:
            connection.execute(queries.COMMIT_WITHOUT_WAITING)  # what comes back after a loss of power goes again
            with transaction(connection):
                self._sweep(connection, self._gone)
            self._gone = []

    def page(self, connection: sqlite3.Connection) -> CheckpointPage:
        """Those whose manifests can be read, and those whose cannot, with why; newest first."""
        found: list[CheckpointView] = []
        damaged: list[DamagedCheckpoint] = []
        pinned = self._pinned(connection)
        for name, content, hash_ in connection.execute(queries.CHECKPOINTS).fetchall():
            known = self._views.get(name)
            try:
                if known is None or known[0] != hash_ or digest(content) != hash_:
                    known = self._views[name] = (hash_, self.manifest(connection, name).view)
            except CorruptCheckpoint as error:
                damaged.append(DamagedCheckpoint(str(name), error.reason))
            else:
                found.append(msgspec.structs.replace(known[1], is_pinned=name in pinned))
        return CheckpointPage(tuple(found), tuple(damaged))

    def manifest(self, connection: sqlite3.Connection, name: str) -> Manifest:
        """What a checkpoint consists of. Raises NotFound, CorruptCheckpoint."""
        row = connection.execute(queries.CHECKPOINT, (name,)).fetchone()
        if row is None:
            raise NotFound("checkpoint", name)
        manifest = manifests.decode(name, row[1], row[2], partial(self._read, connection))
        if name in self._pinned(connection):
            return msgspec.structs.replace(manifest, view=msgspec.structs.replace(manifest.view, is_pinned=True))
        return manifest

    def states(self, connection: sqlite3.Connection, name: str) -> tuple[CheckpointView, dict[Address, ActorState]]:
        """A checkpoint with all that it holds, proved. Raises NotFound, CorruptCheckpoint."""
        with snapshot(connection):
            manifest = self.manifest(connection, name)
            return manifest.view, manifests.unpack(manifest, partial(self._read, connection))

    def state(self, connection: sqlite3.Connection, name: str, address: Address) -> bytes:
        """One actor's state, as canonical JSON. Raises NotFound, CorruptCheckpoint."""
        with snapshot(connection):
            manifest = self.manifest(connection, name)
            if address not in manifest.actors:
                raise NotFound(f"actor in {name}", address)
            return manifests.state_of(manifest, address, partial(self._read, connection)).state

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
        pinned = self._pinned(connection)
        return [name for name in names(connection) if name not in keep and name not in pinned]

    def _remove(self, connection: sqlite3.Connection, unkept: Sequence[str]) -> Sequence[frozenset[str]]:
        """Let checkpoints go; gives what they were made of."""
        gone = [self._chunks_of(connection, name) for name in unkept]
        for name in unkept:
            connection.execute(queries.DELETE_CHECKPOINT, (name,))
            self._reachable.pop(name, None)
            self._views.pop(name, None)
        connection.execute(queries.DELETE_STALE_PINS)
        return gone

    def _sweep(self, connection: sqlite3.Connection, gone: Sequence[frozenset[str]]) -> None:
        """Delete those of the chunks that no checkpoint uses any more."""
        # The newest first: it has most of what an older one had, and leaves little to look for in the others.
        kept = [self._chunks_of(connection, name) for name in names(connection)]
        unused = frozenset[str]().union(*[chunks.difference(*kept) for chunks in gone])
        for asked in _filled([bytes.fromhex(name) for name in unused]):
            connection.execute(queries.DELETE_CHUNKS, asked)

    def _chunks_of(self, connection: sqlite3.Connection, name: str) -> frozenset[str]:
        """What a checkpoint uses. Of a damaged one that is unknown: what only it used stays until it is compacted."""
        if name not in self._reachable:
            try:
                self._reachable[name] = self.manifest(connection, name).chunks()
            except (CorruptCheckpoint, NotFound):
                return frozenset()
        return self._reachable[name]

    def _pinned(self, connection: sqlite3.Connection) -> frozenset[str]:
        return frozenset(name for (name,) in connection.execute(queries.PINS)) if self.has_pins else frozenset()

    def _read(self, connection: sqlite3.Connection, hash_: bytes) -> bytes | None:
        found = connection.execute(queries.CHUNK, (hash_,)).fetchone()
        return self._compression.decompress(found[0]) if found is not None else None


def names(connection: sqlite3.Connection) -> tuple[str, ...]:
    """Of all checkpoints that are there, newest first."""
    return tuple(str(name) for (name,) in connection.execute(queries.CHECKPOINT_NAMES))


def _filled(hashes: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """So many at a time, the last with one of its own again: a statement is prepared for one number of them."""
    for first in range(0, len(hashes), queries.CHUNKS_LOOKED_UP):
        some = hashes[first : first + queries.CHUNKS_LOOKED_UP]
        yield [*some, *[some[0]] * (queries.CHUNKS_LOOKED_UP - len(some))]


def _all_chunks(connection: sqlite3.Connection) -> frozenset[str]:
    return frozenset(hash_.hex() for (hash_,) in connection.execute(queries.CHUNK_HASHES) if isinstance(hash_, bytes))
