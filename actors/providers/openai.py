"""The dialect of `POST /chat/completions`, which most engines and gateways speak.

llama.cpp, vLLM, LM Studio, OpenRouter, OpenAI and others differ in small things: content may be a list of parts, usage
may be missing, a tool's arguments may be an object, and a gateway may wrap a failure into a success. Reasoning fields
are dropped.
Source: https://platform.openai.com/docs/api-reference/chat.

Pure: encode, decode and follow.
"""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import urlsplit

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
from actors.providers.openai_turns import add_tools, turns
from actors.providers.openai_wire import WireChat, WireError, WireUsage, text_of
from actors.providers.options import ProviderOptions
from actors.providers.streaming import Dialect, Draft, data_of, is_closing
from actors.providers.tool_calls import follow_calls, whole_calls
from bus.messages.completions import FinishReason

_FINISH: Mapping[str, FinishReason] = MappingProxyType(
    {"stop": "stop", "eos": "stop", "length": "length", "max_tokens": "length", "tool_calls": "tool_calls"}
)
_FILTERED = ("content_filter",)
_NEW_LIMIT_HOST = "api.openai.com"
"""OpenAI itself takes only `max_completion_tokens` for its newer models; the others know only `max_tokens`."""


_decoder = msgspec.json.Decoder(WireChat)


def encode(options: ProviderOptions, key: str, prompt: Prompt) -> HttpRequest:
    """The request for one answer."""
    headers = {"content-type": "application/json"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    body: dict[str, object] = {
        "model": prompt.model,
        "messages": turns(prompt.messages),
        _limit_name(options.base_url): prompt.tokens_max,
        "stream": prompt.is_streamed,
    }
    if prompt.is_streamed:
        body["stream_options"] = {"include_usage": True}
    if prompt.schema:
        schema = {"name": "answer", "strict": True, "schema": orjson.Fragment(prompt.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    add_tools(body, prompt)
    if prompt.temperature is not None:
        body["temperature"] = prompt.temperature
    if prompt.stop:
        body["stop"] = prompt.stop
    return HttpRequest(options.base_url.rstrip("/") + "/chat/completions", headers, orjson.dumps(body))


def decode(prompt: Prompt, reply: HttpReply) -> ModelReply:
    """The answer in a reply.

    Raises:
        ProviderFault: there is none.
    """
    chat = parse(_decoder, reply)
    if not chat.choices:
        if chat.error is not None:
            code = chat.error.code if isinstance(chat.error, WireError) else None
            raise fault_of(reply, status=code if isinstance(code, int) and code >= 400 else 500)
        refuse_garbage("the reply has no choices")
    choice = chat.choices[0]
    if choice.message is None:
        refuse_garbage("the reply has no message")
    reason = finish(_FINISH, _FILTERED, choice.finish_reason)
    usage = chat.usage or WireUsage()
    sizes = (usage.prompt_tokens, usage.completion_tokens)
    calls = whole_calls(choice.message.tool_calls)
    return answer(prompt, text_of(choice.message), chat.model or "", *sizes, reason, calls)


def follow(draft: Draft, line: bytes) -> None:
    """Read a line of the stream: a delta, the finish, or the usage in a chunk without choices."""
    data = data_of(line)
    if not data:
        draft.is_over = draft.is_over or is_closing(line)
        return
    chunk = parse_line(_decoder, data)
    if chunk.error is not None:
        code = chunk.error.code if isinstance(chunk.error, WireError) else None
        raise fault_of(HttpReply(200, {}, data), status=code if isinstance(code, int) and code >= 400 else 500)
    draft.model = draft.model or chunk.model or ""
    if chunk.usage is not None:
        draft.tokens_in, draft.tokens_out = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
    for choice in (chunk.choices or ())[:1]:
        if choice.delta is not None:
            draft.text += text_of(choice.delta)
            follow_calls(draft, choice.delta.tool_calls)
        if choice.finish_reason:
            draft.finish_reason = finish(_FINISH, _FILTERED, choice.finish_reason)


@lru_cache(maxsize=64)
def _limit_name(base_url: str) -> str:
    return "max_completion_tokens" if urlsplit(base_url).hostname == _NEW_LIMIT_HOST else "max_tokens"


DIALECT = Dialect(encode, decode, follow)
