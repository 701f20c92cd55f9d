"""How Anthropic's dialect writes a conversation: system words apart, and turns of blocks that alternate.

A tool's answer is a block of the user's turn; neighbours of one role are joined. A schema that is an object's is asked
for as the arguments of a tool which must be called: every model and engine of this dialect keeps to that.
Source: https://docs.anthropic.com/en/api/messages. Pure.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import orjson

from actors.providers.dialect import Prompt, pieces
from bus.messages.completions import ChatMessage, Image

ANSWER_TOOL: Final = "answer"
"""The tool whose arguments are the answer when a schema must be kept."""

Block = dict[str, object]


def system(messages: Sequence[ChatMessage]) -> str:
    """What travels apart."""
    return "\n\n".join(message.content for message in messages if message.role == "system")


def turns(messages: Sequence[ChatMessage]) -> list[dict[str, object]]:
    """The conversation. A turn of text alone is a string, as it always was."""
    joined: list[tuple[str, list[Block]]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        if not joined or joined[-1][0] != role:
            joined.append((role, []))
        joined[-1][1].extend(_blocks(message))
    return [{"role": role, "content": _content(blocks)} for role, blocks in joined]


def is_answered_by_tool(prompt: Prompt) -> bool:
    """Whether the answer comes as the arguments of a tool."""
    return bool(prompt.schema) and not prompt.tools and '"object"' in prompt.schema and _is_object(prompt.schema)


def add_tools(body: dict[str, object], prompt: Prompt) -> None:
    """Offer the tools of a prompt, or ask for its schema."""
    if is_answered_by_tool(prompt):
        body["tools"] = [{"name": ANSWER_TOOL, "input_schema": orjson.Fragment(prompt.schema)}]
        body["tool_choice"] = {"type": "tool", "name": ANSWER_TOOL, "disable_parallel_tool_use": True}
        return
    if prompt.schema:
        schema = {"type": "json_schema", "schema": orjson.Fragment(prompt.schema)}
        body["output_config"] = {"format": schema}
    if prompt.tools:
        body["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": orjson.Fragment(tool.parameters)}
            for tool in prompt.tools
        ]
        body["tool_choice"] = _choice(prompt)


def _choice(prompt: Prompt) -> dict[str, object]:
    match prompt.tool_choice:
        case "none":
            return {"type": "none"}
        case "auto" | "required" as given:
            choice: dict[str, object] = {"type": "any" if given == "required" else "auto"}
        case name:
            choice = {"type": "tool", "name": name}
    return choice if prompt.has_parallel_calls else choice | {"disable_parallel_tool_use": True}


def _blocks(message: ChatMessage) -> Iterator[Block]:
    if message.role == "tool":
        yield {"type": "tool_result", "tool_use_id": message.tool_call, "content": message.content}
        return
    for piece in pieces(message):
        if isinstance(piece, Image):
            source = {"type": "base64", "media_type": piece.media_type, "data": piece.data}
            yield {"type": "image", "source": source}
        else:
            yield {"type": "text", "text": piece}
    for call in message.tool_calls:
        yield {"type": "tool_use", "id": call.id, "name": call.name, "input": orjson.Fragment(call.arguments)}


def _content(blocks: list[Block]) -> object:
    if all(block["type"] == "text" for block in blocks):
        return "\n\n".join(str(block["text"]) for block in blocks)
    return blocks


def _is_object(schema: str) -> bool:
    found: object = orjson.loads(schema)
    return isinstance(found, dict) and found.get("type") == "object"
