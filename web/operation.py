"""What an endpoint is for, what it takes and what it gives: said once, beside its handler.

From it come the OpenAPI document and the README's table; tests hold every answer to it.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from bus.messages.system import EVENTS_LIMIT_MAX
from web.auth import Scope
from web.parameters import INTEGER_MAX, TEXT_MAX

F = TypeVar("F", bound=Callable[..., object])

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"
JSON_LINES: Final = "application/x-ndjson"
TEXT: Final = "text/plain"
TABLES: Final = ("text/csv", JSON_LINES)

Text = Annotated[str, msgspec.Meta(max_length=TEXT_MAX)]
PositionText = Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX)]
Format = Literal["csv", "jsonl"]
Limit = Annotated[int, msgspec.Meta(ge=1, le=EVENTS_LIMIT_MAX)]
Time = Annotated[str, msgspec.Meta(description="RFC 3339 with a time zone, or microseconds since 1970.")]
Patterns = Annotated[str, msgspec.Meta(description="An event type or a pattern of words, * and #; may be repeated.")]

PAGE: Final[Mapping[str, object]] = {"limit": Limit, "after": Text}
"""The parameters of a list that is read by ids."""
SPAN: Final[Mapping[str, object]] = {
    "after": PositionText,
    "before": PositionText,
    "since": Time,
    "until": Time,
    "limit": Limit,
}
"""The parameters of what is read from the journal."""


class Operation(msgspec.Struct, frozen=True):
    """One endpoint."""

    meaning: str
    """One line, for people."""
    scope: Scope | Literal[""]
    """What the principal needs; nothing when empty."""
    body: object
    """The type of the request's JSON, or None."""
    answer: object
    """The type of the answer's JSON, or None when it is something else."""
    status: int
    media_types: tuple[str, ...]
    query: Mapping[str, object]
    """The types of the query's parameters, by name."""
    is_positioned: bool
    """Whether the answer tells the position of the first event that the request caused."""
    also: Mapping[int, object]
    """Types of other answers that are not problems, by status."""
    refusal: object
    """The type of a refusal where the dialect has its own, or None: a problem document."""


_operations: Final[dict[object, Operation]] = {}


def described(
    meaning: str,
    *,
    scope: Scope | Literal[""],
    body: object = None,
    answer: object = None,
    status: int = 200,
    media_types: tuple[str, ...] = (JSON,),
    query: Mapping[str, object] | None = None,
    is_positioned: bool = False,
    also: Mapping[int, object] | None = None,
    refusal: object = None,
) -> Callable[[F], F]:
    """Describe the handler below."""
    operation = Operation(
        meaning, scope, body, answer, status, media_types, query or {}, is_positioned, also or {}, refusal
    )

    def note(handler: F) -> F:
        _operations[handler] = operation
        return handler

    return note


def operation_of(handler: object) -> Operation | None:
    """What was said of a handler, bound or not."""
    return _operations.get(getattr(handler, "__func__", handler))
