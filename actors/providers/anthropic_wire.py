"""What Anthropic's dialect sends: replies, events of a stream, and its words for why an answer ended.

Source: https://docs.anthropic.com/en/api/messages-streaming. Pure.
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from bus.messages.completions import FinishReason

FINISH: Mapping[str, FinishReason] = MappingProxyType(
    {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "tool_use": "tool_calls",
    }
)
FILTERED = ("refusal",)


class WireBlock(msgspec.Struct):
    """A part of an answer: words, a call, or something that is passed over."""

    type: str = ""
    text: str | None = None
    id: str = ""
    name: str = ""
    input: dict[str, object] = {}


class WireUsage(msgspec.Struct):
    """How much was read and written."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class WireReply(msgspec.Struct):
    """A whole answer, or the head of a streamed one."""

    content: tuple[WireBlock, ...] | None = None
    model: str = ""
    stop_reason: str | None = None
    usage: WireUsage | None = None


class WireDelta(msgspec.Struct):
    """What an event adds."""

    type: str = ""
    text: str | None = None
    partial_json: str = ""
    stop_reason: str | None = None


class WireError(msgspec.Struct):
    """What went wrong, by its type."""

    type: str = ""


class WireEvent(msgspec.Struct):
    """An event of a stream; which fields it has depends on its type."""

    type: str = ""
    index: int = 0
    message: WireReply | None = None
    content_block: WireBlock | None = None
    delta: WireDelta | None = None
    usage: WireUsage | None = None
    error: WireError | None = None


def tokens_in(usage: WireUsage) -> int | None:
    """All that was read, from the cache or not; cheaper cached tokens are counted in full, so never too little."""
    if usage.input_tokens is None:
        return None
    return usage.input_tokens + (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
