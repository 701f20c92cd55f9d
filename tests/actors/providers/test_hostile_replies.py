"""Replies as no honest server sends them, and calls that end at every moment: an answer, a fault with a class, no leak.

The properties feed a connection by hand, so that one that waits for ever is seen at once.
"""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.providers.connection import Connection
from actors.providers.dialect import HttpReply, HttpRequest, Prompt, ProviderFault
from actors.providers.opening import DIALECTS
from actors.providers.pool import Pool
from actors.providers.streaming import StreamReader
from actors.providers.transport import Limits, Transport
from actors.rules.cascade import ErrorClass
from bus.messages.completions import ChatMessage
from tests.actors.providers.test_connection import CHUNKED, opened, replied
from tests.actors.providers.test_dial import encrypted
from tests.support.certificates import self_signed
from tests.support.fault_server import FaultServer, healthy_reply, streamed_reply

HttpDialect = Literal["openai", "ollama", "anthropic", "gemini"]
PATHS: dict[HttpDialect, str] = {
    "openai": "/v1/chat/completions",
    "ollama": "/api/chat",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/tiny:generateContent",
}
PROMPT = Prompt((ChatMessage("user", "Hello."),), tokens_max=50, model="tiny", is_streamed=True)
LARGE = bytes(24 * 1024 * 1024)
"""A prompt for which no socket has room."""


def chunked(*pieces: bytes) -> bytes:
    return CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


RECORDED = [
    *(replied(healthy_reply(path), "content-type: application/json") for path in PATHS.values()),
    *(chunked(*streamed_reply(path)) for path in PATHS.values()),
    replied(gzip.compress(healthy_reply(PATHS["openai"]), mtime=0), "content-encoding: gzip"),
    b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    + chunked(b"ab", b"c").replace(b"0\r\n\r\n", b"0\r\nx: y\r\n\r\n"),
    b"HTTP/1.1 200 OK\r\nserver: x\r\n\r\n" + healthy_reply(PATHS["ollama"]),
]


def read(connection: Connection) -> HttpReply | ErrorClass:
    """The reply of a connection that is over: whoever still had to wait would wait for ever."""
    reading = connection.whole()
    try:
        reading.send(None)
    except StopIteration as ended:
        return HttpReply(connection.status, connection.headers, ended.value)
    except ProviderFault as fault:
        return fault.error
    raise AssertionError("it waits for ever")


async def fed(pieces: Sequence[bytes]) -> HttpReply | ErrorClass:
    connection, wire = opened()
    for piece in pieces:
        if not wire.is_cut:
            connection.data_received(piece)
    connection.connection_lost(None)
    return read(connection)


def split(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = [0, *sorted({cut % len(data) for cut in cuts}), len(data)]
    return [data[begin:end] for begin, end in pairwise(places)]


@given(st.sampled_from(RECORDED), st.lists(st.integers(0, 2_000), max_size=40))
def test_a_reply_is_the_same_wherever_the_network_cuts_it(recorded: bytes, cuts: list[int]) -> None:
    whole = asyncio.run(fed([recorded]))
    assert isinstance(whole, HttpReply)
    assert asyncio.run(fed(split(recorded, cuts))) == whole


@given(
    st.sampled_from(RECORDED),
    st.sampled_from(list(PATHS)),
    st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 3), st.binary(max_size=6)), min_size=1, max_size=6),
    st.lists(st.integers(0, 2_000), max_size=5),
)
def test_whatever_comes_is_an_answer_or_a_fault_and_nobody_waits_for_ever(
    recorded: bytes, dialect: HttpDialect, changes: list[tuple[int, int, bytes]], cuts: list[int]
) -> None:
    data = recorded
    for at, gone, new in changes:
        place = at % (len(data) + 1)
        data = data[:place] + new + data[place + gone :]
    reply = asyncio.run(fed(split(data or b"x", cuts)))
    if not isinstance(reply, HttpReply):
        return
    spoken = DIALECTS[dialect]
    with suppress(ProviderFault):
        spoken.decode(PROMPT, reply)
    reader = StreamReader(PROMPT, spoken.follow)
    with suppress(ProviderFault):
        for piece in split(reply.body or b"x", cuts):
            reader.feed(piece)
        reader.end()


@asynccontextmanager
async def deaf(reply: bytes = b"") -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A server that reads nothing. It may reply all the same, and then it closes. Its event: the client is gone."""
    gone, leaving = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # there is no other way to be deaf
        try:
            writer.write(reply)
            await writer.drain()
            if not reply:
                await leaving.wait()
        finally:
            writer.close()
            gone.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", gone
    finally:
        leaving.set()
        await gone.wait()
        server.close()


async def test_a_server_that_stops_reading_a_long_prompt_costs_no_more_than_the_limit() -> None:
    async with deaf() as (url, _), Transport() as transport:
        request = HttpRequest(url, {}, LARGE)
        with pytest.raises(ProviderFault) as fault:
            await transport.post(request, connect_s=10.0, limit_s=0.1)
        assert (fault.value.error, fault.value.reason) == (ErrorClass.TIMEOUT, "no whole reply within 0.1 s")
        with pytest.raises(ProviderFault) as fault:
            async with transport.stream(request, Limits(1.0, 60.0, first_s=0.1)):
                pass
        assert (fault.value.error, fault.value.reason) == (ErrorClass.TIMEOUT, "no first token within 0.1 s")


async def test_a_refusal_that_comes_before_the_prompt_was_read_is_heard() -> None:
    refusal = replied(b"too long", "connection: close", status="413 Content Too Large")
    for _ in range(10):
        async with deaf(refusal) as (url, _), Transport() as transport:
            reply = await transport.post(HttpRequest(url, {}, LARGE), connect_s=10.0, limit_s=10.0)
            assert (reply.status, reply.body) == (413, b"too long")


async def steps(number: int) -> None:
    """Let the loop turn so often."""
    loop = asyncio.get_running_loop()
    for _ in range(number):
        turned = loop.create_future()
        loop.call_soon(turned.set_result, None)
        await turned


@pytest.mark.parametrize("is_encrypted", [False, True])
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_call_that_is_cancelled_at_any_moment_leaves_nothing(
    tmp_path: Path, is_encrypted: bool, is_streamed: bool
) -> None:
    own = self_signed(tmp_path / "own")
    ended = 0
    async with FaultServer() as server:
        listening, place = await encrypted(own, server)
        port, scheme = (place.port, "https") if is_encrypted else (server.port, "http")
        body = b'{"stream":true}' if is_streamed else b"{}"
        request = HttpRequest(f"{scheme}://127.0.0.1:{port}{PATHS['openai']}", {}, body)

        async def call(pool: Pool) -> None:
            if not is_streamed:
                await pool.fetch("POST", request, 5.0, 5.0)
                return
            reply = await pool.ask("POST", request, 5.0)
            try:
                while await reply.next():
                    pass
            finally:
                reply.end()

        trust = ssl.create_default_context(cafile=own.certificate)
        for turns in range(40):
            pool = Pool(trust=lambda: trust)
            calling = asyncio.create_task(call(pool))
            await steps(turns)
            ended += calling.done()
            calling.cancel()
            await asyncio.wait([calling])
            assert calling.cancelled() or calling.exception() is None
            await pool.close()
            await server.all_gone()
        await steps(100)  # what has not even greeted yet is known to nobody but the loop
        await server.all_gone()
        listening.close()
    assert is_encrypted or ended > 0, "the last ones were through"


async def test_a_certificate_for_another_name_is_refused_with_the_reason(tmp_path: Path) -> None:
    own = self_signed(tmp_path / "own")
    async with FaultServer() as server:
        listening, place = await encrypted(own, server)
        pool = Pool(trust=lambda: ssl.create_default_context(cafile=own.certificate))
        try:
            with pytest.raises(ProviderFault, match="certificate is not valid for 'localhost'") as fault:
                await pool.fetch("POST", HttpRequest(f"https://localhost:{place.port}/", {"k": "v"}, b"{}"), 5.0, 5.0)
            assert (fault.value.error, server.calls) == (ErrorClass.CONNECT, 0)
        finally:
            await pool.close()
            listening.close()
