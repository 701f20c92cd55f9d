"""Canonical JSON of a state, in pieces whose borders its content draws.

Rules: joined, the pieces are the state's JSON, with the entries of a dict in the order in which they came: that order
is part of a state (the oldest bid first), and events folded again make it again. Where a piece ends is decided by the
entry that stands there and by nothing before it, so that what did not change lies in pieces that did not change,
whatever was added or taken away elsewhere. A border is the likelier the longer the entry: pieces come out equally long
whatever they are made of. What is small is one piece. States hold no sets: these have no order of their own.

The walk is lazy: who must not hold up others takes a few pieces at a time, while nobody changes the state.

Pure: no clock, no disk.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
WHOLE_PIECES = 2
"""Times the average: what is no longer than that is not cut. To cut it costs ten times what encoding it does."""
RUN_ENTRIES = 32
"""Entries are encoded so many at a time: one call costs what several of them cost. Of long ones it is fewer."""
RUN_BYTES = 16 * 1024
"""That entries of a run come to, as a rule: some ten microseconds."""
_HASHES = 1 << 32

_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines


def canonical(state: object) -> bytes:
    """The state's JSON at once."""
    return _encode(state)


def pieces(state: object, piece_bytes: int = PIECE_BYTES, *, is_small: bool = False) -> Iterator[bytes]:
    """The state's JSON, piece by piece: of so many bytes on average, which is a power of two.

    One that is likely small is encoded at once. The pieces are the same whether it is or not.
    """
    whole = piece_bytes * WHOLE_PIECES
    if is_small and len(content := _encode(state)) <= whole:
        yield content
        return
    first: list[bytes] = []
    size = 0
    for piece in _pieces(state, piece_bytes):
        if size > whole:
            yield piece
            continue
        first.append(piece)
        size += len(piece)
        if size > whole:
            yield from first
    if size <= whole:
        yield b"".join(first)


def _pieces(state: object, piece_bytes: int) -> Iterator[bytes]:
    per_byte, rest = divmod(_HASHES, piece_bytes)
    assert not rest, "a power of two divides the hashes"
    least, most = piece_bytes // 4, piece_bytes * PIECE_BYTES_MAX
    pending: list[bytes] = []
    size = 0
    for run in _runs(state, 0):
        for part in run:
            pending.append(part)
            size += len(part)
            # Whether a border may be here is asked first: it costs a tenth of what asking for the border does.
            if size >= most or (size >= least and crc32(part) < len(part) * per_byte):
                yield from _cut(b"".join(pending), most)
                pending.clear()
                size = 0
    if pending:
        yield from _cut(b"".join(pending), most)


def _cut(piece: bytes, bytes_max: int) -> Iterator[bytes]:
    """One entry may be larger than a piece may be."""
    for start in range(0, len(piece), bytes_max):
        yield piece[start : start + bytes_max]


def _runs(value: object, depth: int) -> Iterator[Sequence[bytes]]:
    """The JSON in parts, at whose ends a border may be, a few at a time."""
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
    yield (_encode(value),)


def _of_struct(value: msgspec.Struct, depth: int) -> Iterator[Sequence[bytes]]:
    before = b"{"
    for name, encoded in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True):
        yield (b"%b%b:" % (before, _encode(encoded)),)
        yield from _runs(getattr(value, name), depth + 1)
        before = b","
    yield (b"}" if before == b"," else b"{}",)


def _of_dict(value: Mapping[object, object], depth: int) -> Iterator[Sequence[bytes]]:
    before = b"{"
    if len(value) <= ENTRIES_WHOLE:
        for key, entry in value.items():
            yield (b"%b%b:" % (before, _encode({key: 0})[1:-3]),)
            yield from _runs(entry, depth + 1)
            before = b","
    else:
        for lines in _lines({key: entry} for key, entry in value.items()):
            yield [before + lines[0][1:-1], *[b"," + line[1:-1] for line in lines[1:]]]
            before = b","
    yield (b"}",)


def _of_list(value: Sequence[object]) -> Iterator[Sequence[bytes]]:
    before = b"["
    if isinstance(value[0], int | float | str):
        entries = iter(value)
        while some := list(islice(entries, RUN_ENTRIES)):
            yield (before + _encode(some)[1:-1],)
            before = b","
    else:
        for lines in _lines(value):
            yield [before + lines[0], *[b"," + line for line in lines[1:]]]
            before = b","
    yield (b"]",)


def _lines(values: Iterable[object]) -> Iterator[list[bytes]]:
    """The JSON of each value, a run at a time."""
    entries = iter(values)
    count = 1
    while some := list(islice(entries, count)):
        encoded = _encode_lines(some)
        lines = encoded.split(b"\n")[:-1]
        if len(lines) != len(some):  # JSON that came as it stands may have line breaks in it
            lines = [_encode(value) for value in some]
        yield lines
        count = max(1, min(RUN_ENTRIES, RUN_BYTES * count // len(encoded)))


def _is_plain(kind: type[msgspec.Struct]) -> bool:
    """Whether its JSON is an object of all its fields and nothing else."""
    config = kind.__struct_config__
    return config.tag is None and not config.array_like and not config.omit_defaults
