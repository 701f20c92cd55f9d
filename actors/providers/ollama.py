"""The native dialect of Ollama: `POST /api/chat`.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md. A reply is whole when `done` is true and `done_reason`
says why; `thinking` is dropped.

Pure: encode, decode and follow.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec
import orjson

from actors.providers.dialect import (
    UNREADABLE,
    HttpReply,
    HttpRequest,
    ModelReply,
    Prompt,
    answer,
    caller_of,
    fault_of,
    finish,
    parse,
    parse_line,
    refuse_garbage,
)
from actors.providers.openai_turns import tools
from actors.providers.options import ProviderOptions
from actors.providers.streaming import Dialect, Draft
from actors.providers.tool_calls import WireCall, whole_calls
from bus.messages.completions import ChatMessage, FinishReason

TAGS_PATH = "/api/tags"

_FINISH: Mapping[str, FinishReason] = MappingProxyType({"stop": "stop", "length": "length"})


class _Message(msgspec.Struct):
    content: str | None = None
    tool_calls: tuple[WireCall, ...] | None = None


class _Chat(msgspec.Struct):
    model: str = ""
    message: _Message | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: str = ""


class _Model(msgspec.Struct):
    name: str = ""


class _Tags(msgspec.Struct):
    models: tuple[_Model, ...] = ()


_chat_decoder = msgspec.json.Decoder(_Chat)
_tags_decoder = msgspec.json.Decoder(_Tags)


def encode(options: ProviderOptions, key: str, prompt: Prompt) -> HttpRequest:
    """The request for one answer; a key is for an Ollama behind a gateway."""
    headers = {"content-type": "application/json"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    settings: dict[str, object] = {"num_predict": prompt.tokens_max}
    if prompt.temperature is not None:
        settings["temperature"] = prompt.temperature
    if prompt.stop:
        settings["stop"] = prompt.stop
    body: dict[str, object] = {
        "model": prompt.model,
        "messages": [_turn(message, prompt.messages) for message in prompt.messages],
        "stream": prompt.is_streamed,
        "options": settings,
    }
    if prompt.tools and prompt.tool_choice != "none":
        body["tools"] = tools(prompt.tools)  # it cannot be made to call one: whether it did is checked afterwards
    if prompt.schema:
        body["format"] = orjson.Fragment(prompt.schema)
    return HttpRequest(options.base_url.rstrip("/") + "/api/chat", headers, orjson.dumps(body))


def decode(prompt: Prompt, reply: HttpReply) -> ModelReply:
    """The answer in a reply.

    Raises:
        ProviderFault: there is none.
    """
    chat = parse(_chat_decoder, reply)
    if chat.message is None:
        refuse_garbage("the reply has no message")
    reason = finish(_FINISH, (), chat.done_reason if chat.done else None)
    text = chat.message.content or ""
    calls = whole_calls(chat.message.tool_calls)
    return answer(prompt, text, chat.model, chat.prompt_eval_count, chat.eval_count, reason, calls)


def follow(draft: Draft, line: bytes) -> None:
    """Read a line of the stream: each is an object of its own, the last one with `done`."""
    chat = parse_line(_chat_decoder, line)
    if chat.error:
        raise fault_of(HttpReply(200, {}, line), status=500)
    draft.model = draft.model or chat.model
    if chat.message is not None:
        draft.text += chat.message.content or ""
        for call in whole_calls(chat.message.tool_calls):
            draft.add_call(call)
    if chat.done:
        draft.tokens_in, draft.tokens_out = chat.prompt_eval_count, chat.eval_count
        draft.is_over = True
        draft.finish_reason = finish(_FINISH, (), chat.done_reason)


def _turn(message: ChatMessage, messages: Sequence[ChatMessage]) -> dict[str, object]:
    """Images go beside the text; a tool's answer goes by the tool's name."""
    turn: dict[str, object] = {"role": message.role, "content": message.content}
    if message.images:
        turn["images"] = [image.data for image in message.images]
    if message.role == "tool":
        turn["tool_name"] = caller_of(messages, message.tool_call)
    if message.tool_calls:
        turn["tool_calls"] = [
            {"function": {"name": call.name, "arguments": orjson.Fragment(call.arguments)}}
            for call in message.tool_calls
        ]
    return turn


def first_model(body: bytes) -> str:
    """The first model that an Ollama lists, or empty if it has none or is something else."""
    try:
        models = _tags_decoder.decode(body).models
    except UNREADABLE:
        return ""
    return models[0].name if models else ""


DIALECT = Dialect(encode, decode, follow)
