"""What Gemini's dialect sends: candidates made of parts, sizes, and why a prompt was blocked.

Source: https://ai.google.dev/api/generate-content. Pure.
"""

import msgspec
import orjson

from bus.messages.completions import ToolCall


class WireCall(msgspec.Struct):
    """A call of a tool."""

    name: str = ""
    args: dict[str, object] | None = None
    id: str = ""


class WirePart(msgspec.Struct, rename="camel"):
    """Words, a thought or a call."""

    text: str | None = None
    thought: bool = False
    function_call: WireCall | None = None


class WireContent(msgspec.Struct):
    """The parts of an answer."""

    parts: tuple[WirePart, ...] = ()


class WireCandidate(msgspec.Struct, rename="camel"):
    """An answer, and why it ended."""

    content: WireContent | None = None
    finish_reason: str | None = None


class WireUsage(msgspec.Struct, rename="camel"):
    """How much was read and written."""

    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None


class WireFeedback(msgspec.Struct, rename="camel"):
    """What became of the prompt."""

    block_reason: str = ""


class WireError(msgspec.Struct):
    """What went wrong, by its status."""

    code: int = 500


class WireReply(msgspec.Struct, rename="camel"):
    """A whole reply, or an event of a stream."""

    candidates: tuple[WireCandidate, ...] = ()
    model_version: str = ""
    usage_metadata: WireUsage | None = None
    prompt_feedback: WireFeedback | None = None
    error: WireError | None = None


def parts_of(candidate: WireCandidate) -> tuple[WirePart, ...]:
    """All that it is made of."""
    return candidate.content.parts if candidate.content is not None else ()


def text_of(candidate: WireCandidate) -> str:
    """What it says aloud."""
    return "".join(part.text or "" for part in parts_of(candidate) if not part.thought)


def calls_of(candidate: WireCandidate) -> tuple[ToolCall, ...]:
    """The tools that it calls."""
    called = (part.function_call for part in parts_of(candidate) if part.function_call is not None)
    return tuple(ToolCall(call.id, call.name, orjson.dumps(call.args or {}).decode()) for call in called)


def tokens_of(usage: WireUsage | None) -> tuple[int | None, int | None]:
    """How many tokens were read and written, thoughts included; None where it does not say."""
    if usage is None:
        return None, None
    out = usage.candidates_token_count
    return usage.prompt_token_count, None if out is None else out + (usage.thoughts_token_count or 0)
