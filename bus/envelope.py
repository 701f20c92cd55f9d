"""What a message travels in, and the shapes in which events are recorded.

An envelope is a message and its origin: who sends it, what it rests on, what led to it, who waits for an answer. One
turn of an actor tells many messages, and all of that is the same for each of them; so an origin is made once and shared
and a further message costs a pair. An ask has an origin of its own.
"""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

import msgspec

from bus.address import NOBODY, Address
from bus.errors import AgoraError
from bus.messages.base import Event, Message, Position

HOPS_MAX = 256
"""An honest chain through a whole task, retries included, is under a hundred; what goes on longer feeds itself."""

M = TypeVar("M", bound=Message, covariant=True)


class Answer(msgspec.Struct, Generic[M], frozen=True):
    """A reply with what it rests on. `position` is that of the first event that the request caused, or 0."""

    message: M
    position: Position
    after: Position


class Failure(msgspec.Struct, frozen=True):
    """A request that ended in an error; it may rest on uncommitted events too."""

    error: AgoraError
    after: Position


Outcome = Answer[Message] | Failure


class Origin(msgspec.Struct, frozen=True):
    """Where messages come from, and what goes for all of them.

    The garbage collector looks at that of an ask alone, since only its parts can lead back to it: who takes the answer
    keeps it, an answer may be an error, and an error keeps the frames that it came through, with all that they hold.
    """

    sender: Address = NOBODY
    after: Position = Position(0)
    """The highest position that the content may rest on: edges let nothing out before the watermark has passed it."""
    cause: Position = Position(0)
    """The position of the event that led to this, or 0."""
    correlation: str = ""
    """The name of the whole conversation."""
    hops: int = 0
    """How often it was passed on."""
    position: Position = Position(0)
    """The position of the event that is delivered, or 0 for a message that is not a recorded event."""
    reply_to: Callable[[Outcome], None] | None = None
    """Takes the answer to an ask."""
    deadline: float = 0.0
    """Until when an ask waits, in monotonic seconds; 0 means that nobody waits."""
    chain: tuple[Address, ...] = ()
    """Who waits for the answer to an ask: whoever asked, and whoever asked them."""


Envelope = tuple[Message, Origin]
"""A message on its way. A bare pair, since nothing else is as cheap to make, to keep and to open."""


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """An event with its place in the timeline, as actors see it; it may not be committed yet."""

    event: Event
    position: Position
    time_us: int
    source: Address
    cause: Position
    correlation: str
    cursor: Position
    """The position of the last fact that the source had processed from its durable subscriptions."""


class OwnEvents(msgspec.Struct, frozen=True, gc=False):
    """Some events of one source in a row, as it folds them again: there may be a million, and it needs no more."""

    events: list[Event]
    position: Position
    """That of the last."""
    cursor: Position
    """The position of the last fact that the source had processed when it recorded the last."""


EncodedEvent = tuple[Position, int, str, int, str, str, str, str, str, str, Position, Position, bytes, bytes | None]
"""An event that is ready for its row, in a `StoredEvent`'s order, the hash excepted. A tuple, for the burst's sake."""
TYPE_FIELD: Final = 2
DATA_FIELD: Final = 12
"""Where these stand in it."""


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as it stands in the journal and as it goes to sockets, once it is committed: the bytes are shared."""

    position: Position
    time_us: int
    type: str
    version: int
    source: str
    subject: str
    task: str
    agent: str
    run: str
    correlation: str
    cause: Position
    cursor: Position
    data: bytes
    """The event's fields as JSON, without the sealed ones."""
    sealed: bytes | None
    """The sealed fields as JSON. Never leaves the process."""
    hash: bytes
    """SHA-256 over the stored bytes and the hash before it on the same chain (32 bytes)."""


class Batch(msgspec.Struct, frozen=True):
    """Events that become durable together, all or none."""

    events: list[StoredEvent] = []
    columns: list[int | str | bytearray] = []
    """What stands in their rows, one row after another, where the writer makes them ahead."""
