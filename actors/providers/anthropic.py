"""The dialect of Anthropic's `POST /v1/messages`.

Text blocks are the answer, and calls of tools; thinking is dropped. Where a schema was asked for by a tool, that tool's
arguments are the answer. Source: https://docs.anthropic.com/en/api/messages.

Pure: encode, decode and follow.
"""

from collections.abc import Sequence

import msgspec
import orjson

from actors.providers.anthropic_turns import ANSWER_TOOL, add_tools, is_answered_by_tool, system, turns
from actors.providers.anthropic_wire import FILTERED, FINISH, WireBlock, WireEvent, WireReply, WireUsage, tokens_in
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
from bus.messages.completions import ToolCall

VERSION = "2023-06-01"

_decoder = msgspec.json.Decoder(WireReply)
_event_decoder = msgspec.json.Decoder(WireEvent)
_STATUS_BY_ERROR = {"overloaded_error": 529, "rate_limit_error": 429, "invalid_request_error": 400}


def encode(options: ProviderOptions, key: str, prompt: Prompt) -> HttpRequest:
    """The request for one answer."""
    headers = {"content-type": "application/json", "anthropic-version": VERSION}
    if key:
        headers["x-api-key"] = key
    body: dict[str, object] = {
        "model": prompt.model,
        "max_tokens": prompt.tokens_max,
        "messages": turns(prompt.messages),
    }
    if words := system(prompt.messages):
        body["system"] = words
    add_tools(body, prompt)
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
    reason = finish(FINISH, FILTERED, message.stop_reason)
    usage = message.usage or WireUsage()
    text, calls = _content(prompt, message.content)
    return answer(prompt, text, message.model, tokens_in(usage), usage.output_tokens, reason, calls)


def follow(draft: Draft, line: bytes) -> None:
    """Read a line of the stream. Sizes come with the first event and with the one that says why it ends."""
    data = data_of(line)
    if not data:
        return
    event = parse_line(_event_decoder, data)
    draft.is_over = event.type == "message_stop"
    if event.error is not None:
        raise fault_of(HttpReply(200, {}, data), status=_STATUS_BY_ERROR.get(event.error.type, 500))
    if event.message is not None:
        draft.model = event.message.model
        draft.tokens_in = tokens_in(event.message.usage or WireUsage())
    if is_answered_by_tool(draft.prompt):
        _follow_answer(draft, event)
    else:
        _follow_content(draft, event)
    if event.delta is not None and event.delta.stop_reason:
        draft.finish_reason = finish(FINISH, FILTERED, event.delta.stop_reason)
    if event.usage is not None and event.usage.output_tokens is not None:
        draft.tokens_out = event.usage.output_tokens


def _follow_content(draft: Draft, event: WireEvent) -> None:
    block, delta = event.content_block, event.delta
    if block is not None and block.type == "text":
        draft.text += block.text or ""
    if block is not None and block.type == "tool_use":
        drafted = draft.call(event.index, block.id)
        drafted.name = block.name
        if block.input:  # some gateways give all of it at once
            drafted.arguments.append(orjson.dumps(block.input).decode())
    if delta is not None and delta.type == "text_delta":
        draft.text += delta.text or ""
    if delta is not None and delta.type == "input_json_delta":
        draft.call(event.index, "").arguments.append(delta.partial_json)


def _follow_answer(draft: Draft, event: WireEvent) -> None:
    """The arguments of the first call are the answer; some engines call it again and again."""
    block, delta = event.content_block, event.delta
    if block is not None and block.type == "tool_use" and draft.answer_block is None:
        draft.answer_block = event.index
        draft.text += orjson.dumps(block.input).decode() if block.input else ""
    if delta is not None and delta.type == "input_json_delta" and event.index == draft.answer_block:
        draft.text += delta.partial_json


def _content(prompt: Prompt, blocks: Sequence[WireBlock]) -> tuple[str, tuple[ToolCall, ...]]:
    """What was said, and which tools were called."""
    calls = tuple(
        ToolCall(block.id, block.name, orjson.dumps(block.input).decode())
        for block in blocks
        if block.type == "tool_use"
    )
    if is_answered_by_tool(prompt):
        answers = (call.arguments for call in calls if call.name == ANSWER_TOOL)
        return next(answers, ""), ()
    return "".join(block.text or "" for block in blocks if block.type == "text"), calls


DIALECT = Dialect(encode, decode, follow)
