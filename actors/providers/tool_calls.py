"""Tool calls as OpenAI's dialect writes them, and Ollama's after it: whole, or piece by piece in a stream.

Rules: arguments become text, whether they came as text or as the object itself; none at all are an empty object.

Pure.
"""

from collections.abc import Sequence

import msgspec
import orjson

from actors.providers.streaming import Draft
from bus.messages.completions import ToolCall


class WireFunction(msgspec.Struct):
    """A tool by its name, and its arguments."""

    name: str | None = None
    arguments: str | dict[str, object] | None = None


class WireCall(msgspec.Struct):
    """A call, or what a line of a stream adds to one."""

    index: int | None = None
    id: str | None = None
    function: WireFunction | None = None


def whole_calls(calls: Sequence[WireCall] | None) -> tuple[ToolCall, ...]:
    """The calls of a reply."""
    if not calls:
        return ()
    named = ((call.id or "", call.function or WireFunction()) for call in calls)
    return tuple(ToolCall(id_, function.name or "", _arguments(function) or "{}") for id_, function in named)


def follow_calls(draft: Draft, calls: Sequence[WireCall] | None) -> None:
    """Read what a line adds: a call's id and name come once, its arguments bit by bit."""
    for call in calls or ():
        drafted, function = draft.call(call.index, call.id or ""), call.function or WireFunction()
        drafted.name = drafted.name or function.name or ""
        drafted.arguments.append(_arguments(function))


def _arguments(function: WireFunction) -> str:
    match function.arguments:
        case dict(given):
            return orjson.dumps(given).decode()
        case text:
            return text or ""
