"""What a client of Anthropic's dialect asks, in Agora's terms.

Rules: as in OpenAI's dialect: what would make the answer another one and is not understood is refused. A tool's answer,
which is a block of the user's turn there, is a message of its own here; thinking that comes back is dropped.

Source: https://docs.anthropic.com/en/api/messages. `privacy` and `deadline_s` are Agora's own. Pure.
"""

from collections.abc import Iterator
from typing import Literal

import msgspec

from bus.messages.base import AgentId
from bus.messages.completions import ChatMessage, Complete, Image, Privacy, Tool, ToolCall
from bus.refusals import InvalidField
from web.chat import CASCADE_MODEL, DEADLINE_DEFAULT_S, NO_PARAMETERS, check_deadline, text_of

_EMPTY = msgspec.Raw(b"{}")


class _Text(msgspec.Struct, frozen=True):
    type: str
    text: str = ""


class _Source(msgspec.Struct, frozen=True):
    type: str
    media_type: str = ""
    data: str = ""


class _Block(msgspec.Struct, frozen=True):
    type: str
    text: str = ""
    source: _Source | None = None
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.field(default_factory=lambda: _EMPTY)
    tool_use_id: str = ""
    content: str | tuple[_Text, ...] | None = None


class _Message(msgspec.Struct, frozen=True):
    role: Literal["user", "assistant", "system"]
    content: str | tuple[_Block, ...]


class _Tool(msgspec.Struct, frozen=True):
    name: str
    description: str = ""
    input_schema: msgspec.Raw = msgspec.field(default_factory=lambda: NO_PARAMETERS)
    type: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    type: Literal["auto", "any", "tool", "none"]
    name: str = ""
    disable_parallel_tool_use: bool = False


class _Format(msgspec.Struct, frozen=True):
    type: Literal["json_schema"]
    schema: msgspec.Raw


class _OutputConfig(msgspec.Struct, frozen=True):
    format: _Format | None = None


class MessagesBody(msgspec.Struct, frozen=True):
    """The body of `POST /v1/messages`."""

    messages: tuple[_Message, ...]
    max_tokens: int
    model: str = CASCADE_MODEL
    system: str | tuple[_Text, ...] = ""
    stream: bool = False
    temperature: float | None = None
    stop_sequences: tuple[str, ...] | None = None
    tools: tuple[_Tool, ...] | None = None
    tool_choice: _Choice | None = None
    output_config: _OutputConfig | None = None
    privacy: Privacy = "any"
    deadline_s: float = DEADLINE_DEFAULT_S


def command_of(body: MessagesBody, agent: AgentId) -> Complete:
    """The request in Agora's terms. Raises InvalidField for what would change the answer and is not understood."""
    check_deadline(body.deadline_s)
    choice = body.tool_choice or _Choice("auto")
    if choice.type == "tool" and all(tool.name != choice.name for tool in body.tools or ()):
        raise InvalidField("tool_choice.name", f"names no tool of the request: {choice.name!r}")
    format_ = body.output_config.format if body.output_config is not None else None
    return Complete(
        messages=tuple(message for _, message in _messages(body)),
        tokens_max=body.max_tokens,
        deadline_s=body.deadline_s,
        agent=agent,
        model="" if body.model == CASCADE_MODEL else body.model,
        privacy=body.privacy,
        schema=text_of(format_.schema) if format_ is not None else "",
        temperature=body.temperature,
        stop=body.stop_sequences or (),
        tools=tuple(_tool(number, tool) for number, tool in enumerate(body.tools or ())),
        tool_choice={"any": "required", "tool": choice.name}.get(choice.type, choice.type),
        has_parallel_calls=not choice.disable_parallel_tool_use,
    )


def as_written(error: InvalidField, body: MessagesBody) -> InvalidField:
    """What the cascade refuses, with the field's name in this dialect."""
    match error.path.split("."):
        case ["tokens_max"]:
            path = "max_tokens"
        case ["stop"]:
            path = "stop_sequences"
        case ["schema", *inner]:
            path = ".".join(("output_config.format.schema", *inner))
        case ["tools", number, "parameters"]:
            path = f"tools.{number}.input_schema"
        case ["messages", number, _]:
            path = [path for path, _ in _messages(body)][int(number)] + ".content"
        case _:
            path = error.path
    return InvalidField(path, error.reason)


def _messages(body: MessagesBody) -> Iterator[tuple[str, ChatMessage]]:
    """What was said, and where in the body: a turn can hold several messages, and the first may stand beside them."""
    if system := _words(body.system, "system"):
        yield "system", ChatMessage("system", system)
    for number, turn in enumerate(body.messages):
        path = f"messages.{number}"
        for message in _turn(turn, path):
            yield path, message


def _tool(number: int, tool: _Tool) -> Tool:
    if tool.type not in (None, "custom"):
        raise InvalidField(f"tools.{number}.type", f"is not understood here: {tool.type!r}")
    return Tool(tool.name, tool.description, text_of(tool.input_schema))


def _turn(message: _Message, path: str) -> Iterator[ChatMessage]:
    """A turn as messages: the answers of tools first, then what was said, shown and called."""
    if isinstance(message.content, str):
        yield ChatMessage(message.role, message.content)
        return
    text = ""
    images: list[Image] = []
    calls: list[ToolCall] = []
    for block in message.content:
        match block:
            case _Block(type="text"):
                text += block.text
            case _Block(type="image", source=_Source(type="base64") as source):
                images.append(Image(source.media_type, source.data, len(text)))
            case _Block(type="tool_use"):
                calls.append(ToolCall(block.id, block.name, text_of(block.input)))
            case _Block(type="tool_result"):
                yield ChatMessage("tool", _words(block.content or "", f"{path}.content"), tool_call=block.tool_use_id)
            case _Block(type="thinking" | "redacted_thinking"):
                pass
            case _:
                raise InvalidField(f"{path}.content", f"holds a block that is not understood here: {block.type!r}")
    if text or images or calls:
        yield ChatMessage(message.role, text, tuple(calls), images=tuple(images))


def _words(given: str | tuple[_Text, ...], path: str) -> str:
    if isinstance(given, str):
        return given
    if other := next((block.type for block in given if block.type != "text"), ""):
        raise InvalidField(path, f"holds a block that is not understood here: {other!r}")
    return "\n\n".join(block.text for block in given)
