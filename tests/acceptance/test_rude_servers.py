"""Calls to servers that speak HTTP lawfully and not: each ends whole or in its row, and is sent once."""

import asyncio
import gzip
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Protocol, Self

import pytest

from actors.providers.connection import REPLY_BYTES_MAX
from actors.providers.dialect import HttpReply, HttpRequest, ProviderFault
from actors.providers.transport import Limits, Transport
from actors.rules.cascade import ErrorClass
from tests.support.certificates import self_signed

LIMIT_S = 20.0
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Wire:
    """A server that says to each request, whatever it is, what stands next in its script, byte by byte as given."""

    def __init__(self, *script: Sequence[bytes], host: str = "127.0.0.1", tls: SSLContext | None = None) -> None:
        self._script = list(script)
        self._host = host
        self._tls = tls
        self.hangs_up_after = False
        """Whether it closes the connection after a reply, without having said so."""
        self.resets = False
        """Whether it does so rudely."""
        self.requests: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.gone = asyncio.Event()
        """Set when a client has closed a connection."""
        self._handlers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._host, 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self.writers:
            writer.close()
        await ended(self._handlers)

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}/v1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        note_handler(self._handlers)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                for piece in self._script.pop(0):
                    writer.write(piece)
                    await writer.drain()
                if self.resets:
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                if self.hangs_up_after or self.resets:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone.set()
        finally:
            writer.close()


def note_handler(handlers: list[asyncio.Task[None]]) -> None:
    """Whoever closes the server waits for this connection's end."""
    task = asyncio.current_task()
    assert task is not None
    handlers.append(task)


async def ended(handlers: list[asyncio.Task[None]]) -> None:
    if handlers:
        await asyncio.wait(handlers, timeout=LIMIT_S)


@asynccontextmanager
async def banner_server() -> AsyncIterator[str]:
    """A server that speaks before it is spoken to, as those of other protocols do."""
    handlers: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        note_handler(handlers)
        writer.write(b"220 mail.example ESMTP\r\n")
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        await ended(handlers)


async def post(transport: Transport, url: str, limit_s: float = LIMIT_S, connect_s: float = LIMIT_S) -> HttpReply:
    return await transport.post(HttpRequest(url, {}, b"{}"), connect_s=connect_s, limit_s=limit_s)


async def streamed(transport: Transport, url: str, limit_s: float = LIMIT_S, connect_s: float = LIMIT_S) -> HttpReply:
    async with transport.stream(HttpRequest(url, {}, b"{}"), Limits(connect_s, limit_s)) as reply:
        return HttpReply(reply.status, reply.headers, await reply.rest())


class Way(Protocol):
    """How a reply is read."""

    def __call__(
        self, transport: Transport, url: str, limit_s: float = LIMIT_S, connect_s: float = LIMIT_S
    ) -> Awaitable[HttpReply]: ...


both = pytest.mark.parametrize("way", [post, streamed])


@both
@pytest.mark.parametrize(
    ("pieces", "body", "is_kept"),
    [
        (
            [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;x=y\r\no\r\n", b"1\r\nk\r\n0\r\nx: y\r\n\r\n"],
            b"ok",
            1,
        ),
        (
            [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Wait\r\n\r\n", b"HTTP/1.1 103 Hints\r\nlink: x\r\n\r\n", OK],
            b"ok",
            1,
        ),
        ([*(bytes([byte]) for byte in OK)], b"ok", 1),
        ([b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"], b"ok", 0),
        ([b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"], b"ok", 0),
        ([b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok"], b"ok", 1),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], b"", 1),
        ([b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n"], b"", 1),
        ([b"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\noh"], b"oh", 1),
        ([b"HTTP/1.1 307 There\r\nlocation: /else\r\ncontent-length: 0\r\n\r\n"], b"", 1),
        ([b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"], b"", 0),
        ([OK + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"], b"ok", 0),
        ([OK + b"more than was announced"], b"ok", 0),
    ],
)
async def test_a_lawful_reply_comes_whole_and_the_next_call_gets_its_own(
    way: Way, pieces: Sequence[bytes], body: bytes, is_kept: int
) -> None:
    async with Wire(pieces, [OK]) as wire, Transport() as transport:
        assert (await way(transport, wire.url)).body == body
        assert (await way(transport, wire.url)).body == b"ok"
        assert (len(wire.requests), len(wire.writers)) == (2, 2 - is_kept)


@both
async def test_without_a_length_a_reply_ends_with_its_connection(way: Way) -> None:
    async with Wire([b"HTTP/1.0 200 OK\r\n\r\nall", b" of it"]) as wire, Transport() as transport:
        wire.hangs_up_after = True
        assert (await way(transport, wire.url)).body == b"all of it"


@both
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_packed_reply_is_unpacked_though_nobody_asked_for_it(way: Way, coding: str) -> None:
    packed = (gzip if coding == "gzip" else zlib).compress(b"ok" * 1_000)
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {len(packed)}\r\n\r\n"
    async with Wire([head.encode() + packed], [OK]) as wire, Transport() as transport:
        assert (await way(transport, wire.url)).body == b"ok" * 1_000
        assert (await way(transport, wire.url)).body == b"ok"
        assert len(wire.writers) == 1


@both
@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ([b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nwhat\r\n"], ErrorClass.GARBAGE),
        ([b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 9\r\n\r\nnot gzip!"], ErrorClass.GARBAGE),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"], ErrorClass.GARBAGE),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok"], ErrorClass.GARBAGE),
        ([b"HTTP/1.1 200 OK\r\nx: " + b"y" * 20_000 + b"\r\ncontent-length: 2\r\n\r\nok"], ErrorClass.GARBAGE),
        ([b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 3_000 + b"\r\n"], ErrorClass.GARBAGE),
        ([b"SSH-2.0-OpenSSH_9.9\r\n"], ErrorClass.GARBAGE),
    ],
)
async def test_an_unlawful_reply_is_a_fault_and_its_connection_is_not_used_again(
    way: Way, pieces: Sequence[bytes], error: ErrorClass
) -> None:
    async with Wire(pieces, [OK]) as wire, Transport() as transport, asyncio.timeout(LIMIT_S):
        with pytest.raises(ProviderFault) as fault:
            await way(transport, wire.url)
        assert fault.value.error is error
        assert (await way(transport, wire.url)).body == b"ok"
        assert (len(wire.requests), len(wire.writers)) == (2, 2)


@both
async def test_a_small_packed_reply_that_unpacks_without_end_is_too_large(way: Way) -> None:
    packed = gzip.compress(b"\0" * (4 * REPLY_BYTES_MAX))
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    async with Wire([head + packed]) as wire, Transport() as transport:
        with pytest.raises(ProviderFault) as fault:
            await way(transport, wire.url)
        assert fault.value.error is ErrorClass.TOO_LARGE


@both
@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"])
async def test_a_connection_that_is_reset_is_a_reply_that_ended_early(way: Way, begun: bytes) -> None:
    async with Wire([begun]) as wire, Transport() as transport:
        wire.resets = True
        with pytest.raises(ProviderFault) as fault:
            await way(transport, wire.url)
        assert (fault.value.error, len(wire.requests)) == (ErrorClass.TRUNCATED, 1)


@both
async def test_a_server_that_closed_an_idle_connection_gets_the_next_call_once_on_another(way: Way) -> None:
    async with Wire([OK], [OK]) as wire, Transport() as transport:
        wire.hangs_up_after = True
        assert (await way(transport, wire.url)).body == b"ok"
        await wire.writers[0].wait_closed()
        assert (await way(transport, wire.url)).body == b"ok"
        assert (len(wire.requests), len(wire.writers)) == (2, 2)


@both
async def test_many_idle_connections_that_were_closed_at_once_cost_no_call(way: Way) -> None:
    async with Wire(*([[OK]] * 40)) as wire, Transport() as transport:
        await asyncio.gather(*(way(transport, wire.url) for _ in range(20)))
        for writer in wire.writers:
            writer.close()
            await writer.wait_closed()
        replies = await asyncio.gather(*(way(transport, wire.url) for _ in range(20)))
        assert {reply.body for reply in replies} == {b"ok"}
        assert len(wire.requests) == 40


@both
async def test_what_a_server_says_unasked_on_an_idle_connection_answers_no_call(way: Way) -> None:
    unasked = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"
    async with Wire([OK], [OK], [OK]) as wire, Transport() as transport:
        await way(transport, wire.url)
        wire.writers[0].write(unasked)
        await wire.writers[0].drain()
        assert (await way(transport, wire.url)).body == b"ok", "it has not been read yet"
        wire.writers[1].write(unasked)
        await wire.writers[1].drain()
        _, other = await asyncio.open_connection("127.0.0.1", wire.port)  # takes turns of the loop: it is read
        other.close()
        assert (await way(transport, wire.url)).body == b"ok"


@both
async def test_a_server_that_speaks_first_is_no_endless_search_for_one_that_does_not(way: Way) -> None:
    async with banner_server() as banner, Transport() as transport:
        with pytest.raises(ProviderFault) as fault:
            await way(transport, banner)
        assert fault.value.error in {ErrorClass.GARBAGE, ErrorClass.TRUNCATED}


async def test_a_call_that_is_cancelled_in_the_middle_of_a_reply_closes_its_socket() -> None:
    async with Wire([b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"]) as wire, Transport() as transport:
        call = asyncio.create_task(post(transport, wire.url))
        while not wire.requests:
            await asyncio.wait([call], timeout=0.01)
        await asyncio.wait([call], timeout=0.05)
        call.cancel()
        async with asyncio.timeout(LIMIT_S):
            await wire.gone.wait()
        await asyncio.wait([call])
        assert call.cancelled()


@both
async def test_a_reply_that_drips_ends_at_the_limit_of_the_whole_call(way: Way) -> None:
    async with Wire([b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"]) as wire, Transport() as transport:
        with pytest.raises(ProviderFault, match=r"within 0\.1 s") as fault:
            await way(transport, wire.url, 0.1)
        assert fault.value.error is ErrorClass.TIMEOUT
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0, "whatever ended it, nobody has cancelled the caller"
        async with asyncio.timeout(LIMIT_S):
            await wire.gone.wait()


@both
async def test_an_address_may_have_colons_a_path_and_a_query(way: Way) -> None:
    async with Wire([OK], host="::1") as wire, Transport() as transport:
        assert (await way(transport, f"{wire.url}/a%20b?api-version=2026-01")).body == b"ok"
        first, host, *_ = wire.requests[0].split(b"\r\n")
        assert first == b"POST /v1/a%20b?api-version=2026-01 HTTP/1.1"
        assert host.lower() == f"host: [::1]:{wire.port}".encode()


@both
async def test_a_certificate_that_nobody_trusts_is_no_connection_and_nothing_is_sent(way: Way, tmp_path: Path) -> None:
    tls = SSLContext(PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*self_signed(tmp_path / "own"))
    async with Wire([OK], tls=tls) as wire, Transport() as transport:
        with pytest.raises(ProviderFault, match="certificate") as fault:
            await way(transport, wire.url)
        assert (fault.value.error, wire.requests) == (ErrorClass.CONNECT, [])


@both
async def test_a_server_without_tls_behind_an_address_with_it_is_no_connection(way: Way) -> None:
    async with banner_server() as banner, Transport() as transport:
        with pytest.raises(ProviderFault) as fault:
            await way(transport, banner.replace("http:", "https:"))
        assert fault.value.error is ErrorClass.CONNECT


@both
async def test_a_handshake_that_never_ends_is_no_connection_within_the_limit_of_connecting(way: Way) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system takes the connection, and nobody answers
        async with Transport() as transport, asyncio.timeout(LIMIT_S):
            with pytest.raises(ProviderFault, match=r"no connection within 0\.2 s") as fault:
                await way(transport, f"https://127.0.0.1:{silent.getsockname()[1]}/v1", connect_s=0.2)
        assert fault.value.error is ErrorClass.CONNECT
