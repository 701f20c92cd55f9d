"""Replies of models that call tools or turn texts into vectors, as each dialect writes them."""

from typing import NamedTuple

import orjson

PIECE = 5
"""Characters of a streamed call's arguments that come at once."""
VECTOR_LENGTH = 4


class Called(NamedTuple):
    """A call of a tool."""

    id: str
    name: str
    arguments: dict[str, object]

    @property
    def text(self) -> str:
        return orjson.dumps(self.arguments).decode()


def tool_reply(path: str, called: tuple[Called, ...]) -> bytes:
    """A whole reply that calls tools, in the dialect of the path."""
    if path.endswith("/api/chat"):
        calls = [{"function": {"name": call.name, "arguments": call.arguments}} for call in called]
        message = {"role": "assistant", "content": "", "tool_calls": calls}
        sizes = {"prompt_eval_count": 10, "eval_count": 5}
        return orjson.dumps({"model": "tiny", "message": message, "done": True, "done_reason": "stop"} | sizes)
    if "enerateContent" in path:
        return orjson.dumps(_gemini(called))
    if path.endswith("/v1/messages"):
        blocks = [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in called]
        head: dict[str, object] = {"id": "msg_1", "type": "message", "role": "assistant", "model": "tiny"}
        usage = {"input_tokens": 10, "output_tokens": 5}
        return orjson.dumps(
            head | {"content": blocks, "stop_reason": "tool_use", "stop_sequence": None, "usage": usage}
        )
    functions = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.text}} for call in called
    ]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": None, "tool_calls": functions},
        "finish_reason": "tool_calls",
    }
    head = {"id": "c1", "object": "chat.completion", "created": 0, "model": "tiny"}
    return orjson.dumps(head | {"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 5}})


def streamed_tool_reply(path: str, called: tuple[Called, ...]) -> list[bytes]:
    """The same as a stream, the arguments in pieces where the dialect does that."""
    if path.endswith("/api/chat"):
        calls = [{"function": {"name": call.name, "arguments": call.arguments}} for call in called]
        line = {"model": "tiny", "message": {"content": "", "tool_calls": calls}, "done": False}
        last = {"model": "tiny", "message": {"content": ""}, "done": True, "done_reason": "stop"}
        return [orjson.dumps(line) + b"\n", orjson.dumps(last | {"prompt_eval_count": 10, "eval_count": 5}) + b"\n"]
    if "enerateContent" in path:
        return [b"data: " + orjson.dumps(_gemini(called)) + b"\r\n\r\n"]
    if path.endswith("/v1/messages"):
        return [b"event: " + str(one["type"]).encode() + b"\n" + _sse(one) for one in _anthropic_events(called)]
    return [*(_sse(chunk) for chunk in _openai_chunks(called)), b"data: [DONE]\n\n"]


def embedding_reply(path: str, body: bytes) -> bytes:
    """A vector for each text: its number, its length and two constants."""
    asked = orjson.loads(body)
    texts = asked["requests"] if "requests" in asked else asked["input"]
    lengths = [len(one["content"]["parts"][0]["text"]) if isinstance(one, dict) else len(one) for one in texts]
    vectors = [[float(number), float(length), 0.5, -0.25] for number, length in enumerate(lengths)]
    if path.endswith("/api/embed"):
        return orjson.dumps({"model": "tiny-embed", "embeddings": vectors, "prompt_eval_count": 7})
    if path.endswith(":batchEmbedContents"):
        return orjson.dumps({"embeddings": [{"values": vector} for vector in vectors]})
    data = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
    return orjson.dumps(
        {"object": "list", "data": data[::-1], "model": "tiny-embed", "usage": {"prompt_tokens": 7, "total_tokens": 7}}
    )


def _gemini(called: tuple[Called, ...]) -> dict[str, object]:
    parts = [{"functionCall": {"name": call.name, "args": call.arguments}} for call in called]
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 5}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "tiny"}


def _anthropic_events(called: tuple[Called, ...]) -> list[dict[str, object]]:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "tiny", "content": []}
    begin = head | {"stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 10, "output_tokens": 1}}
    events: list[dict[str, object]] = [{"type": "message_start", "message": begin}]
    for index, call in enumerate(called):
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [
            {
                "type": "content_block_delta",
                "index": index,
                "delta": {"type": "input_json_delta", "partial_json": piece},
            }
            for piece in _pieces(call.text)
        ]
        events.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": "tool_use", "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 5}})
    return [*events, {"type": "message_stop"}]


def _openai_chunks(called: tuple[Called, ...]) -> list[dict[str, object]]:
    deltas: list[dict[str, object]] = [{"role": "assistant", "content": None}]
    for index, call in enumerate(called):
        begun = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        deltas.append({"tool_calls": [begun]})
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": one}}]} for one in _pieces(call.text)]
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 0, "model": "tiny"}
    chunks = [head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    return [*chunks, head | {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}]


def _pieces(text: str) -> list[str]:
    return [text[at : at + PIECE] for at in range(0, len(text), PIECE)]


def _sse(document: dict[str, object]) -> bytes:
    return b"data: " + orjson.dumps(document) + b"\n\n"
