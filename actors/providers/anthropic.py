"""The dialect of Anthropic's `POST /v1/messages`.

System messages travel apart from the conversation, in which roles take turns: neighbours of one role are joined. Only
text blocks are an answer; thinking is dropped. Source: https://docs.anthropic.com/en/api/messages.

Pure: encode and decode.
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec
import orjson

from actors.providers.dialect import (
    Dialect,
    HttpReply,
    HttpRequest,
    ModelReply,
    Prompt,
    answer,
    finish,
    parse,
    refuse_garbage,
)
from actors.providers.options import ProviderOptions
from bus.messages.completions import ChatMessage, FinishReason

VERSION = "2023-06-01"

_FINISH: Mapping[str, FinishReason] = MappingProxyType(
    {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
    }
)
_FILTERED = ("refusal",)


class _Block(msgspec.Struct):
    type: str = ""
    text: str | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class _Reply(msgspec.Struct):
    content: tuple[_Block, ...] | None = None
    model: str = ""
    stop_reason: str | None = None
    usage: _Usage | None = None


_decoder = msgspec.json.Decoder(_Reply)


def encode(options: ProviderOptions, key: str, prompt: Prompt) -> HttpRequest:
    """The request for one answer."""
    headers = {"content-type": "application/json", "anthropic-version": VERSION}
    if key:
        headers["x-api-key"] = key
    system = "\n\n".join(message.content for message in prompt.messages if message.role == "system")
    body: dict[str, object] = {
        "model": prompt.model,
        "max_tokens": prompt.tokens_max,
        "messages": _turns(prompt.messages),
    }
    if system:
        body["system"] = system
    return HttpRequest(options.base_url.rstrip("/") + "/v1/messages", headers, orjson.dumps(body))


def decode(prompt: Prompt, reply: HttpReply) -> ModelReply:
    """The answer in a reply.

    Raises:
        ProviderFault: there is none.
    """
    message = parse(_decoder, reply)
    if message.content is None:
        refuse_garbage("the reply has no content")
    reason = finish(_FINISH, _FILTERED, message.stop_reason)
    text = "".join(block.text or "" for block in message.content if block.type == "text")
    usage = message.usage or _Usage()
    return answer(prompt, text, message.model, _tokens_in(usage), usage.output_tokens, reason)


def _turns(messages: tuple[ChatMessage, ...]) -> list[dict[str, str]]:
    turns: list[dict[str, str]] = []
    for message in messages:
        if message.role == "system":
            continue
        if turns and turns[-1]["role"] == message.role:
            turns[-1]["content"] += "\n\n" + message.content
        else:
            turns.append({"role": message.role, "content": message.content})
    return turns


def _tokens_in(usage: _Usage) -> int | None:
    """All that was read, from the cache or not; cheaper cached tokens are counted in full, so never too little."""
    if usage.input_tokens is None:
        return None
    return usage.input_tokens + (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)


DIALECT = Dialect(encode, decode)
