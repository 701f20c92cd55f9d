"""A journal as JSON Lines: one line says what it is, one per blob and one per event, in order.

Where old events were pruned, what they have left comes first: the segments that they were in, their kept rows, and the
checkpoint that stands for them.

Rules: an event's fields stand in its line to the byte, with its hash, so that a journal that is read from the lines has
the same rows as the one that was written to them. Personal text stands in plain words, with the box and the key that it
has in the journal beside it; where it was redacted there are a marker and a box that nothing opens. Sealed fields are
left out unless they are asked for; what lacks them can be looked at and not be gone on from. What cannot be read is
told by its line, every time: nothing is passed over in silence, and nothing is taken that follows a gap.

Pure but for reading the lines themselves.
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import islice
from typing import BinaryIO

import msgspec

from bus.address import Address
from bus.envelope import EncodedEvent, StoredEvent
from bus.messages.base import BlobId, Position
from storage import boxes
from storage.beginnings import Beginning
from storage.checkpoints import Checkpoint
from storage.manifests import Description

FORMAT = 1
LINES_AT_A_TIME = 500
LINE_BYTES_MAX = 64 * 1024 * 1024
"""The largest blob there can be, as text; a longer line is no line of ours."""


class Head(msgspec.Struct, frozen=True, tag_field="agora", tag="journal"):
    """The first line."""

    format: int
    epoch: int
    head: Position
    """The last event when the lines were begun; a mirror goes on."""
    has_sealed: bool


class PrunedLine(msgspec.Struct, frozen=True, tag_field="agora", tag="pruned"):
    """The second line where old events were pruned: what they have left. Their kept rows follow, and a checkpoint."""

    beginning: Beginning


class CheckpointLine(msgspec.Struct, frozen=True, tag_field="agora", tag="checkpoint"):
    """What stands for the pruned events; as many states follow."""

    checkpoint: str
    description: Description
    state_hash: str
    states: int


class StateLine(msgspec.Struct, frozen=True, tag_field="agora", tag="state"):
    """An actor's state in that checkpoint."""

    address: Address
    position: Position
    cursor: Position
    state: msgspec.Raw
    follows: bool = False


class BlobLine(msgspec.Struct, frozen=True):
    """A blob and its name."""

    blob: BlobId
    content: bytes


_NONE = msgspec.Raw()


class EventLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event as it stands in its row."""

    position: Position
    time_us: int
    type: str
    version: int
    source: str
    data: msgspec.Raw
    hash: str
    subject: str = ""
    task: str = ""
    agent: str = ""
    run: str = ""
    correlation: str = ""
    cause: Position = Position(0)
    cursor: Position = Position(0)
    sealed: msgspec.Raw = _NONE
    is_sealed: bool = False
    """Whether it has fields that are not told here."""
    stored: msgspec.Raw = _NONE
    """The data as they stand in the row, where personal text of theirs is in a box."""
    key: bytes = b""
    """What opens the box; empty where it was destroyed."""


class Broken(msgspec.Struct, frozen=True):
    """A line that cannot be read."""

    line: int
    reason: str
    is_blob: bool = False


About = Head | PrunedLine | CheckpointLine | StateLine
"""What a line can say that tells of no event and no blob."""
Line = About | BlobLine | EventLine | Broken

_encode = msgspec.json.Encoder().encode
_ABOUT, _BLOB = msgspec.json.Decoder(About), msgspec.json.Decoder(BlobLine)
_EVENT = msgspec.json.Decoder(EventLine)


def head_line(epoch: int, head: Position, *, has_sealed: bool) -> bytes:
    """The first line."""
    return _encode(Head(FORMAT, epoch, head, has_sealed)) + b"\n"


def pruned_line(beginning: Beginning) -> bytes:
    """The line of what was pruned."""
    return _encode(PrunedLine(beginning)) + b"\n"


def checkpoint_lines(checkpoint: Checkpoint) -> list[bytes]:
    """The lines of a checkpoint that stands for pruned events."""
    view = checkpoint.view
    first = CheckpointLine(view.checkpoint, Description.of(view), view.state_hash, len(checkpoint.actors))
    states = [
        StateLine(address, state.position, state.cursor, msgspec.Raw(state.state), state.follows)
        for address, state in checkpoint.actors.items()
    ]
    return [_encode(line) + b"\n" for line in (first, *states)]


def blob_line(blob: BlobId, content: bytes) -> bytes:
    """A blob's line."""
    return _encode(BlobLine(blob, content)) + b"\n"


def event_line(event: StoredEvent, *, has_sealed: bool, key: bytes | None = None) -> bytes:
    """An event's line; `key` opens its personal text."""
    is_boxed = boxes.has_box(event.data)
    line = EventLine(
        position=event.position,
        time_us=event.time_us,
        type=event.type,
        version=event.version,
        source=event.source,
        data=msgspec.Raw(boxes.opened(event.data, key) if is_boxed else event.data),
        hash=event.hash.hex(),
        subject=event.subject,
        task=event.task,
        agent=event.agent,
        run=event.run,
        correlation=event.correlation,
        cause=event.cause,
        cursor=event.cursor,
        sealed=msgspec.Raw(event.sealed) if has_sealed and event.sealed is not None else _NONE,
        is_sealed=event.sealed is not None and not has_sealed,
        stored=msgspec.Raw(event.data) if is_boxed else _NONE,
        key=key or b"",
    )
    return _encode(line) + b"\n"


def keys_of(lines: Iterable[EventLine]) -> dict[int, bytes]:
    """The keys of personal text that lines tell, by number."""
    return {boxes.key_number(bytes(line.stored)): line.key for line in lines if line.key and bytes(line.stored)}


def row_of(line: EventLine) -> EncodedEvent:
    """The row without its hash."""
    return (
        line.position,
        line.time_us,
        line.type,
        line.version,
        line.source,
        line.subject,
        line.task,
        line.agent,
        line.run,
        line.correlation,
        line.cause,
        line.cursor,
        bytes(line.stored) or bytes(line.data),
        bytes(line.sealed) or None,
    )


class Lines:
    """The lines of a file, some at a time. Blocking: for a thread."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lines = self._each()

    def some(self) -> list[tuple[int, Line]]:
        """The next lines with their numbers from 1; none at the end."""
        return list(islice(self._lines, LINES_AT_A_TIME))

    def _each(self) -> Iterator[tuple[int, Line]]:
        number = 0
        while text := self._file.readline(LINE_BYTES_MAX):
            number += 1
            if text.strip():
                yield number, _parsed(number, text)


def _parsed(number: int, text: bytes) -> Line:
    try:
        if text.startswith(b'{"agora":'):
            about: About = _ABOUT.decode(text)
            return about
        if text.startswith(b'{"blob":'):
            blob = _BLOB.decode(text)
            is_itself = sha256(blob.content).hexdigest() == blob.blob
            return blob if is_itself else Broken(number, "the blob is not what its name says", is_blob=True)
        return _EVENT.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        torn = "" if text.endswith(b"\n") else "the line is torn: "
        return Broken(number, f"{torn}{error}", is_blob=text.startswith(b'{"blob":'))
