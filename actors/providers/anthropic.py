"""The dialect of Anthropic's `POST /v1/messages`.

System messages travel apart from the conversation, in which roles take turns: neighbours of one role are joined. Only
text blocks are an answer; thinking is dropped. Source: https://docs.anthropic.com/en/api/messages.

Pure: encode, decode and follow.
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec
import orjson

from actors.providers.dialect import (
    HttpReply,
    HttpRequest,
    ModelReply,
    Prompt,
    answer,
    fault_of,
    finish,
    parse,
    parse_line,
    refuse_garbage,
)
from actors.providers.options import ProviderOptions
from actors.providers.streaming import Dialect, Draft, data_of
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


class _Delta(msgspec.Struct):
    type: str = ""
    text: str | None = None
    stop_reason: str | None = None


class _Error(msgspec.Struct):
    type: str = ""


class _Event(msgspec.Struct):
    """An event of a stream; which fields it has depends on its type."""

    type: str = ""
    message: _Reply | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None
    error: _Error | None = None


_decoder = msgspec.json.Decoder(_Reply)
_event_decoder = msgspec.json.Decoder(_Event)
_STATUS_BY_ERROR = {"overloaded_error": 529, "rate_limit_error": 429, "invalid_request_error": 400}


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
    if prompt.is_streamed:
        body["stream"] = True
    if prompt.temperature is not None:
        body["temperature"] = prompt.temperature
    if prompt.stop:
        body["stop_sequences"] = prompt.stop
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


def follow(draft: Draft, line: bytes) -> None:
    """Read a line of the stream. Sizes come with the first event and with the one that says why it ends."""
    data = data_of(line)
    if not data:
        return
    event = parse_line(_event_decoder, data)
    if event.error is not None:
        raise fault_of(HttpReply(200, {}, data), status=_STATUS_BY_ERROR.get(event.error.type, 500))
    if event.message is not None:
        draft.model = event.message.model
        draft.tokens_in = _tokens_in(event.message.usage or _Usage())
    if event.content_block is not None and event.content_block.type == "text":
        draft.text += event.content_block.text or ""
    if event.delta is not None:
        if event.delta.type == "text_delta":
            draft.text += event.delta.text or ""
        if event.delta.stop_reason:
            draft.finish_reason = finish(_FINISH, _FILTERED, event.delta.stop_reason)
    if event.usage is not None and event.usage.output_tokens is not None:
        draft.tokens_out = event.usage.output_tokens


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


DIALECT = Dialect(encode, decode, follow)
