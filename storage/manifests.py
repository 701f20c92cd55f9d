"""What a checkpoint consists of: a manifest in JSON, and chunks that are named by their content.

An actor's state comes in pieces that a change elsewhere leaves alone, and each is a chunk: what did not change is found
again by its name and not written again. The manifest's own list of actors is cut and kept the same way, so that a
checkpoint in which little changed is small however many actors there are. An actor that did not change keeps its entry
to the byte: that it stands at a later position is said once, for all of them (`stamped`).

Two formats are read: the manifest of format 1 is one JSON document, that of format 2 names the chunks of its list.

Pure: no clock, no disk.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import sha256
from zlib import crc32

import msgspec

from bus.address import Address
from bus.messages.base import Microseconds, Position, RunId
from bus.messages.system import CheckpointReason, CheckpointView
from storage.cells import digest
from storage.chunks import CHUNK_BYTES_MAX
from storage.errors import CorruptCheckpoint

ENTRIES_PER_PIECE = 12
"""On average, of the list of actors: a small change touches few pieces, and these are small."""
ENTRIES_MAX = 200
"""Where no border comes by itself."""

Read = Callable[[bytes], bytes | None]
"""Gives a chunk's content by its hash, or None where there is none. Raises UnreadableChunk."""


class ActorState(msgspec.Struct, frozen=True, gc=False):
    """One actor's state as of a position."""

    position: Position
    cursor: Position
    pieces: tuple[bytes, ...]
    """Canonical JSON, cut; each at most `CHUNK_BYTES_MAX`."""
    follows: bool = False
    """Whether it stands where it was last changed, and may not be restamped."""

    @property
    def state(self) -> bytes:
        """The JSON in one."""
        return b"".join(self.pieces)

    @classmethod
    def of(cls, position: Position, cursor: Position, state: bytes) -> "ActorState":
        """A state that comes in one."""
        cut = tuple(state[start : start + CHUNK_BYTES_MAX] for start in range(0, len(state), CHUNK_BYTES_MAX))
        return cls(position, cursor, cut)


class Changes(msgspec.Struct, frozen=True):
    """What of the states is not as it was saved last."""

    addresses: tuple[Address, ...]
    position: Position
    """Where all others stand that do not follow, whatever they say."""


class Description(msgspec.Struct, frozen=True):
    """Why a checkpoint is made, when, and of which run."""

    reason: CheckpointReason
    created_us: Microseconds
    run: RunId
    step: int
    label: str
    epoch: int
    config_hash: str
    agora_version: str
    includes: dict[str, tuple[str, ...]] = {}
    left_out: tuple[str, ...] = ()
    behind: tuple[str, ...] | None = None

    @classmethod
    def of(cls, view: CheckpointView) -> "Description":
        """That of a checkpoint that is saved again."""
        return cls(
            reason=view.reason,
            created_us=view.created_us,
            run=RunId(view.run),
            step=view.step,
            label=view.label,
            epoch=view.epoch,
            config_hash=view.config_hash,
            agora_version=view.agora_version,
            includes=view.includes,
            left_out=view.left_out,
            behind=view.behind,
        )


class ActorManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Where one actor's state is to be found."""

    position: Position
    cursor: Position
    chunks: tuple[str, ...]
    """SHA-256 of each chunk's uncompressed content, in order."""
    size_bytes: int = 0
    """Uncompressed."""
    stored_bytes: int = 0
    hash: str = ""
    """SHA-256 of the whole state; empty where that is the name of its one chunk."""
    follows: bool = False

    @property
    def state_hash(self) -> str:
        """SHA-256 of the whole state, in hex."""
        return self.hash or (self.chunks[0] if len(self.chunks) == 1 else sha256().hexdigest())


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that is kept of a checkpoint beside its chunks."""

    view: CheckpointView
    actors: dict[Address, ActorManifest]
    stamped: Position = Position(0)
    """All actors stand at least there, but for those that follow."""
    format: int = 1
    entries: tuple[str, ...] = ()
    """The chunks of the list of actors."""

    def position_of(self, address: Address) -> Position:
        """The position that an actor's state stands for."""
        actor = self.actors[address]
        return actor.position if actor.follows else max(actor.position, self.stamped)

    def chunks(self) -> frozenset[str]:
        """The names of all that it is made of."""
        return frozenset(self.entries).union(*[actor.chunks for actor in self.actors.values()])


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is stored of a manifest of format 2 beside its list of actors."""

    format: int
    view: CheckpointView
    stamped: Position
    entries: tuple[str, ...]


class Packed(msgspec.Struct, frozen=True):
    """The states of all actors as chunks."""

    chunks: dict[bytes, bytes]
    """Content by its hash, uncompressed: of those actors that changed."""
    actors: dict[Address, ActorManifest]
    """In the order of the addresses; `stored_bytes` is 0 of those whose state changed."""
    new: tuple[Address, ...]
    """Those whose entries are not what they were."""


def pack(
    actors: Mapping[Address, ActorState],
    changed: Collection[Address] | None = None,
    base: Mapping[Address, ActorManifest] | None = None,
) -> Packed:
    """Every actor's state as chunks; all but the changed are as `base` has them."""
    known = base or {}
    chunks: dict[bytes, bytes] = {}
    if changed is not None and _has_all(known, len(actors), changed):  # as a rule: copied at once, in their order
        new = {address: _packed(actors[address], chunks) for address in sorted(changed)}
        return Packed(chunks, {**known, **new}, tuple(new))
    looked_at = actors.keys() - known.keys()
    looked_at.update(actors if changed is None else changed)
    new = {address: _packed(actors[address], chunks) for address in sorted(looked_at)}
    entries = {address: new.get(address) or known[address] for address in sorted(actors)}
    return Packed(chunks, entries, tuple(new))


def _has_all(known: Mapping[Address, object], count: int, changed: Iterable[Address]) -> bool:
    """Whether nobody came and nobody left, where all but the changed are as they were: at the price of the changed."""
    return len(known) == count and all(address in known for address in changed)


def _packed(actor: ActorState, chunks: dict[bytes, bytes]) -> ActorManifest:
    names: list[str] = []
    whole = sha256()
    for content in actor.pieces:
        name = sha256(content)
        chunks[name.digest()] = content
        names.append(name.hexdigest())
        whole.update(content)
    return ActorManifest(
        actor.position,
        actor.cursor,
        tuple(names),
        size_bytes=sum(map(len, actor.pieces)),
        hash="" if len(names) == 1 else whole.hexdigest(),
        follows=actor.follows,
    )


def sized(entry: ActorManifest, sizes: Mapping[str, int]) -> ActorManifest:
    """With what its chunks take as stored, where that is not known yet."""
    if entry.stored_bytes or not entry.chunks:
        return entry
    return msgspec.structs.replace(entry, stored_bytes=sum(sizes[name] for name in entry.chunks))


def state_hash(actors: Mapping[Address, ActorState]) -> str:
    """SHA-256 over each address and the SHA-256 of its canonical state, in the order of the addresses."""
    lines = [hash_line(address, sha256(actors[address].state).hexdigest()) for address in sorted(actors)]
    return sha256(b"".join(lines)).hexdigest()


def hash_line(address: Address, hash_: str) -> bytes:
    """What the state hash covers of one actor. Lengths keep apart what joined bytes would confuse."""
    return f"{len(address)} {address} {hash_} ".encode()


def _state_hash_of_format_1(actors: Mapping[Address, ActorState]) -> str:
    whole = sha256()
    for address in sorted(actors):
        state = actors[address].state
        whole.update(f"{len(address)} {len(state)} {address} ".encode())
        whole.update(state)
    return whole.hexdigest()


def describe(
    description: Description,
    actors: Mapping[Address, ActorState],
    listing: "Listing",
    written_bytes: int,
    changes: Changes | None = None,
) -> Manifest:
    """The manifest of packed states, listed, of which `written_bytes` were not there before."""
    others = [changes.position] if changes is not None and len(changes.addresses) < len(actors) else []
    looked_at = [actors[address] for address in changes.addresses] if changes is not None else actors.values()
    position = max([*others, *[actor.position for actor in looked_at]])
    view = CheckpointView(
        checkpoint=f"c-{position}",
        position=position,
        reason=description.reason,
        created_us=description.created_us,
        run=description.run,
        step=description.step,
        label=description.label,
        epoch=description.epoch,
        config_hash=description.config_hash,
        agora_version=description.agora_version,
        actors=listing.sizes.copy(),
        size_bytes=listing.stored_bytes,
        state_hash=listing.state_hash,
        written_bytes=written_bytes,
        includes=description.includes,
        left_out=description.left_out,
        behind=description.behind,
    )
    stamped = min([*others, *[one.position for one in looked_at if not one.follows]], default=Position(0))
    return Manifest(view, listing.entries, stamped, format=2)


class _Piece(msgspec.Struct, gc=False):
    """A stretch of the list of actors."""

    addresses: list[Address]
    name: bytes = b""
    """SHA-256 of its content."""
    hashed: bytes = b""
    """What the state hash covers of its actors."""


class Listing:
    """The list of actors as it is stored, made again where something has changed since the last time."""

    def __init__(self) -> None:
        self.entries: dict[Address, ActorManifest] = {}
        self.sizes: dict[str, int] = {}
        self.stored_bytes = 0
        self._lines: dict[Address, tuple[bytes, bytes]] = {}
        """By actor: its entry as JSON, and what the state hash covers of it."""
        self._pieces: list[_Piece] = []
        self._piece_of: dict[Address, int] = {}
        self._uses: Counter[str] = Counter()
        """By chunk of the states: in how many places it stands."""
        self.changed: dict[bytes, bytes] = {}
        """The pieces that were not there before the last time, by their names."""

    def take(self, entries: dict[Address, ActorManifest], new: Collection[Address]) -> None:
        """From now on these are the entries, in the order of their addresses; all but the `new` are as they were."""
        known, self.entries = self.entries, entries
        for address in new:
            self._lines[address] = _line(address, entries[address])
        self.changed = {}
        if _has_all(known, len(entries), new):
            self._count(known, entries, new)
            for address in new:
                self.sizes[address] = entries[address].size_bytes
                self.stored_bytes += entries[address].stored_bytes - known[address].stored_bytes
            for number in sorted({self._piece_of[address] for address in new}):
                self._make(number)
        else:
            self.sizes = {address: entry.size_bytes for address, entry in entries.items()}
            self.stored_bytes = sum(entry.stored_bytes for entry in entries.values())
            self._uses = Counter(chunk for entry in entries.values() for chunk in entry.chunks)
            self._cut()

    @property
    def state_hash(self) -> str:
        """SHA-256 over each address and the SHA-256 of its canonical state, in the order of the addresses."""
        return sha256(b"".join([piece.hashed for piece in self._pieces])).hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        """The pieces that the list consists of."""
        return tuple([piece.name.hex() for piece in self._pieces])

    @property
    def chunks(self) -> frozenset[str]:
        """The names of all that a checkpoint of this list is made of."""
        return frozenset(self.names).union(self._uses)

    def _count(
        self, known: Mapping[Address, ActorManifest], entries: Mapping[Address, ActorManifest], new: Iterable[Address]
    ) -> None:
        for address in new:
            self._uses.update(entries[address].chunks)
            for chunk in known[address].chunks:
                self._uses[chunk] -= 1
                if not self._uses[chunk]:
                    del self._uses[chunk]

    def _cut(self) -> None:
        """Draw the borders anew: by the names, so that they stay where they are whatever becomes of the entries."""
        self._lines = {address: self._lines[address] for address in self.entries}
        self._pieces = []
        is_over = True
        for address in self.entries:
            if is_over:
                self._pieces.append(_Piece([]))
            addresses = self._pieces[-1].addresses
            addresses.append(address)
            is_over = crc32(address.encode()) % ENTRIES_PER_PIECE == 0 or len(addresses) == ENTRIES_MAX
        self._piece_of = {address: n for n, piece in enumerate(self._pieces) for address in piece.addresses}
        for number in range(len(self._pieces)):
            self._make(number)

    def _make(self, number: int) -> None:
        piece = self._pieces[number]
        lines = [self._lines[address] for address in piece.addresses]
        before, after = b"," if number else b"{", b"}" if piece is self._pieces[-1] else b""
        content = b"%b%b%b" % (before, b",".join([line for line, _ in lines]), after)
        piece.name, piece.hashed = sha256(content).digest(), b"".join([hashed for _, hashed in lines])
        self.changed[piece.name] = content


def _line(address: Address, entry: ActorManifest) -> tuple[bytes, bytes]:
    return msgspec.json.encode({address: entry})[1:-1], hash_line(address, entry.state_hash)


def encode(manifest: Manifest, listing: Listing) -> tuple[bytes, bytes]:
    """The manifest's bytes and their hash; its list of actors is what the listing has taken."""
    view = msgspec.structs.replace(manifest.view, actors={})
    content = msgspec.json.encode(_Head(2, view, manifest.stamped, listing.names))
    return content, sha256(content).digest()


def decode(name: str, content: bytes, hash_: bytes, read: Read) -> Manifest:
    """The manifest as it was. Raises CorruptCheckpoint."""
    if digest(content) != hash_:
        raise CorruptCheckpoint(name, "the manifest is not what its hash says")
    try:
        if content.startswith(b'{"format":'):
            manifest = _decoded(name, msgspec.json.decode(content, type=_Head), read)
        else:
            manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError as error:
        raise CorruptCheckpoint(name, f"the manifest cannot be read: {error}") from error
    if manifest.view.checkpoint != name:
        raise CorruptCheckpoint(name, f"the manifest is that of {manifest.view.checkpoint}")
    return manifest


def _decoded(name: str, head: _Head, read: Read) -> Manifest:
    content = b"".join(_chunk(name, "the list of actors", entry, read) for entry in head.entries)
    actors = msgspec.json.decode(content, type=dict[Address, ActorManifest])
    view = msgspec.structs.replace(head.view, actors={address: actor.size_bytes for address, actor in actors.items()})
    return Manifest(view, actors, head.stamped, head.format, head.entries)


def unpack(manifest: Manifest, read: Read) -> dict[Address, ActorState]:
    """All states, proved chunk by chunk and as a whole. Raises CorruptCheckpoint."""
    name = manifest.view.checkpoint
    actors: dict[Address, ActorState] = {}
    for address in manifest.actors:
        actors[address] = state_of(manifest, address, read)
    found = _state_hash_of_format_1(actors) if manifest.format == 1 else state_hash(actors)
    if found != manifest.view.state_hash:
        raise CorruptCheckpoint(name, "the states are not what their hash says")
    return actors


def state_of(manifest: Manifest, address: Address, read: Read) -> ActorState:
    """One actor's state, proved chunk by chunk. Raises CorruptCheckpoint."""
    actor = manifest.actors[address]
    cut = tuple(_chunk(manifest.view.checkpoint, address, chunk, read) for chunk in actor.chunks)
    return ActorState(manifest.position_of(address), actor.cursor, cut, actor.follows)


def _chunk(checkpoint: str, of: str, name: str, read: Read) -> bytes:
    hash_ = bytes.fromhex(name)
    try:
        content = read(hash_)
    except ValueError as error:
        raise CorruptCheckpoint(checkpoint, f"a chunk of {of} cannot be read: {error}") from error
    if content is None:
        raise CorruptCheckpoint(checkpoint, f"a chunk of {of} is missing")
    if sha256(content).digest() != hash_:
        raise CorruptCheckpoint(checkpoint, f"a chunk of {of} is not what its name says")
    return content
