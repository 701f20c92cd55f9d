"""How Gemini's dialect writes a conversation: the assistant is called `model`, and every turn is a list of parts.

A tool's answer is an object and goes by the tool's name. From its third generation on Gemini wants back a signature of
each call that it made; who hands it a call without one, as a cascade does after a failover, says so by a fixed word.
Source: https://ai.google.dev/gemini-api/docs/function-calling and /thought-signatures. Pure.
"""

from collections.abc import Iterator, Sequence

import orjson

from actors.providers.dialect import Prompt, caller_of, pieces
from actors.rules.tooling import is_object
from bus.messages.completions import ChatMessage, Image

NO_SIGNATURE = "skip_thought_signature_validator"
_WITHOUT_SIGNATURES = ("gemini-1", "gemini-2", "gemma")

Part = dict[str, object]


def turns(prompt: Prompt) -> list[dict[str, object]]:
    """The conversation without the system's words; answers of several tools are one turn."""
    joined: list[tuple[ChatMessage, list[Part]]] = []
    for message in prompt.messages:
        if message.role == "system":
            continue
        if not joined or message.role != "tool" or joined[-1][0].role != "tool":
            joined.append((message, []))
        joined[-1][1].extend(_parts(message, prompt))
    return [{"role": "model" if first.role == "assistant" else "user", "parts": parts} for first, parts in joined]


def add_tools(body: dict[str, object], prompt: Prompt) -> None:
    """Offer the tools of a prompt, if it has any."""
    if not prompt.tools:
        return
    declared = [
        {"name": tool.name, "description": tool.description, "parametersJsonSchema": orjson.Fragment(tool.parameters)}
        for tool in prompt.tools
    ]
    body["tools"] = [{"functionDeclarations": declared}]
    if prompt.tool_choice != "auto":
        body["toolConfig"] = {"functionCallingConfig": _choice(prompt.tool_choice)}


def _choice(choice: str) -> dict[str, object]:
    match choice:
        case "none":
            return {"mode": "NONE"}
        case "required":
            return {"mode": "ANY"}
        case name:
            return {"mode": "ANY", "allowedFunctionNames": [name]}


def _parts(message: ChatMessage, prompt: Prompt) -> Iterator[Part]:
    if message.role == "tool":
        answer: object = {"result": message.content}
        if is_object(message.content):
            answer = orjson.Fragment(message.content)
        yield {"functionResponse": {"name": caller_of(prompt.messages, message.tool_call), "response": answer}}
        return
    for piece in pieces(message):
        if isinstance(piece, Image):
            yield {"inlineData": {"mimeType": piece.media_type, "data": piece.data}}
        else:
            yield {"text": piece}
    for call in message.tool_calls:
        part: Part = {"functionCall": {"name": call.name, "args": orjson.Fragment(call.arguments)}}
        yield part if prompt.model.startswith(_WITHOUT_SIGNATURES) else part | {"thoughtSignature": NO_SIGNATURE}


def system(messages: Sequence[ChatMessage]) -> dict[str, object]:
    """What travels apart; empty if there is nothing."""
    words = "\n\n".join(message.content for message in messages if message.role == "system")
    return {"parts": [{"text": words}]} if words else {}
