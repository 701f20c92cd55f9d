"""What a checkpoint consists of: a manifest in JSON and chunks that are named by their content.

An actor's state is cut into chunks of bounded size, each compressed by itself, so that no single step holds the
interpreter for long and what did not change is found again by its name.

Pure: no clock, no disk.
"""

import zlib
from collections.abc import Callable, Mapping
from hashlib import sha256

import msgspec

from bus.address import Address
from bus.messages.base import Microseconds, Position, RunId
from bus.messages.system import CheckpointReason, CheckpointView
from storage.errors import CorruptCheckpoint

CHUNK_BYTES_MAX = 256 * 1024
"""Encoding or compressing one takes a few milliseconds at most."""
COMPRESSION = 1
"""The fastest of zlib: state is written far more often than it is read."""


class ActorState(msgspec.Struct, frozen=True):
    """One actor's state as of a position."""

    position: Position
    cursor: Position
    state: bytes
    """Canonical JSON."""


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


class ActorManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one actor's state is to be found."""

    position: Position
    cursor: Position
    chunks: tuple[str, ...]
    """SHA-256 of each chunk's uncompressed content, in order."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that is kept of a checkpoint beside its chunks."""

    view: CheckpointView
    actors: dict[Address, ActorManifest]


class Packed(msgspec.Struct, frozen=True):
    """The states of all actors as chunks."""

    chunks: dict[bytes, bytes]
    """Content by its hash, uncompressed."""
    by_actor: dict[Address, tuple[bytes, ...]]
    state_hash: str


def pack(actors: Mapping[Address, ActorState]) -> Packed:
    """Cut every actor's state into chunks."""
    chunks: dict[bytes, bytes] = {}
    by_actor: dict[Address, tuple[bytes, ...]] = {}
    for address, actor in actors.items():
        names: list[bytes] = []
        for start in range(0, len(actor.state), CHUNK_BYTES_MAX):
            content = actor.state[start : start + CHUNK_BYTES_MAX]
            name = sha256(content).digest()
            chunks[name] = content
            names.append(name)
        by_actor[address] = tuple(names)
    return Packed(chunks, by_actor, state_hash(actors))


def state_hash(actors: Mapping[Address, ActorState]) -> str:
    """SHA-256 over each address and its canonical state, in the order of the addresses."""
    whole = sha256()
    for address in sorted(actors):
        state = actors[address].state
        # Lengths keep apart what joined bytes would confuse.
        whole.update(f"{len(address)} {len(state)} {address} ".encode())
        whole.update(state)
    return whole.hexdigest()


def describe(
    description: Description, actors: Mapping[Address, ActorState], packed: Packed, size_bytes: int
) -> Manifest:
    """The manifest of packed states, of which `size_bytes` are stored."""
    position = max(actor.position for actor in actors.values())
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
        actors={address: len(actors[address].state) for address in sorted(actors)},
        size_bytes=size_bytes,
        state_hash=packed.state_hash,
    )
    return Manifest(
        view,
        {
            address: ActorManifest(
                actors[address].position,
                actors[address].cursor,
                tuple(name.hex() for name in packed.by_actor[address]),
            )
            for address in sorted(actors)
        },
    )


def encode(manifest: Manifest) -> tuple[bytes, bytes]:
    """The manifest's bytes and their hash."""
    content = msgspec.json.encode(manifest)
    return content, sha256(content).digest()


def decode(name: str, content: bytes, hash_: bytes) -> Manifest:
    """The manifest as it was. Raises CorruptCheckpoint."""
    if sha256(content).digest() != hash_:
        raise CorruptCheckpoint(name, "the manifest is not what its hash says")
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError as error:
        raise CorruptCheckpoint(name, f"the manifest cannot be read: {error}") from error
    if manifest.view.checkpoint != name:
        raise CorruptCheckpoint(name, f"the manifest is that of {manifest.view.checkpoint}")
    return manifest


def compress(content: bytes) -> bytes:
    """A chunk as it is stored."""
    return zlib.compress(content, COMPRESSION)


def unpack(manifest: Manifest, read: Callable[[bytes], bytes | None]) -> dict[Address, ActorState]:
    """All states, proved chunk by chunk and as a whole; `read` gives a stored chunk. Raises CorruptCheckpoint."""
    name = manifest.view.checkpoint
    actors: dict[Address, ActorState] = {}
    for address, actor in manifest.actors.items():
        state = b"".join(_chunk(name, address, chunk, read) for chunk in actor.chunks)
        actors[address] = ActorState(actor.position, actor.cursor, state)
    if state_hash(actors) != manifest.view.state_hash:
        raise CorruptCheckpoint(name, "the states are not what their hash says")
    return actors


def _chunk(checkpoint: str, address: Address, name: str, read: Callable[[bytes], bytes | None]) -> bytes:
    hash_ = bytes.fromhex(name)
    stored = read(hash_)
    if stored is None:
        raise CorruptCheckpoint(checkpoint, f"a chunk of {address} is missing")
    decompressor = zlib.decompressobj()
    try:
        content = decompressor.decompress(stored, CHUNK_BYTES_MAX)
    except zlib.error as error:
        raise CorruptCheckpoint(checkpoint, f"a chunk of {address} cannot be read: {error}") from error
    if sha256(content).digest() != hash_:
        raise CorruptCheckpoint(checkpoint, f"a chunk of {address} is not what its name says")
    return content
