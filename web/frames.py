"""The words of the live socket: what clients send, what a session wants done, its bounds and close codes.

Plain data; the rules are in `web/protocol.py`.
"""

from typing import Annotated, Literal

import msgspec

from bus.address import Address
from bus.messages.base import Message, Microseconds, Position, Request
from bus.messages.memory import Audience
from web.gateway import ASK_TIMEOUT_S
from web.wire import Filter

SUBPROTOCOL = "agora.v1"

NORMAL = 1000
PROTOCOL = 4400
UNAUTHENTICATED = 4401
FORBIDDEN = 4403
NO_HELLO = 4408
STALE = 4409
RATE = 4429
TOO_SLOW = 4008
RESTART = 4012

LAST_MAX = 10_000
"""How far back `from: {"last": n}` may reach."""
NAME_MAX = 64


class Limits(msgspec.Struct, frozen=True):
    """The bounds of a session, told in the welcome."""

    frame_bytes: int = 64 * 1024
    subscriptions: int = 16
    batch_events: int = 512
    batch_bytes: int = 256 * 1024
    commands_in_flight: int = 16
    frames_per_s: float = 50.0
    frames_burst: int = 200
    hello_s: float = 5.0
    beat_s: float = 5.0
    stall_s: float = 30.0


# Outputs: what the shell is to do.


class Send(msgspec.Struct, frozen=True):
    """Send a text frame."""

    text: str


class Close(msgspec.Struct, frozen=True):
    """Send what is queued, then close."""

    code: int
    reason: str


class Identify(msgspec.Struct, frozen=True):
    """Find out who the client is; an empty token asks who it is without one. Answer with `identified`."""

    token: str


class Ask(msgspec.Struct, frozen=True):
    """Ask an actor. Answer with `answered` or `refused`."""

    id: int | str
    to: Address
    request: Request[Message]
    timeout_s: float = ASK_TIMEOUT_S


class ShowState(msgspec.Struct, frozen=True):
    """Answer with the state of now."""

    id: int | str


class Locate(msgspec.Struct, frozen=True):
    """Find the first event at or after a time, or the end of the journal. Answer with `located` or `refused`."""

    id: int | str
    time_us: int


Output = Send | Close | Identify | Ask | ShowState | Locate


# What is due to be sent to the client, beside answers.


class Subscription(msgspec.Struct, eq=False):
    """One of the client's. `next` is the next position to scan; for the state, the position that the client has."""

    name: str
    wanted: Filter | None
    """None is the state."""
    next: Position
    is_conflating: bool = False
    is_behind: bool = False
    """Whether it has been told so; what starts in the past is not told at all until it was at the head once."""
    is_shared: bool = False
    """Whether it is a cohort's: then only the tick moves it, for all of them at once."""


class ReadRing(msgspec.Struct, frozen=True):
    """Send a batch from the ring, then say `scanned`."""

    subscription: Subscription
    wanted: Filter
    first: Position
    last: Position


class ReadStorage(msgspec.Struct, frozen=True):
    """Send a batch from storage, then say `scanned`."""

    subscription: Subscription
    wanted: Filter
    first: Position


class ReadState(msgspec.Struct, frozen=True):
    """Send the state, whole when `after` is -1, else what changed since; then say `scanned`."""

    subscription: Subscription
    after: int


Due = Send | ReadRing | ReadStorage | ReadState


class Horizon(msgspec.Struct, frozen=True):
    """What there is to read: committed up to `head`, in memory from `ring_first`, at all from `oldest`."""

    head: Position
    ring_first: Position
    oldest: Position


# Frames.


class Frame(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client sends."""

    id: int | str
    method: str
    params: msgspec.Raw = msgspec.Raw(b"{}")
    idem: str = ""


class Resume(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a client wants to go on."""

    epoch: int
    position: int


class Hello(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `hello`."""

    token: str = ""
    resume: Resume | None = None
    client: str = ""


class FilterParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The filter of `subscribe`; `type` is one pattern or several."""

    task: str = ""
    agent: str = ""
    source: str = ""
    run: str = ""
    correlation: str = ""
    type: str | tuple[str, ...] = ()


class From(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a subscription begins: `last` n events, after a `position` of an `epoch`, or at a `time` (RFC 3339)."""

    last: int | None = None
    time: str | None = None
    position: int | None = None
    epoch: int | None = None


class Subscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `subscribe`."""

    sub: str
    topics: str | tuple[str, ...] = ("#",)
    filter: FilterParams = FilterParams()
    start: Literal["head"] | From | None = msgspec.field(default=None, name="from")
    policy: Literal["lossless", "conflate"] = "lossless"


class Unsubscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `unsubscribe`."""

    sub: str


class Cancel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `task.cancel`."""

    task: str
    reason: str = ""


class Decide(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `approval.decide`."""

    proposal: str
    hash: str
    decision: Literal["approve", "reject"]
    reason: str
    version: int = 0


class Halt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `system.halt`."""

    reason: str = ""


class NewCheckpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `checkpoint.create`."""

    label: str = ""


class StayingCheckpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `checkpoint.pin`."""

    checkpoint: str
    pinned: bool = True


class KeptCheckpoints(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `checkpoint.prune`: how many stay beside the pinned ones."""

    keep: Annotated[int, msgspec.Meta(ge=1)]


class OneCheckpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `checkpoint.verify`."""

    checkpoint: str = "newest"


class TwoCheckpoints(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `checkpoint.diff`."""

    checkpoint: str
    to: str = "newest"


class EndTrigger(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `trigger.cancel`."""

    trigger: str


class EndSchedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `schedule.cancel`."""

    schedule: str


class NewFact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `memory.remember`."""

    subject: str
    text: str
    audience: Audience = "everyone"
    readers: tuple[str, ...] = ()
    valid_from_us: Microseconds = 0
    valid_to_us: Microseconds = 0
    task: str = ""


class BetterFact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `memory.correct`."""

    fact: str
    text: str
    reason: str = ""
    valid_from_us: Microseconds = 0
    valid_to_us: Microseconds = 0


class PastFact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `memory.end`."""

    fact: str
    reason: str = ""


class Look(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `query`: what to look at, and for some of them which."""

    what: Literal[
        "state", "events", "task", "tasks", "balances", "router", "schedules", "memory", "checkpoints", "triggers"
    ]
    task: str = ""
    agent: str = ""
    source: str = ""
    types: tuple[str, ...] = ()
    run: str = ""
    correlation: str = ""
    after: int = 0
    before: int = 0
    limit: int = 50
    words: str = ""
    """What is looked for in the memory; without any it is listed."""


class Empty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""
