"""A page of events that SQLite hands over in one step, column by column.

A row at a time would let go of the interpreter for every row and wait for it again, which beside a busy loop costs more
than the whole query. Numbers come as texts joined by commas, texts as JSON, and bytes one after another with their
lengths beside them, so that every byte comes out as it is stored.

Pure: no clock, no disk.
"""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from bus.envelope import StoredEvent
from bus.messages.base import Position

HASH_BYTES = 32


class Numbers(msgspec.Struct, frozen=True, array_like=True):
    """The columns that hold numbers."""

    position: list[Position]
    time_us: list[int]
    version: list[int]
    cause: list[Position]
    cursor: list[Position]
    data_lengths: list[int]
    sealed_lengths: list[int]
    """-1 where there is nothing."""


class Texts(msgspec.Struct, frozen=True, array_like=True):
    """The columns that hold text."""

    type: list[str]
    source: list[str]
    subject: list[str]
    task: list[str]
    agent: list[str]
    run: list[str]
    correlation: list[str]


class OwnNumbers(msgspec.Struct, frozen=True, array_like=True):
    """The columns that hold numbers, of a source's own events."""

    type: list[int]
    version: list[int]
    data_lengths: list[int]
    sealed_lengths: list[int]
    """-1 where there is nothing."""


_own_numbers = msgspec.json.Decoder(OwnNumbers).decode
_numbers = msgspec.json.Decoder(Numbers).decode
_texts = msgspec.json.Decoder(Texts).decode


def events_of(
    numbers: str,
    texts: str,
    data: bytes | None,
    sealed: bytes | None,
    hashes: str,
    *,
    opened: Callable[[bytes], bytes] | None = None,
) -> list[StoredEvent]:
    """The rows of a page, their data `opened` where that is given.

    Raises ValueError where something else stands in a column than belongs there.
    """
    try:
        ints, words = _numbers(numbers), _texts(texts)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    digests = bytes.fromhex(hashes)
    cut = _cut(data or b"", ints.data_lengths)
    rows = zip(
        ints.position,
        ints.time_us,
        words.type,
        ints.version,
        words.source,
        words.subject,
        words.task,
        words.agent,
        words.run,
        words.correlation,
        ints.cause,
        ints.cursor,
        cut if opened is None else map(opened, cut),
        _cut_sealed(sealed or b"", ints.sealed_lengths),
        _cut(digests, [HASH_BYTES] * len(ints.position)),
        strict=True,
    )
    return [StoredEvent(*row) for row in rows]


def own_of(numbers: str, data: bytes, sealed: bytes | None) -> Iterator[tuple[int, int, bytes, bytes | None]]:
    """Type, version and fields of each row of a batch. Raises ValueError as `events_of`."""
    try:
        ints = _own_numbers(numbers)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    public = _cut(data, ints.data_lengths)
    secret = [None] * len(public) if sealed is None else _cut_sealed(sealed, ints.sealed_lengths)
    return zip(ints.type, ints.version, public, secret, strict=True)


def _cut(content: bytes, lengths: Sequence[int]) -> list[bytes]:
    found: list[bytes] = []
    start = 0
    for length in lengths:
        found.append(content[start : start + length])
        start += length
    return found


def _cut_sealed(content: bytes, lengths: Sequence[int]) -> list[bytes | None]:
    cut = _cut(content, [max(0, length) for length in lengths])
    return [part if length >= 0 else None for part, length in zip(cut, lengths, strict=True)]
