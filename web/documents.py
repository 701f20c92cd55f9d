"""The JSON documents that endpoints and the live socket give where they are more than one message, as types.

They describe what is built elsewhere, often from bytes that are encoded already; the OpenAPI and AsyncAPI documents are
made of them, and tests hold every answer and frame to them.
"""

from typing import Literal

import msgspec

from bus.messages.base import Microseconds, Position
from bus.messages.monitor import Alert
from bus.messages.system import JournalView
from web.auth import Scope
from web.frames import Limits
from web.wire import WireEvent

Object = dict[str, msgspec.Raw]
"""A JSON object whose keys are ids, or which a release may extend."""


class Problem(msgspec.Struct, frozen=True):
    """What went wrong, after RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    """The stable name of the refusal."""
    retryable: bool
    """Whether the same request, with the same key, may succeed later."""
    path: str | msgspec.UnsetType = msgspec.UNSET
    """The field that is wrong."""


class StateDocument(msgspec.Struct, frozen=True):
    """The whole at a glance. Each part has the position of its last change."""

    epoch: int
    now_us: Microseconds
    position: Position
    agents: Object
    tasks: Object
    artifacts: Object
    balances: Object
    router: Object
    spend: Object
    alerts: Object


class EventsDocument(msgspec.Struct, frozen=True):
    """A page of events."""

    events: tuple[WireEvent, ...]
    scanned: Position
    """The last position that was looked at."""
    head: Position
    """The last that was durable; of a search, the last up to which all was indexed: later ones may be missing."""
    epoch: int
    next: Position | None
    """Where the next page begins, as `before` or, when reading forward, as `after`."""


class ChainDocument(msgspec.Struct, frozen=True):
    """An event with its causes, the nearest first, and its effects."""

    event: WireEvent
    causes: tuple[WireEvent, ...]
    effects: tuple[WireEvent, ...]
    is_whole: bool
    head: Position


class TransfersDocument(msgspec.Struct, frozen=True):
    """A page of transfers, each as the fields of its event with `state`, `position` and `time`."""

    transfers: tuple[Object, ...]
    next: Position | None
    head: Position


class Halted(msgspec.Struct, frozen=True):
    """Why all is halted, and by whom; empty when it is not."""

    reason: str
    by: str


class FeedDocument(msgspec.Struct, frozen=True):
    """The live feed."""

    sockets: int
    sockets_max: int
    head: Position
    events_cached: int
    bytes_cached: int


class SystemDocument(msgspec.Struct, frozen=True):
    """The journal, the feed, what is wrong, and all actors."""

    epoch: int
    journal: JournalView
    feed: FeedDocument
    complaints: tuple[str, ...]
    is_halted: bool
    halted: Halted
    alerts: tuple[Alert, ...]
    actors: tuple[Object, ...]


class HealthDocument(msgspec.Struct, frozen=True):
    """The process answers."""

    ok: bool


class ReadyDocument(msgspec.Struct, frozen=True):
    """Whether work can be done, and what is in the way."""

    ready: bool
    reasons: tuple[str, ...]
    storage: Object


class SessionDocument(msgspec.Struct, frozen=True):
    """Who asks, and what the principal may do."""

    principal: str
    scopes: tuple[Scope, ...]


class LinkDocument(msgspec.Struct, frozen=True):
    """A link that opens the page once."""

    link: str


class TokenDocument(msgspec.Struct, frozen=True):
    """A token, without its secret."""

    name: str
    agent: str
    scopes: tuple[Scope, ...]


class IssuedToken(TokenDocument, frozen=True, kw_only=True):
    """A token with its secret, which is shown once."""

    token: str


class TokensDocument(msgspec.Struct, frozen=True):
    """All tokens that are good."""

    tokens: tuple[TokenDocument, ...]


class RevokedDocument(msgspec.Struct, frozen=True):
    """A token that is good no more."""

    name: str
    revoked: bool


class OpenAiErrorBody(msgspec.Struct, frozen=True):
    """What went wrong, in OpenAI's dialect."""

    message: str
    type: str
    code: str
    param: str | None


class OpenAiError(msgspec.Struct, frozen=True):
    """A refusal, in OpenAI's dialect."""

    error: OpenAiErrorBody


class AnthropicErrorBody(msgspec.Struct, frozen=True):
    """What went wrong, in Anthropic's dialect."""

    type: str
    message: str


class AnthropicError(msgspec.Struct, frozen=True):
    """A refusal, in Anthropic's dialect."""

    type: Literal["error"]
    error: AnthropicErrorBody


class ModelDocument(msgspec.Struct, frozen=True):
    """A model, in OpenAI's dialect."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelsDocument(msgspec.Struct, frozen=True):
    """All models, in OpenAI's dialect."""

    object: Literal["list"]
    data: tuple[ModelDocument, ...]


# The frames of the live socket.


class WelcomeResult(msgspec.Struct, frozen=True):
    """What a client is told first."""

    epoch: int
    head: Position
    oldest: Position
    principal: str
    scopes: tuple[Scope, ...]
    limits: Limits


class WelcomeFrame(msgspec.Struct, frozen=True):
    """The answer to `hello`."""

    t: Literal["welcome"]
    id: int | str
    result: WelcomeResult


class ResultFrame(msgspec.Struct, frozen=True):
    """The answer to a request."""

    id: int | str
    result: msgspec.Raw


class ErrorData(msgspec.Struct, frozen=True):
    """What a program does with an error."""

    retryable: bool
    path: str | msgspec.UnsetType = msgspec.UNSET
    retry_after_s: float | msgspec.UnsetType = msgspec.UNSET


class ErrorBody(msgspec.Struct, frozen=True):
    """What went wrong: the stable code, and words."""

    code: str
    message: str
    data: ErrorData


class ErrorFrame(msgspec.Struct, frozen=True):
    """The refusal of a request."""

    id: int | str
    error: ErrorBody


class BatchFrame(msgspec.Struct, frozen=True):
    """Events of a subscription. All positions from `first` to `last` were looked at, so that a gap can be seen."""

    t: Literal["batch"]
    sub: str
    first: Position
    last: Position
    events: tuple[WireEvent, ...]


class StateFrame(msgspec.Struct, frozen=True):
    """The whole state."""

    t: Literal["state"]
    sub: str
    epoch: int
    position: Position
    state: StateDocument


class ChangeFrame(msgspec.Struct, frozen=True):
    """What changed since the state that the client has, as a merge patch (RFC 7396)."""

    t: Literal["change"]
    sub: str
    position: Position
    patch: Object


class GapFrame(msgspec.Struct, frozen=True):
    """Positions that are not sent, and why. Both ends are missing."""

    t: Literal["gap"]
    sub: str
    first: Position = msgspec.field(name="from")
    last: Position = msgspec.field(name="to")
    reason: Literal["pruned", "conflated"]


class LagFrame(msgspec.Struct, frozen=True):
    """The subscription is behind; said once until it has caught up."""

    t: Literal["lag"]
    sub: str
    behind: int


class BeatFrame(msgspec.Struct, frozen=True):
    """The connection lives."""

    t: Literal["beat"]
    head: Position
    now_us: Microseconds
    complaints: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    """Why the server is not ready, one line each; left out while it is."""


class ByeFrame(msgspec.Struct, frozen=True):
    """The session ends; another try may be made after `retry_ms`."""

    t: Literal["bye"]
    reason: str
    retry_ms: int


SERVER_FRAMES = (
    WelcomeFrame,
    ResultFrame,
    ErrorFrame,
    BatchFrame,
    StateFrame,
    ChangeFrame,
    GapFrame,
    LagFrame,
    BeatFrame,
    ByeFrame,
)
