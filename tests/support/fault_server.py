"""A provider that is as sick as a test wants it: it speaks all dialects, well or badly, on a port of this machine.

It is a bare socket server, so that it can send what no honest server library would.
"""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from types import TracebackType
from typing import Self

import orjson

from tests.support.model_replies import Called, embedding_reply, streamed_tool_reply, tool_reply

HUGE_BYTES = 9 * 1024 * 1024
"""More than any honest reply."""
TEXT = "All is well."
TOKENS_IN, TOKENS_OUT = 10, 5


class Sickness(StrEnum):
    """What is wrong with the server."""

    HEALTHY = "healthy"
    HELD = "held"
    """Healthy, but it answers only when the test says so."""
    HANGS = "hangs"
    SERVER_ERROR = "500"
    OVERLOADED = "529"
    THROTTLED = "429"
    BAD_REQUEST = "400"
    UNPROCESSABLE = "422"
    CONTEXT_OVERFLOW = "400 for a prompt that is too long"
    UNAUTHORISED = "401"
    FORBIDDEN = "403"
    UNKNOWN_MODEL = "404"
    REDIRECTS = "302"
    GARBAGE = "garbage"
    WRONG_TYPE = "a web page"
    NOT_HTTP = "not HTTP"
    ENDLESS_HEADERS = "endless headers"
    HALF_THE_HEADERS = "headers that stop in the middle"
    HALF_A_BODY = "half a body"
    NOTHING = "closes without a word"
    HUGE = "a huge reply"
    HUGE_UNANNOUNCED = "a huge reply without a length"
    EMPTY = "an empty reply"
    ONLY_THINKING = "only thinking"
    NO_FINISH = "no finish reason"
    SLOW_FIRST = "a stream that takes its time to begin"
    STALLS = "a stream that stops in the middle"
    BREAKS = "a stream that is cut off in the middle"
    HALF = "a stream that ends in the middle as if it were whole"
    STREAM_GARBAGE = "a stream that makes no sense"
    STREAM_HELD = "a stream that goes on only when the test says so"
    LEFT_OPEN = "a whole stream, after which the server leaves the connection open"
    NO_MARK = "the same without a mark that it is over"
    ENDS_LATE = "a whole stream whose body ends only when the test says so"


_STATUS = {
    Sickness.SERVER_ERROR: 500,
    Sickness.OVERLOADED: 529,
    Sickness.THROTTLED: 429,
    Sickness.BAD_REQUEST: 400,
    Sickness.UNPROCESSABLE: 422,
    Sickness.CONTEXT_OVERFLOW: 400,
    Sickness.UNAUTHORISED: 401,
    Sickness.FORBIDDEN: 403,
    Sickness.UNKNOWN_MODEL: 404,
    Sickness.REDIRECTS: 302,
}


_NO_TEXT = {Sickness.EMPTY: " \n", Sickness.ONLY_THINKING: "<think>What could I say?"}
_BODY = (Sickness.GARBAGE, Sickness.WRONG_TYPE, Sickness.HUGE, Sickness.HUGE_UNANNOUNCED, Sickness.HALF_A_BODY)
"""Sicknesses of a reply that comes whole, stream or not."""


class FaultServer:
    """The server. Open it with `async with`; change `sickness` at any time."""

    def __init__(self, sickness: Sickness = Sickness.HEALTHY, *, port: int = 0) -> None:
        self.sickness = sickness
        self._wanted_port = port
        self.retry_after = "7"
        self.words = "the request is wrong"
        """What an error says; `{authorization}` stands for the key that came."""
        self.text = TEXT
        """What it says when it is well."""
        self.tool_calls: tuple[Called, ...] = ()
        """The tools that it calls instead, when it is well."""
        self.recorded: tuple[str, bytes] | None = None
        """A content type and a body that it sends instead of its own, when it is well."""
        self.calls = 0
        self.bodies: list[bytes] = []
        self.paths: list[str] = []
        self.open_calls = 0
        self.connections: set[tuple[str, int]] = set()
        """Who ever connected."""
        self._changed = asyncio.Condition()
        self._released = asyncio.Event()
        self._closing = asyncio.Event()
        self._handlers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._wanted_port)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._released.set()
        self._server.close()
        for writer in self._handlers.values():
            writer.close()
        if self._handlers:
            await asyncio.wait(self._handlers)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def release(self) -> None:
        """Let those that are held have their answers."""
        self._released.set()

    def hold(self) -> None:
        """From now on those that are held wait again."""
        self._released = asyncio.Event()

    def drop(self) -> None:
        """Hang up on everybody who is connected."""
        for writer in self._handlers.values():
            writer.transport.abort()

    async def called(self, times: int) -> None:
        """Wait until so many calls have come."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.calls >= times)

    async def all_closed(self) -> None:
        """Wait until no call is open any more."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.open_calls == 0)

    async def left(self, times: int) -> None:
        """Wait until so many connections are over."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: len(self.connections) - len(self._handlers) >= times)

    async def all_gone(self) -> None:
        """Wait until nobody is connected any more."""
        await self.left(len(self.connections))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers[task] = writer
        self.connections.add(writer.get_extra_info("peername"))
        try:
            while not self._closing.is_set() and await self._serve(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone, as clients may
        finally:
            del self._handlers[task]
            writer.close()
            async with self._changed:
                self._changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False when the connection is to be closed."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        path = lines[0].split(" ")[1]
        await self._note(path, body)
        is_streamed = b'"stream":true' in body or "stream" in path
        try:
            return await self._answer(reader, writer, path, headers, is_streamed=is_streamed)
        finally:
            self.open_calls -= 1
            async with self._changed:
                self._changed.notify_all()

    async def _note(self, path: str, body: bytes) -> None:
        self.calls += 1
        self.open_calls += 1
        self.bodies.append(body)
        self.paths.append(path)
        async with self._changed:
            self._changed.notify_all()

    async def _answer(  # noqa: PLR0911  # one return for each way to misbehave
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        path: str,
        headers: dict[str, str],
        *,
        is_streamed: bool,
    ) -> bool:
        sickness = self.sickness
        match sickness:
            case Sickness.HANGS:
                await reader.read(1)  # returns when the client goes
                return False
            case Sickness.HELD:
                await self._released.wait()
            case Sickness.NOTHING:
                return False
            case Sickness.NOT_HTTP:
                writer.write(b"\x16\x03\x01 what do you want\r\n\r\n")
                return False
            case Sickness.HALF_THE_HEADERS:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
                await reader.read(1)  # returns when the client goes
                return False
            case Sickness.ENDLESS_HEADERS:
                writer.write(b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: y\r\n" % n for n in range(20_000)))
                return False
            case _:
                pass
        if self.recorded is not None and sickness not in _STATUS:
            kind, content = self.recorded
            self._write(writer, 200, content, kind)
            return True
        if is_streamed and sickness not in _STATUS and sickness not in _BODY:
            return await self._stream(reader, writer, path)
        if sickness in _STATUS:
            words = self.words.replace("{authorization}", headers.get("authorization", ""))
            self._write(writer, _STATUS[sickness], _error(sickness, words))
            return True
        content = self._whole(path) or _content(sickness, path, self.text)
        if sickness is Sickness.HUGE_UNANNOUNCED:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n" + content)
            return False
        if sickness is Sickness.HALF_A_BODY:
            length = len(content)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % length)
            writer.write(content[: length // 2])
            return False
        self._write(writer, 200, content, "text/html" if sickness is Sickness.WRONG_TYPE else "application/json")
        return True

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> bool:
        """Answer word by word, in chunks."""
        kind = "application/x-ndjson" if path.endswith("/api/chat") else "text/event-stream"
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        if self.sickness is Sickness.SLOW_FIRST:
            await reader.read(1)  # returns when the client goes
            return False
        is_sse = kind == "text/event-stream"
        text = _NO_TEXT.get(self.sickness, self.text)
        pieces = streamed_tool_reply(path, self.tool_calls) if self.tool_calls else streamed_reply(path, text)
        if self.sickness is Sickness.STREAM_GARBAGE:
            pieces = [b"data: {what\n\n" if is_sse else b"{what\n"]
        first_word = self.text.split(" ")[0].encode()
        middle = next((number + 1 for number, piece in enumerate(pieces) if first_word in piece), 0)
        for number, piece in enumerate(pieces):
            if number == middle and self.sickness is Sickness.STREAM_HELD:
                await self._released.wait()
            if number == middle and self.sickness is Sickness.STALLS:
                await reader.read(1)
                return False
            if number == middle and self.sickness is Sickness.BREAKS:
                return False
            if number == middle and self.sickness is Sickness.HALF:
                break
            if self.sickness is Sickness.NO_MARK and (b"[DONE]" in piece or b"message_stop" in piece):
                break
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
        if self.sickness in (Sickness.LEFT_OPEN, Sickness.NO_MARK):
            await reader.read(1)  # returns when the client goes
            return False
        if self.sickness is Sickness.ENDS_LATE:
            await self._released.wait()
        writer.write(b"0\r\n\r\n")
        return True

    def _whole(self, path: str) -> bytes:
        """A reply that is not about words, when it is well; empty if it is."""
        if self.sickness not in (Sickness.HEALTHY, Sickness.HELD):
            return b""
        if path.endswith(("/embeddings", "/api/embed", ":batchEmbedContents")):
            return embedding_reply(path, self.bodies[-1])
        return tool_reply(path, self.tool_calls) if self.tool_calls else b""

    def _write(self, writer: asyncio.StreamWriter, status: int, content: bytes, kind: str = "application/json") -> None:
        head = [f"HTTP/1.1 {status} Whatever", f"content-type: {kind}", f"content-length: {len(content)}"]
        if status == 429:
            head.append(f"retry-after: {self.retry_after}")
        if status == 302:
            head.append(f"location: {self.url}/elsewhere")
        writer.write(("\r\n".join(head) + "\r\n\r\n").encode() + content)


@contextmanager
def refusing_url() -> Iterator[str]:
    """An address at which nobody listens, and nobody else can come to listen meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def healthy_reply(path: str, text: str = TEXT, finish_reason: str | None = "") -> bytes:
    """A whole reply in the dialect of the path. A finish reason of None is left out."""
    if path.endswith("/api/tags"):
        return orjson.dumps({"models": [{"name": "tiny:latest"}, {"name": "other"}]})
    if path.endswith("/api/chat"):
        reply = {
            "model": "tiny",
            "message": {"role": "assistant", "content": text},
            "done": True,
            "prompt_eval_count": TOKENS_IN,
            "eval_count": TOKENS_OUT,
        }
        return orjson.dumps(reply if finish_reason is None else reply | {"done_reason": finish_reason or "stop"})
    if "GenerateContent" in path or "generateContent" in path:
        reason = None if finish_reason is None else finish_reason or "STOP"
        return orjson.dumps(_gemini(text, reason))
    if path.endswith("/v1/messages"):
        return orjson.dumps(
            {
                "type": "message",
                "model": "tiny",
                "content": [{"type": "text", "text": text}],
                "stop_reason": None if finish_reason is None else finish_reason or "end_turn",
                "usage": {"input_tokens": TOKENS_IN, "output_tokens": TOKENS_OUT},
            }
        )
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": None if finish_reason is None else finish_reason or "stop",
    }
    usage = {"prompt_tokens": TOKENS_IN, "completion_tokens": TOKENS_OUT}
    return orjson.dumps({"model": "tiny", "choices": [choice], "usage": usage})


def streamed_reply(path: str, text: str = TEXT) -> list[bytes]:
    """A reply word by word in the dialect of the path, its finish and sizes last."""
    words = [word + " " for word in text.split(" ")]
    words[-1] = words[-1][:-1]
    if path.endswith("/api/chat"):
        lines: list[dict[str, object]] = [{"model": "tiny", "message": {"content": w}, "done": False} for w in words]
        last = {"model": "tiny", "message": {"content": ""}, "done": True, "done_reason": "stop"}
        lines.append(last | {"prompt_eval_count": TOKENS_IN, "eval_count": TOKENS_OUT})
        return [orjson.dumps(line) + b"\n" for line in lines]
    if path.endswith("/v1/messages"):
        begin = {"model": "tiny", "usage": {"input_tokens": TOKENS_IN, "output_tokens": 1}}
        events: list[dict[str, object]] = [{"type": "message_start", "message": begin}]
        events.append({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
        events += [{"type": "content_block_delta", "delta": {"type": "text_delta", "text": word}} for word in words]
        usage = {"output_tokens": TOKENS_OUT}
        events.append({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage})
        events.append({"type": "message_stop"})
        return [b"event: x\ndata: " + orjson.dumps(event) + b"\n\n" for event in events]
    if "GenerateContent" in path:
        replies = [_gemini(word, None) for word in words[:-1]] + [_gemini(words[-1], "STOP")]
        return [b"data: " + orjson.dumps(reply) + b"\r\n\r\n" for reply in replies]
    chunks: list[dict[str, object]] = [
        {"model": "tiny", "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}
        for word in words
    ]
    chunks.append({"model": "tiny", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    usage = {"prompt_tokens": TOKENS_IN, "completion_tokens": TOKENS_OUT}
    chunks.append({"model": "tiny", "choices": [], "usage": usage})
    return [b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]


def _gemini(text: str, finish_reason: str | None) -> dict[str, object]:
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": finish_reason}
    usage = {"promptTokenCount": TOKENS_IN, "candidatesTokenCount": TOKENS_OUT}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "tiny"}


def _content(sickness: Sickness, path: str, text: str) -> bytes:  # noqa: PLR0911  # a table of contents
    match sickness:
        case Sickness.GARBAGE:
            return b'{"choices": [{"mess'
        case Sickness.WRONG_TYPE:
            return b"<html><body>Welcome to our gateway!</body></html>"
        case Sickness.HUGE | Sickness.HUGE_UNANNOUNCED:
            return b'"' + b"a" * HUGE_BYTES + b'"'
        case Sickness.EMPTY:
            return healthy_reply(path, _NO_TEXT[sickness])
        case Sickness.ONLY_THINKING:
            return healthy_reply(path, _NO_TEXT[sickness])
        case Sickness.NO_FINISH:
            return healthy_reply(path, finish_reason=None)
        case _:
            return healthy_reply(path, text)


def _error(sickness: Sickness, words: str) -> bytes:
    if sickness is Sickness.CONTEXT_OVERFLOW:
        words = "This model's maximum context length is 128 tokens."
    return orjson.dumps({"error": {"message": words, "type": "invalid_request_error"}})
