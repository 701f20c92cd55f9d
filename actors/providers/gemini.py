"""The dialect of Gemini: `POST /v1beta/models/{model}:generateContent`.

The assistant is called `model`, and the system's words travel apart. Parts marked as thoughts are dropped, and counted:
they are paid for. A prompt that is blocked has no candidates, only a reason.
Source: https://ai.google.dev/api/generate-content.

Pure: encode, decode and follow.
"""

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import quote

import msgspec
import orjson

from actors.providers.dialect import (
    HttpReply,
    HttpRequest,
    ModelReply,
    Prompt,
    ProviderFault,
    answer,
    fault_of,
    finish,
    parse,
    parse_line,
    refuse_garbage,
    shorten,
)
from actors.providers.options import ProviderOptions
from actors.providers.streaming import Dialect, Draft, data_of
from actors.rules.cascade import ErrorClass
from bus.messages.completions import FinishReason

_FINISH: Mapping[str, FinishReason] = MappingProxyType({"STOP": "stop", "MAX_TOKENS": "length"})
_FILTERED = ("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII")


class _Part(msgspec.Struct):
    text: str | None = None
    thought: bool = False


class _Content(msgspec.Struct):
    parts: tuple[_Part, ...] = ()


class _Candidate(msgspec.Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: str = ""


class _Error(msgspec.Struct):
    code: int = 500


class _Reply(msgspec.Struct, rename="camel"):
    candidates: tuple[_Candidate, ...] = ()
    model_version: str = ""
    usage_metadata: _Usage | None = None
    prompt_feedback: _Feedback | None = None
    error: _Error | None = None


_decoder = msgspec.json.Decoder(_Reply)


def encode(options: ProviderOptions, key: str, prompt: Prompt) -> HttpRequest:
    """The request for one answer."""
    headers = {"content-type": "application/json"}
    if key:
        headers["x-goog-api-key"] = key
    config: dict[str, object] = {"maxOutputTokens": prompt.tokens_max}
    if prompt.temperature is not None:
        config["temperature"] = prompt.temperature
    if prompt.stop:
        config["stopSequences"] = prompt.stop
    if prompt.schema:
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = orjson.Fragment(prompt.schema)
    contents = [
        {"role": "model" if message.role == "assistant" else "user", "parts": [{"text": message.content}]}
        for message in prompt.messages
        if message.role != "system"
    ]
    body: dict[str, object] = {"contents": contents, "generationConfig": config}
    system = "\n\n".join(message.content for message in prompt.messages if message.role == "system")
    if system:
        body["systemInstruction"] = {"parts": [{"text": system}]}
    method = "streamGenerateContent?alt=sse" if prompt.is_streamed else "generateContent"
    url = f"{options.base_url.rstrip('/')}/v1beta/models/{quote(prompt.model, safe='')}:{method}"
    return HttpRequest(url, headers, orjson.dumps(body))


def decode(prompt: Prompt, reply: HttpReply) -> ModelReply:
    """The answer in a reply.

    Raises:
        ProviderFault: there is none.
    """
    found = parse(_decoder, reply)
    _refuse_blocked(found)
    if not found.candidates:
        refuse_garbage("the reply has no candidates")
    candidate = found.candidates[0]
    reason = finish(_FINISH, _FILTERED, candidate.finish_reason)
    tokens_in, tokens_out = _tokens(found.usage_metadata)
    return answer(prompt, _text(candidate), found.model_version, tokens_in, tokens_out, reason)


def follow(draft: Draft, line: bytes) -> None:
    """Read a line of the stream: each event is a reply of its own, with the sizes so far."""
    data = data_of(line)
    if not data:
        return
    found = parse_line(_decoder, data)
    if found.error is not None:
        raise fault_of(HttpReply(200, {}, data), status=max(found.error.code, 400))
    _refuse_blocked(found)
    draft.model = draft.model or found.model_version
    if found.usage_metadata is not None:
        draft.tokens_in, draft.tokens_out = _tokens(found.usage_metadata)
    for candidate in found.candidates[:1]:
        draft.text += _text(candidate)
        if candidate.finish_reason:
            draft.finish_reason = finish(_FINISH, _FILTERED, candidate.finish_reason)


def _refuse_blocked(reply: _Reply) -> None:
    if reply.prompt_feedback is not None and reply.prompt_feedback.block_reason:
        words = f"the prompt was blocked: {reply.prompt_feedback.block_reason}"
        raise ProviderFault(ErrorClass.FILTERED, shorten(words))


def _text(candidate: _Candidate) -> str:
    parts = candidate.content.parts if candidate.content is not None else ()
    return "".join(part.text or "" for part in parts if not part.thought)


def _tokens(usage: _Usage | None) -> tuple[int | None, int | None]:
    if usage is None:
        return None, None
    out = usage.candidates_token_count
    return usage.prompt_token_count, None if out is None else out + (usage.thoughts_token_count or 0)


DIALECT = Dialect(encode, decode, follow)
