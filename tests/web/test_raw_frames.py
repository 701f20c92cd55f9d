"""Raw bytes against the real server: what RFC 6455 and the session's contract say to each.

A case is what a client sends after the upgrade, and what becomes of the connection: the code of the close frame, or
`open`, proved by a ping that is answered.
"""

import base64
import itertools
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketStream

from tests.web.support import World, served
from web.frames import FORBIDDEN, PROTOCOL
from web.wire import encode

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
OPEN = "open"
DEADLINE_S = 20.0
MARK = b"still here?"
LIMIT = 64 * 1024
HELLO = b'{"id":1,"method":"hello","params":{}}'


class Case(NamedTuple):
    """What is sent, and how it ends. `answers` are texts that must come before, in order."""

    sent: bytes
    ends: int | str
    answers: tuple[bytes, ...] = ()


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bool = True, length: bytes | None = None
) -> bytes:
    size = len(payload)
    if length is None:
        short = size if size < 126 else 126 if size < 1 << 16 else 127
        length = bytes((short,)) + (b"" if size < 126 else size.to_bytes(2 if size < 1 << 16 else 8))
    key = b"\x0a\x0b\x0c\x0d"
    head = bytes(((0x80 if fin else 0) | rsv << 4 | opcode, length[0] | (0x80 if mask else 0))) + length[1:]
    if not mask:
        return head + payload
    return head + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


def text(payload: bytes | str, **options: bool | int) -> bytes:
    body = payload if isinstance(payload, bytes) else payload.encode()
    return frame(TEXT, body, fin=bool(options.get("fin", True)), rsv=int(options.get("rsv", 0)))


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack(">H", code) + reason)


def said(method: str, id_: object = 2, **params: object) -> bytes:
    return text(encode({"id": id_, "method": method, "params": params}))


def fragments(payload: bytes, *cuts: int) -> bytes:
    """The payload in pieces."""
    edges = [0, *cuts, len(payload)]
    pieces = [payload[start:end] for start, end in itertools.pairwise(edges)]
    return b"".join(
        frame(CONTINUATION if index else TEXT, piece, fin=index == len(pieces) - 1)
        for index, piece in enumerate(pieces)
    )


WELCOME = (b'{"t":"welcome"',)
GREETED = text(HELLO)
EURO = '{"id":"€€","method":"hello","params":{}}'.encode()


def framing() -> Iterator[tuple[str, Case]]:
    """Bits, opcodes, masks and lengths."""
    for opcode in (*range(3, 8), *range(0xB, 0x10)):
        yield f"opcode {opcode:#x} is reserved", Case(frame(opcode, b"x"), 1002)
    for rsv in range(1, 8):
        yield f"reserved bits {rsv:03b} on text", Case(text(HELLO, rsv=rsv), 1002)
        yield f"reserved bits {rsv:03b} on a ping", Case(frame(PING, b"x", rsv=rsv), 1002)
    for opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
        yield f"opcode {opcode:#x} without a mask", Case(frame(opcode, b"{}", mask=False), 1002)
    for opcode in (CLOSE, PING, PONG):
        yield f"control {opcode:#x} in fragments", Case(frame(opcode, b"", fin=False), 1002)
        yield f"control {opcode:#x} of 126 bytes", Case(frame(opcode, b"\x03\xe8" + b"x" * 124), 1002)
    yield "a length with its highest bit set", Case(frame(TEXT, length=b"\x7f" + b"\x80" + bytes(7)), 1009)
    yield "a length of a terabyte", Case(frame(TEXT, length=b"\x7f" + (1 << 40).to_bytes(8)), 1009)
    yield "one byte more than the limit", Case(text(b" " * (LIMIT + 1)), 1009)
    yield "as much as the limit", Case(text(HELLO + b" " * (LIMIT - len(HELLO))), OPEN, WELCOME)
    yield "fragments beyond the limit", Case(fragments(b" " * (LIMIT + 2), LIMIT // 2, LIMIT), 1009)
    yield "a ping of 125 bytes", Case(GREETED + frame(PING, b"p" * 125), OPEN, WELCOME)
    yield "an empty ping", Case(GREETED + frame(PING), OPEN, WELCOME)
    yield "a pong that nobody asked for", Case(GREETED + frame(PONG, b"x"), OPEN, WELCOME)
    yield "many pings at once", Case(GREETED + frame(PING, b"x") * 200, OPEN, WELCOME)


def fragmentation() -> Iterator[tuple[str, Case]]:
    """Messages in pieces."""
    yield "a message in two", Case(fragments(HELLO, 5), OPEN, WELCOME)
    yield "a message in bytes", Case(fragments(HELLO, *range(1, len(HELLO))), OPEN, WELCOME)
    yield "a message with empty pieces", Case(fragments(HELLO, 0, 0, 9, 9), OPEN, WELCOME)
    yield "a character cut in the middle", Case(fragments(EURO, 8, 9), OPEN, WELCOME)
    first, last = text(HELLO[:9], fin=False), frame(CONTINUATION, HELLO[9:])
    yield "a ping between the pieces", Case(first + frame(PING, b"x") + last, OPEN, WELCOME)
    yield "a pong between the pieces", Case(first + frame(PONG, b"x") + last, OPEN, WELCOME)
    yield "a close between the pieces", Case(first + close(1000), 1002)
    yield "a message within a message", Case(first + text(HELLO), 1002)
    yield "a binary within a message", Case(first + frame(BINARY, b"x"), 1002)
    yield "a piece of nothing", Case(frame(CONTINUATION, HELLO), 1002)
    yield "a piece after the end", Case(GREETED + frame(CONTINUATION, b"x"), 1002)
    yield "a binary in pieces", Case(frame(BINARY, b"x", fin=False) + frame(CONTINUATION, b"y"), PROTOCOL)
    yield "reserved bits on a later piece", Case(first + frame(CONTINUATION, HELLO[9:], rsv=4), 1002)


def encodings() -> Iterator[tuple[str, Case]]:
    """What is no UTF-8."""
    for name, body in {
        "a lone continuation byte": b"\x80",
        "a start without its end": b"\xc3",
        "a start with a wrong end": b"\xc3\x28",
        "an overlong slash": b"\xc0\xaf",
        "an overlong zero": b"\xe0\x80\x80",
        "a surrogate": b"\xed\xa0\x80",
        "a pair of surrogates": b"\xed\xa0\x80\xed\xb0\x80",
        "past the last character": b"\xf4\x90\x80\x80",
        "five bytes": b"\xf8\x88\x80\x80\x80",
        "0xfe": b"\xfe",
        "0xff": b"\xff",
        "latin-1": b'{"id":1,"method":"caf\xe9"}',
        "UTF-16": '{"id":1}'.encode("utf-16"),
    }.items():
        yield f"{name} in text", Case(text(body), 1007)
    yield "a bad byte in a later piece", Case(fragments(HELLO[:-1] + b"\xff", 9), 1007)
    yield "a bad byte in a close", Case(close(1000, b"\xff"), 1007)


def closes() -> Iterator[tuple[str, Case]]:
    """How clients end it."""
    for code in (1000, 1001, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999):
        yield f"a close with {code}", Case(close(code, b"bye"), code)
    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535):
        yield f"a close with {code}, which there is not", Case(close(code), 1002)
    yield "a close without a code", Case(frame(CLOSE), 1005)
    yield "a close with half a code", Case(frame(CLOSE, b"\x03"), 1002)
    yield "a close with the longest reason", Case(close(1000, b"x" * 123), 1000)
    yield "a close after the hello", Case(GREETED + close(1000), 1000)


def contract() -> Iterator[tuple[str, Case]]:
    """Frames that are sound, and what they say."""
    for name, body in {
        "nothing": b"",
        "a brace": b"{",
        "null": b"null",
        "a number": b"1",
        "a string": b'"hello"',
        "a list": b"[]",
        "an empty object": b"{}",
        "no method": b'{"id":1}',
        "no id": b'{"method":"hello"}',
        "a null id": b'{"id":null,"method":"hello"}',
        "a fractional id": b'{"id":1.5,"method":"hello"}',
        "an id of true": b'{"id":true,"method":"hello"}',
        "a list as id": b'{"id":[1],"method":"hello"}',
        "an id that is too long": b'{"id":"%b","method":"hello"}' % (b"x" * 65),
        "a number as method": b'{"id":1,"method":1}',
        "an unknown field": b'{"id":1,"method":"hello","more":1}',
        "params that are none": b'{"id":1,"method":"hello","params":[]}',
        "an unknown parameter": b'{"id":1,"method":"hello","params":{"more":1}}',
        "a token that is a number": b'{"id":1,"method":"hello","params":{"token":1}}',
        "two documents": HELLO + HELLO,
        "NaN": b'{"id":NaN,"method":"hello"}',
        "a comment": b'/* */{"id":1,"method":"hello"}',
        "single quotes": b"{'id':1}",
        "a byte order mark": b"\xef\xbb\xbf" + HELLO,
        "very deep nesting": b'{"id":1,"method":"hello","params":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        "another method before hello": b'{"id":1,"method":"ping"}',
    }.items():
        yield f"{name} as the first frame", Case(text(body), PROTOCOL)
    yield "a binary frame", Case(frame(BINARY, HELLO), PROTOCOL)
    yield "an empty binary frame", Case(frame(BINARY), PROTOCOL)
    yield "a second hello", Case(GREETED + GREETED, PROTOCOL, WELCOME)
    yield "a binary frame after hello", Case(GREETED + frame(BINARY, b"x"), PROTOCOL, WELCOME)
    yield "a token that nobody has", Case(said("hello", 1, token="agora_x"), 4401)
    yield "another epoch", Case(said("hello", 1, resume={"epoch": 9, "position": 1}), 4409)
    for name, sent, answer in (
        ("a ping of the session", said("ping"), b'{"id":2,"result"'),
        ("a method that there is not", said("dance"), b'{"id":2,"error"'),
        ("a subscription without a name", said("subscribe"), b'{"id":2,"error"'),
        ("a subscription", said("subscribe", sub="a"), b'{"id":2,"result"'),
        ("the end of a subscription that is none", said("unsubscribe", sub="a"), b'{"id":2,"result"'),
        ("a pattern that is none", said("subscribe", sub="a", topics=["a..b"]), b'{"id":2,"error"'),
        ("a position past the head", said("subscribe", sub="a", from_=1), b'{"id":2,"error"'),
        ("a command of a reader", said("task.create", title="x", reward_msat=1), b'{"id":2,"error"'),
        ("an id of text", said("ping", "€"), '{"id":"€","result"'.encode()),
        ("a negative id", said("ping", -1), b'{"id":-1,"result"'),
        ("a zero byte in a name", said("subscribe", sub="a\0b"), b'{"id":2,"result"'),
    ):
        yield name, Case(GREETED + sent, OPEN, (*WELCOME, answer))


CASES = dict(case for part in (framing, fragmentation, encodings, closes, contract) for case in part())


def test_the_table_is_as_long_as_promised() -> None:
    assert len(CASES) >= 120


@pytest.mark.slow
async def test_each_sequence_of_frames_ends_as_it_should() -> None:
    world = World()
    wrong: dict[str, object] = {}
    async with served(world) as url:
        for name, case in CASES.items():
            for pace in (len(case.sent), 1) if len(case.sent) < 1_000 else (len(case.sent),):
                found = await outcome(url, case.sent, pace)
                if found[0] != case.ends or not _begins(found[1], case.answers):
                    wrong[f"{name} ({pace} bytes at a time)"] = found
        assert wrong == {}
        with anyio.fail_after(DEADLINE_S):
            while world.hub.clients:
                await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, 101),
        ({"Sec-WebSocket-Key": None}, 400),
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Sec-WebSocket-Version": "8"}, 400),
        ({"Sec-WebSocket-Version": None}, 400),
        ({"Connection": "keep-alive"}, 404),
        ({"Upgrade": "h2c"}, 404),
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-WebSocket-Protocol": "agora.v9"}, 101),
        ({"Sec-WebSocket-Extensions": "x-unknown"}, 101),
        ({"Sec-WebSocket-Extensions": "permessage-deflate; server_max_window_bits=99"}, 101),
    ],
)
async def test_an_upgrade_is_taken_or_refused_in_the_words_of_http(changed: dict[str, str | None], status: int) -> None:
    async with served(World()) as url, connected(url) as stream:
        await stream.send(upgrade(url, changed))
        with anyio.fail_after(DEADLINE_S):
            head = (await stream.receive()).partition(b"\r\n")[0]
    assert int(head.split()[1]) == status


async def test_a_forbidden_origin_learns_nothing() -> None:
    async with served(World()) as url, connected(url) as stream:
        await stream.send(upgrade(url, {"Origin": "https://evil.example"}))
        with anyio.fail_after(DEADLINE_S):
            answer = await stream.receive()
    assert b"not_permitted" in answer or str(FORBIDDEN).encode() in answer
    assert b"welcome" not in answer


async def outcome(url: str, sent: bytes, pace: int) -> tuple[int | str, list[bytes]]:
    """The close code or `open`, and the texts that came before."""
    async with connected(url) as stream:
        await stream.send(upgrade(url, {}))
        reader = Reader(stream)
        assert b" 101 " in await reader.until(b"\r\n\r\n")
        texts: list[bytes] = []
        for start in range(0, len(sent), pace):
            await _say(stream, sent[start : start + pace])
        await _say(stream, frame(PING, MARK))
        try:
            with anyio.fail_after(DEADLINE_S):
                while True:
                    opcode, payload = await reader.frame()
                    if opcode == CLOSE:
                        return (struct.unpack(">H", payload[:2])[0] if payload else 1005), texts
                    if opcode == TEXT:
                        texts.append(payload)
                    if opcode == PONG and payload == MARK:
                        # The protocol answers before the session does: ask that too.
                        await _say(stream, said("ping", "mark"))
                    if texts and b'"mark"' in texts[-1]:
                        return OPEN, texts
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return "cut", texts
        except TimeoutError:
            return "silent", texts


async def _say(stream: SocketStream, sent: bytes) -> None:
    """Send, if anybody still listens; if not, the close frame has come already."""
    with suppress(anyio.BrokenResourceError, anyio.EndOfStream):
        await stream.send(sent)


class Reader:
    """Frames from a server, which never masks."""

    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream
        self._buffer = b""

    async def until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            self._buffer += await self.stream.receive()
        found, _, self._buffer = self._buffer.partition(end)
        return found

    async def frame(self) -> tuple[int, bytes]:
        first, short = await self._take(2)
        length = short
        if short >= 126:
            length = int.from_bytes(await self._take(2 if short == 126 else 8))
        return first & 0xF, await self._take(length)

    async def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._buffer += await self.stream.receive()
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[SocketStream]:
    async with await anyio.connect_tcp("127.0.0.1", int(url.rpartition(":")[2])) as stream:
        yield stream


def upgrade(url: str, changed: dict[str, str | None]) -> bytes:
    usual: dict[str, str | None] = {
        "Host": url.removeprefix("http://"),
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "agora.v1",
    }
    headers = usual | changed
    lines = ["GET /ws HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _begins(texts: list[bytes], answers: tuple[bytes, ...]) -> bool:
    return len(texts) >= len(answers) and all(
        body.startswith(answer) for body, answer in zip(texts, answers, strict=False)
    )
