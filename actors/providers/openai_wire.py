"""What OpenAI's dialect sends, whole or in chunks.

Source: https://platform.openai.com/docs/api-reference/chat/object and /streaming. Pure.
"""

import msgspec

from actors.providers.tool_calls import WireCall


class WirePart(msgspec.Struct):
    """A part of a message."""

    type: str = ""
    text: str | None = None


class WireMessage(msgspec.Struct):
    """What was said and called, whole or what a chunk adds."""

    content: str | tuple[WirePart, ...] | None = None
    tool_calls: tuple[WireCall, ...] | None = None


class WireChoice(msgspec.Struct):
    """An answer, and why it ended."""

    message: WireMessage | None = None
    delta: WireMessage | None = None
    finish_reason: str | None = None


class WireUsage(msgspec.Struct):
    """How much was read and written."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class WireError(msgspec.Struct):
    """A failure that a gateway wrapped into a success."""

    code: int | str | None = None


class WireChat(msgspec.Struct):
    """A whole reply, or a chunk of a streamed one."""

    model: str | None = None
    choices: tuple[WireChoice, ...] | None = None
    usage: WireUsage | None = None
    error: WireError | str | None = None


def text_of(message: WireMessage) -> str:
    """What it says."""
    match message.content:
        case None:
            return ""
        case str(text):
            return text
        case parts:
            return "".join(part.text or "" for part in parts if part.type == "text")
