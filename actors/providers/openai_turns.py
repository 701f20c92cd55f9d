"""How OpenAI's dialect writes a conversation: messages, images, tools and their calls.

Source: https://platform.openai.com/docs/api-reference/chat/create. Pure.
"""

from collections.abc import Sequence

import orjson

from actors.providers.dialect import Prompt, pieces
from bus.messages.completions import ChatMessage, Image, Tool


def turns(messages: Sequence[ChatMessage]) -> list[dict[str, object]]:
    """The conversation."""
    return [_turn(message) for message in messages]


def tools(offered: Sequence[Tool]) -> list[dict[str, object]]:
    """What the model may call."""
    return [{"type": "function", "function": _function(tool)} for tool in offered]


def add_tools(body: dict[str, object], prompt: Prompt) -> None:
    """Offer the tools of a prompt, if it has any."""
    if not prompt.tools:
        return
    body["tools"] = tools(prompt.tools)
    if prompt.tool_choice in ("none", "required"):
        body["tool_choice"] = prompt.tool_choice
    elif prompt.tool_choice != "auto":
        body["tool_choice"] = {"type": "function", "function": {"name": prompt.tool_choice}}
    if not prompt.has_parallel_calls:
        body["parallel_tool_calls"] = False


def _turn(message: ChatMessage) -> dict[str, object]:
    turn: dict[str, object] = {"role": message.role, "content": message.content}
    if message.images:
        turn["content"] = [_part(piece) for piece in pieces(message)]
    if message.role == "tool":
        turn["tool_call_id"] = message.tool_call
    if message.tool_calls:
        turn["content"] = message.content or None
        turn["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return turn


def _part(piece: str | Image) -> dict[str, object]:
    if isinstance(piece, str):
        return {"type": "text", "text": piece}
    return {"type": "image_url", "image_url": {"url": f"data:{piece.media_type};base64,{piece.data}"}}


def _function(tool: Tool) -> dict[str, object]:
    described = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **described, "parameters": orjson.Fragment(tool.parameters)}
