"""A page of events that SQLite hands over in one step, column by column.

A row at a time would let go of the interpreter for every row and wait for it again, which beside a busy loop costs more
than the whole query. Numbers come as texts joined by commas, texts as JSON, and bytes one after another with their
lengths beside them, so that every byte comes out as it is stored.

Pure: no clock, no disk.
"""

from collections.abc import Callable, Iterator, Sequence
from io import BytesIO

import msgspec

from bus.envelope import StoredEvent
from bus.messages.base import Position
from storage.boxes import PREFIX

HASH_BYTES = 32

Cells = tuple[str, str, bytes | None, bytes | None, str]
"""Numbers, texts, data, sealed fields and hashes of a page: the one row of `queries.select_in_columns`."""
Name = Callable[[int], str]
"""What an id stands for."""


class Numbers(msgspec.Struct, frozen=True, array_like=True):
    """The columns that hold numbers."""

    position: list[Position]
    time_us: list[int]
    type: list[int]
    version: list[int]
    source: list[int]
    cause: list[Position]
    cursor: list[Position]
    data_lengths: list[int]
    sealed_lengths: list[int]
    """-1 where there is nothing."""


class Texts(msgspec.Struct, frozen=True, array_like=True):
    """The columns that hold text."""

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
    cells: Cells, types: Name, sources: Name, *, opened: Callable[[bytes], bytes] | None = None
) -> list[StoredEvent]:
    """The rows of a page; data in a box are `opened` where that is given.

    Raises ValueError where something else stands in a column than belongs there.
    """
    numbers, texts, data, sealed, hashes = cells
    try:
        ints, words = _numbers(numbers), _texts(texts)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    count = len(ints.position)
    cut = _cut(data or b"", ints.data_lengths)
    columns = (
        ints.position,
        ints.time_us,
        list(map(types, ints.type)),
        ints.version,
        list(map(sources, ints.source)),
        words.subject,
        words.task,
        words.agent,
        words.run,
        words.correlation,
        ints.cause,
        ints.cursor,
        cut if opened is None else [opened(part) if part.startswith(PREFIX) else part for part in cut],
        [None] * count if sealed is None else _cut_sealed(sealed, ints.sealed_lengths),
        _cut(bytes.fromhex(hashes), [HASH_BYTES] * count),
    )
    if any(len(column) != count for column in columns):
        raise ValueError("a column has more rows than another")
    return list(map(StoredEvent, *columns))


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
    return list(map(BytesIO(content).read, lengths))


def _cut_sealed(content: bytes, lengths: Sequence[int]) -> list[bytes | None]:
    read = BytesIO(content).read
    return [read(length) if length >= 0 else None for length in lengths]
