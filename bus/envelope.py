"""What a message travels in, and the shapes in which events are recorded.

`after` is the highest position that an envelope's content may rest on: edges let nothing out before the journal's
watermark has passed it. `cause` is the position of the event that led to this message, `correlation` the name of the
whole conversation, `hops` how often it was passed on, and `chain` who is waiting for the answer.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

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


class Envelope(msgspec.Struct, gc=False):
    """A message on its way. Mutable only for speed of construction; nobody changes one that was sent.

    The garbage collector does not look at envelopes: they point to nothing that points back at them, and a full
    mailbox would be gone through again and again.
    """

    message: Message
    sender: Address = NOBODY
    after: Position = Position(0)
    cause: Position = Position(0)
    correlation: str = ""
    deadline: float = 0.0
    """Monotonic seconds; 0 means none."""
    hops: int = 0
    chain: tuple[Address, ...] = ()
    reply_to: Callable[[Outcome], None] | None = None
    position: Position = Position(0)
    """The position of the event that this envelope delivers, or 0 for a message that is not a recorded event."""


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


EncodedEvent = tuple[Position, int, str, int, str, str, str, str, str, str, Position, Position, bytes, bytes | None]
"""An event that is ready for its row, in a `StoredEvent`'s order, the hash excepted. A tuple, for the burst's sake."""


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """A committed event as it stands in the journal and as it goes to sockets: the bytes are shared."""

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
