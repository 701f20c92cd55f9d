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
    if event.error is not None:
        raise fault_of(HttpReply(200, {}, data), status=_STATUS_BY_ERROR.get(event.error.type, 500))
    if event.message is not None:
        draft.model = event.message.model
        draft.tokens_in = tokens_in(event.message.usage or WireUsage())
    is_by_tool = is_answered_by_tool(draft.prompt)
    if event.content_block is not None and event.content_block.type == "text" and not is_by_tool:
        draft.text += event.content_block.text or ""
    if event.content_block is not None and event.content_block.type == "tool_use" and not is_by_tool:
        drafted = draft.call(event.index, event.content_block.id)
        drafted.name = event.content_block.name
        if event.content_block.input:  # some gateways give all of it at once
            drafted.arguments.append(orjson.dumps(event.content_block.input).decode())
    if event.delta is not None:
        if event.delta.type == "text_delta" and not is_by_tool:
            draft.text += event.delta.text or ""
        if event.delta.type == "input_json_delta" and is_by_tool:
            draft.text += event.delta.partial_json
        elif event.delta.type == "input_json_delta":
            draft.call(event.index, "").arguments.append(event.delta.partial_json)
        if event.delta.stop_reason:
            draft.finish_reason = finish(FINISH, FILTERED, event.delta.stop_reason)
    if event.usage is not None and event.usage.output_tokens is not None:
        draft.tokens_out = event.usage.output_tokens


def _content(prompt: Prompt, blocks: Sequence[WireBlock]) -> tuple[str, tuple[ToolCall, ...]]:
    """What was said, and which tools were called."""
    calls = tuple(
        ToolCall(block.id, block.name, orjson.dumps(block.input).decode())
        for block in blocks
        if block.type == "tool_use"
    )
    if is_answered_by_tool(prompt):
        return "".join(call.arguments for call in calls if call.name == ANSWER_TOOL), ()
    return "".join(block.text or "" for block in blocks if block.type == "text"), calls


DIALECT = Dialect(encode, decode, follow)
