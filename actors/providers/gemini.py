"""The dialect of Gemini: `POST /v1beta/models/{model}:generateContent`.

Parts marked as thoughts are dropped, and counted: they are paid for. A prompt that is blocked has no candidates, only a
reason. Calls of tools come whole, in streams too, and without ids.
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
from actors.providers.gemini_turns import add_tools, system, turns
from actors.providers.gemini_wire import WireReply, calls_of, text_of, tokens_of
from actors.providers.options import ProviderOptions
from actors.providers.streaming import Dialect, Draft, data_of
from actors.rules.cascade import ErrorClass
from bus.messages.completions import FinishReason

_FINISH: Mapping[str, FinishReason] = MappingProxyType({"STOP": "stop", "MAX_TOKENS": "length"})
_FILTERED = ("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY")


_decoder = msgspec.json.Decoder(WireReply)


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
    body: dict[str, object] = {"contents": turns(prompt), "generationConfig": config}
    if words := system(prompt.messages):
        body["systemInstruction"] = words
    add_tools(body, prompt)
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
    tokens_in, tokens_out = tokens_of(found.usage_metadata)
    return answer(prompt, text_of(candidate), found.model_version, tokens_in, tokens_out, reason, calls_of(candidate))


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
        draft.tokens_in, draft.tokens_out = tokens_of(found.usage_metadata)
    for candidate in found.candidates[:1]:
        draft.text += text_of(candidate)
        for call in calls_of(candidate):
            draft.add_call(call)
        if candidate.finish_reason:
            draft.finish_reason = finish(_FINISH, _FILTERED, candidate.finish_reason)


def _refuse_blocked(reply: WireReply) -> None:
    if reply.prompt_feedback is not None and reply.prompt_feedback.block_reason:
        words = f"the prompt was blocked: {reply.prompt_feedback.block_reason}"
        raise ProviderFault(ErrorClass.FILTERED, shorten(words))


DIALECT = Dialect(encode, decode, follow)
