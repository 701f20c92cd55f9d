"""What the decoders are tested with."""

import orjson

from actors.providers.dialect import HttpReply, Prompt
from bus.messages.completions import ChatMessage

PROMPT = Prompt(
    (
        ChatMessage("system", "Be brief."),
        ChatMessage("user", "Hello."),
        ChatMessage("assistant", "Hi."),
        ChatMessage("user", "How are you?"),
    ),
    tokens_max=64,
    model="tiny",
)


def reply(body: object, status: int = 200, headers: dict[str, str] | None = None) -> HttpReply:
    """A reply with a JSON body, or with the bytes that are given."""
    return HttpReply(status, headers or {}, body if isinstance(body, bytes) else orjson.dumps(body))
