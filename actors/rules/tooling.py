"""Decide whether a request's tools and images make sense, and whether an answer's tool calls do.

Rules: a tool's answer names a call that an assistant made before it; arguments are a JSON object, on the way out and on
the way in; a call of a tool that was not offered, or none where one was required, is no answer, and the next provider
is asked. Images are few, of the types that models read, and come with the request: nothing is ever fetched.

Pure.
"""

import re
from collections.abc import Sequence

import orjson

from bus.messages.completions import ChatMessage, Complete, Image, Tool, ToolCall
from bus.refusals import InvalidField

TOOLS_MAX = 128
"""As many as the largest providers take."""
TOOL_BYTES_MAX = 32 * 1024
"""Of one tool's description and parameters; they travel with each attempt."""
IMAGES_MAX = 20
IMAGE_BYTES_MAX = 6 * 1024 * 1024
"""Of one image in base64; the largest providers take 5 MB before it."""
MEDIA_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
CHOICES = ("auto", "none", "required")

_NAME = re.compile(r"\A[a-zA-Z0-9_-]{1,64}\Z")
_BASE64 = re.compile(r"\A[A-Za-z0-9+/]+={0,2}\Z")


def check(request: Complete) -> None:
    """Raises InvalidField."""
    if request.tools or request.tool_choice != "auto":
        _check_tools(request.tools, request.tool_choice)
    called: set[str] = set()
    images = 0
    for number, message in enumerate(request.messages):
        if message.tool_calls or message.tool_call or message.role == "tool":
            _check_calls(message, f"messages.{number}", called)
        for image in message.images:
            images += 1
            _check_image(message, image, f"messages.{number}.images")
    if images > IMAGES_MAX:
        raise InvalidField("messages", f"must hold at most {IMAGES_MAX} images")


def fault_of(request: Complete, calls: Sequence[ToolCall]) -> str:
    """Why these tool calls are no answer to the request; empty if they are."""
    offered = {tool.name for tool in request.tools}
    for call in calls:
        if call.name not in offered or request.tool_choice == "none":
            return f"it calls {call.name!r}, which was not offered"
        if not is_object(call.arguments):
            return f"the arguments of {call.name!r} are no JSON object"
    if request.tool_choice in ("auto", "none"):
        return ""
    if not calls:
        return "it calls no tool"
    if request.tool_choice != "required" and any(call.name != request.tool_choice for call in calls):
        return f"it calls another tool than {request.tool_choice!r}"
    return ""


def kept(request: Complete, calls: tuple[ToolCall, ...]) -> tuple[ToolCall, ...]:
    """The calls that count: where one at a time is wanted the first, since not every provider can be told."""
    return calls if request.has_parallel_calls else calls[:1]


def is_object(text: str) -> bool:
    """Is this text a JSON object?"""
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _check_tools(tools: Sequence[Tool], choice: str) -> None:
    if len(tools) > TOOLS_MAX:
        raise InvalidField("tools", f"must be at most {TOOLS_MAX}")
    names = [tool.name for tool in tools]
    for number, tool in enumerate(tools):
        if not _NAME.match(tool.name) or tool.name in CHOICES:
            raise InvalidField(
                f"tools.{number}.name", "must be 1 to 64 of a-z, A-Z, 0-9, _ and -, and no choice's name"
            )
        if tool.name in names[:number]:
            raise InvalidField(f"tools.{number}.name", f"is there twice: {tool.name!r}")
        if len(tool.description) + len(tool.parameters) > TOOL_BYTES_MAX:
            raise InvalidField(f"tools.{number}", f"is longer than {TOOL_BYTES_MAX} characters")
        if not is_object(tool.parameters):
            raise InvalidField(f"tools.{number}.parameters", "must be a JSON object")
    if choice not in CHOICES and choice not in names:
        raise InvalidField("tool_choice", f"names no tool of the request: {choice!r}")
    if choice == "required" and not tools:
        raise InvalidField("tool_choice", "requires a tool, and there is none")


def _check_calls(message: ChatMessage, path: str, called: set[str]) -> None:
    if message.role == "tool":
        if message.tool_call not in called:
            raise InvalidField(f"{path}.tool_call_id", f"names no call before it: {message.tool_call!r}")
    elif message.tool_call:
        raise InvalidField(f"{path}.tool_call_id", "is for a tool's message alone")
    if message.tool_calls and message.role != "assistant":
        raise InvalidField(f"{path}.tool_calls", "are for an assistant's message alone")
    for call in message.tool_calls:
        if not call.id or not _NAME.match(call.name) or not is_object(call.arguments):
            raise InvalidField(f"{path}.tool_calls", "must each have an id, a name and a JSON object of arguments")
        called.add(call.id)


def _check_image(message: ChatMessage, image: Image, path: str) -> None:
    if message.role != "user":
        raise InvalidField(path, "are for a user's message alone")
    if image.media_type not in MEDIA_TYPES:
        raise InvalidField(path, f"must be of one of {', '.join(MEDIA_TYPES)}, not {image.media_type!r}")
    if len(image.data) > IMAGE_BYTES_MAX:
        raise InvalidField(path, f"must each have at most {IMAGE_BYTES_MAX} bytes in base64")
    if len(image.data) % 4 or not _BASE64.match(image.data):
        raise InvalidField(path, "must be in base64")
    if not 0 <= image.at <= len(message.content):
        raise InvalidField(path, "must stand within the message's content")
