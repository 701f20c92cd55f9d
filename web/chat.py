"""What a client of OpenAI's dialect asks, in Agora's terms.

Rules: fields that this dialect knows and Agora does not are passed over, unless the answer would be another one without
them: those are refused. An image comes with the request, as a data URL: nothing is ever fetched.

Source: https://platform.openai.com/docs/api-reference/chat. `privacy`, `deadline_s` and
`hedge_after_s` are Agora's own. Pure.
"""

from typing import Literal

import msgspec

from bus.messages.base import AgentId
from bus.messages.completions import ChatMessage, Complete, Image, Privacy, Role, Tool, ToolCall
from bus.refusals import InvalidField

CASCADE_MODEL = "agora"
"""The model that means: whoever the cascade chooses."""
TOKENS_MAX_DEFAULT = 1_024
DEADLINE_DEFAULT_S = 120.0
DEADLINE_MAX_S = 600.0

NO_PARAMETERS = msgspec.Raw(b'{"type":"object","properties":{}}')

_DATA = "data:"
_BASE64 = ";base64"


class _ImageUrl(msgspec.Struct, frozen=True):
    url: str


class _Part(msgspec.Struct, frozen=True):
    type: str
    text: str = ""
    image_url: _ImageUrl | None = None


class _CalledFunction(msgspec.Struct, frozen=True):
    name: str
    arguments: str = "{}"


class _Call(msgspec.Struct, frozen=True):
    id: str
    function: _CalledFunction


class _Message(msgspec.Struct, frozen=True):
    role: Role | str
    content: str | tuple[_Part, ...] | None = None
    tool_calls: tuple[_Call, ...] | None = None
    tool_call_id: str | None = None


class _Function(msgspec.Struct, frozen=True):
    name: str
    description: str | None = None
    parameters: msgspec.Raw = msgspec.field(default_factory=lambda: NO_PARAMETERS)  # as a default it has no JSON schema


class _Tool(msgspec.Struct, frozen=True):
    function: _Function
    type: str = "function"


class _Named(msgspec.Struct, frozen=True):
    name: str


class _NamedTool(msgspec.Struct, frozen=True):
    function: _Named
    type: Literal["function"] = "function"


class _JsonSchema(msgspec.Struct, frozen=True):
    schema: msgspec.Raw


class _Format(msgspec.Struct, frozen=True):
    type: str
    json_schema: _JsonSchema | None = None


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = False


class ChatBody(msgspec.Struct, frozen=True):
    """The body of `POST /v1/chat/completions`."""

    messages: tuple[_Message, ...]
    model: str = CASCADE_MODEL
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None
    temperature: float | None = None
    stop: str | tuple[str, ...] | None = None
    n: int = 1
    tools: tuple[_Tool, ...] | None = None
    tool_choice: str | _NamedTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: _Format | None = None
    privacy: Privacy = "any"
    deadline_s: float = DEADLINE_DEFAULT_S
    hedge_after_s: float = 0.0


def command_of(body: ChatBody, agent: AgentId) -> Complete:
    """The request in Agora's terms. Raises InvalidField for what would change the answer and is not understood."""
    if body.n != 1:
        raise InvalidField("n", "must be 1: the cascade gives one answer")
    check_deadline(body.deadline_s)
    tokens_max = body.max_completion_tokens if body.max_tokens is None else body.max_tokens
    return Complete(
        messages=tuple(_message(number, message) for number, message in enumerate(body.messages)),
        tokens_max=TOKENS_MAX_DEFAULT if tokens_max is None else tokens_max,
        deadline_s=body.deadline_s,
        agent=agent,
        model="" if body.model == CASCADE_MODEL else body.model,
        privacy=body.privacy,
        schema=_schema(body.response_format),
        temperature=body.temperature,
        stop=(body.stop,) if isinstance(body.stop, str) else body.stop or (),
        tools=tuple(_tool(number, tool) for number, tool in enumerate(body.tools or ())),
        tool_choice=_choice(body),
        has_parallel_calls=body.parallel_tool_calls is not False,
        hedge_after_s=body.hedge_after_s,
    )


def as_written(error: InvalidField, body: ChatBody) -> InvalidField:
    """What the cascade refuses, with the field's name in this dialect."""
    match error.path.split("."):
        case ["tokens_max"]:
            path = "max_completion_tokens" if body.max_tokens is None else "max_tokens"
        case ["schema", *inner]:
            path = ".".join(("response_format.json_schema.schema", *inner))
        case ["tools", number, *inner]:
            path = ".".join(("tools", number, "function", *inner))
        case ["messages", number, "images"]:
            path = f"messages.{number}.content"
        case _:
            path = error.path
    return InvalidField(path, error.reason)


def check_deadline(deadline_s: float) -> None:
    """Raises InvalidField."""
    if not 0.0 < deadline_s <= DEADLINE_MAX_S:
        raise InvalidField("deadline_s", f"must be above 0 and at most {DEADLINE_MAX_S:g}")


def image_of(url: str, at: int, path: str) -> Image:
    """The image of a data URL. Raises InvalidField for any other address."""
    head, comma, data = url.partition(",")
    if not comma or not head.startswith(_DATA) or not head.endswith(_BASE64):
        raise InvalidField(path, "must be a data URL in base64: nothing is fetched")
    return Image(head.removeprefix(_DATA).removesuffix(_BASE64).lower(), data, at)


def text_of(raw: msgspec.Raw) -> str:
    """A part of the body as it came."""
    return bytes(raw).decode()


def _choice(body: ChatBody) -> str:
    choice = body.tool_choice
    if isinstance(choice, _NamedTool):
        name = choice.function.name
        if all(tool.function.name != name for tool in body.tools or ()):
            raise InvalidField("tool_choice.function.name", f"names no tool of the request: {name!r}")
        return name
    if choice not in (None, "auto", "none", "required"):
        raise InvalidField("tool_choice", f"is not understood here: {choice!r}")
    return choice or "auto"


def _tool(number: int, tool: _Tool) -> Tool:
    if tool.type != "function":
        raise InvalidField(f"tools.{number}.type", f"is not understood here: {tool.type!r}")
    described = tool.function
    return Tool(described.name, described.description or "", text_of(described.parameters))


def _message(number: int, message: _Message) -> ChatMessage:
    path = f"messages.{number}"
    calls = tuple(ToolCall(one.id, one.function.name, one.function.arguments) for one in message.tool_calls or ())
    role = _role(message.role, path)
    content, images = _content(message.content, path)
    return ChatMessage(role, content, calls, message.tool_call_id or "", images)


def _role(given: str, path: str) -> Role:
    match given:
        case "system" | "developer":
            return "system"
        case "user" | "assistant" | "tool":
            return given
        case _:
            raise InvalidField(f"{path}.role", f"is not understood here: {given!r}")


def _content(given: str | tuple[_Part, ...] | None, path: str) -> tuple[str, tuple[Image, ...]]:
    if given is None or isinstance(given, str):
        return given or "", ()
    text = ""
    images: list[Image] = []
    for part in given:
        match part:
            case _Part(type="text"):
                text += part.text
            case _Part(type="image_url", image_url=_ImageUrl(url)):
                images.append(image_of(url, len(text), f"{path}.content"))
            case _:
                raise InvalidField(f"{path}.content", f"holds a part that is not understood here: {part.type!r}")
    return text, tuple(images)


def _schema(format_: _Format | None) -> str:
    match format_:
        case None | _Format(type="text"):
            return ""
        case _Format(type="json_object"):
            return '{"type":"object"}'
        case _Format(type="json_schema", json_schema=_JsonSchema(schema=schema)):
            return text_of(schema)
        case _:
            raise InvalidField("response_format", "is not understood here")
