"""Canonical JSON of a state, in pieces whose borders its content draws.

Rules: joined, the pieces are the state's JSON, with the entries of a dict in the order in which they came: that order
is part of a state (the oldest bid first), and events folded again make it again. Where a piece ends is decided by the
entry that stands there and by nothing before it, so that what did not change lies in pieces that did not change,
whatever was added or taken away elsewhere. A border is the likelier the longer the entry: pieces come out equally long
whatever they are made of. States hold no sets: these have no order of their own.

The walk is lazy: who must not hold up others takes a few pieces at a time, while nobody changes the state.

Pure: no clock, no disk.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from zlib import crc32

import msgspec

PIECE_BYTES = 8 * 1024
"""On average. A hash of 32 bytes for each is little beside it, and one change rewrites little."""
PIECE_BYTES_MAX = 8
"""Times the average, where no border came by itself."""
ENTRIES_WHOLE = 16
"""A dict or list of no more entries is looked into; the entries of a longer one are encoded whole."""
DEPTH_MAX = 6
RUN_ENTRIES = 32
"""Numbers and short texts of a list are taken so many at a time."""
_HASHES = 1 << 32

_encode = msgspec.json.Encoder().encode


def canonical(state: object) -> bytes:
    """The state's JSON at once."""
    return _encode(state)


def pieces(state: object, piece_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
    """The state's JSON, piece by piece."""
    pending = bytearray()
    for part in _parts(state, 0):
        pending += part
        is_border = crc32(part) * piece_bytes < len(part) * _HASHES
        if (is_border and len(pending) >= piece_bytes // 4) or len(pending) >= piece_bytes * PIECE_BYTES_MAX:
            yield from _cut(pending, piece_bytes * PIECE_BYTES_MAX)
            pending.clear()
    if pending:
        yield from _cut(pending, piece_bytes * PIECE_BYTES_MAX)


def _cut(piece: bytearray, bytes_max: int) -> Iterator[bytes]:
    """One entry may be larger than a piece may be."""
    for start in range(0, len(piece), bytes_max):
        yield bytes(piece[start : start + bytes_max])


def _parts(value: object, depth: int) -> Iterator[bytes]:
    if depth < DEPTH_MAX:
        if isinstance(value, msgspec.Struct) and _is_plain(type(value)):
            yield from _of_struct(value, depth)
            return
        if isinstance(value, dict) and value:
            yield from _of_dict(value, depth)
            return
        if isinstance(value, list | tuple) and len(value) > ENTRIES_WHOLE:
            yield from _of_list(value)
            return
    yield _encode(value)


def _of_struct(value: msgspec.Struct, depth: int) -> Iterator[bytes]:
    before = b"{"
    for name, encoded in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True):
        yield b"%b%b:" % (before, _encode(encoded))
        yield from _parts(getattr(value, name), depth + 1)
        before = b","
    yield b"}" if before == b"," else b"{}"


def _of_dict(value: Mapping[object, object], depth: int) -> Iterator[bytes]:
    before = b"{"
    if len(value) <= ENTRIES_WHOLE:
        for key, entry in value.items():
            yield b"%b%b:" % (before, _encode({key: 0})[1:-3])
            yield from _parts(entry, depth + 1)
            before = b","
    else:
        for key, entry in value.items():
            yield before + _encode({key: entry})[1:-1]
            before = b","
    yield b"}"


def _of_list(value: Sequence[object]) -> Iterator[bytes]:
    before = b"["
    is_short = isinstance(value[0], int | float | str)
    entries = iter(value)
    while some := list(islice(entries, RUN_ENTRIES if is_short else 1)):
        yield before + _encode(some)[1:-1]
        before = b","
    yield b"]"


def _is_plain(kind: type[msgspec.Struct]) -> bool:
    """Whether its JSON is an object of all its fields and nothing else."""
    config = kind.__struct_config__
    return config.tag is None and not config.array_like and not config.omit_defaults
