"""The pool over real sockets: what goes out, which connections are kept, and what cannot be sent."""

import asyncio
import contextlib
import gc
import os
import socket
import weakref

import pytest

from actors.providers.dialect import HttpRequest, ProviderFault
from actors.providers.pool import LINGERING_MAX, TARGETS_MAX, Pool
from actors.rules.cascade import ErrorClass
from tests.support.fault_server import FaultServer, Sickness, healthy_reply

PATH = "/v1/chat/completions"
STREAMED = b'{"stream":true}'


async def whole(pool: Pool, request: HttpRequest, method: str = "POST") -> tuple[int, bytes]:
    reply = await pool.ask(method, request, 1.0)
    try:
        parts = []
        while part := await reply.next():
            parts.append(part)
        return reply.status, b"".join(parts)
    finally:
        reply.end()


def sockets() -> set[str]:
    """All that this process has open."""
    links = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the listing's own is gone by now
            links.append(os.readlink(f"/proc/self/fd/{name}"))
    return {link for link in links if link.startswith("socket:")}


class Echo:
    """A server that keeps what it was sent, and answers in several pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []

    async def __aenter__(self) -> "Echo":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            self.bodies.append(await reader.readexactly(length))
            for piece in self.pieces:
                writer.write(piece)
                await writer.drain()
        finally:
            writer.close()


async def test_the_head_names_the_host_our_headers_and_the_bodys_length() -> None:
    async with Echo(b"HTTP/1.1 204 No Content\r\n\r\n") as echo:
        pool = Pool()
        try:
            url = f"http://127.0.0.1:{echo.port}/a b?c=ü"
            reply = await whole(pool, HttpRequest(url, {"x-api-key": "k"}, b"12345"))
        finally:
            await pool.close()
    assert reply == (204, b"")
    first, *rest = echo.heads[0].decode().strip().split("\r\n")
    assert first == "POST /a%20b?c=%C3%BC HTTP/1.1"
    assert {line.lower() for line in rest} == {
        f"host: 127.0.0.1:{echo.port}",
        "user-agent: agora",
        "accept: application/json",
        "accept-encoding: identity",
        "x-api-key: k",
        "content-length: 5",
    }
    assert echo.bodies == [b"12345"]


async def test_a_word_on_the_way_is_passed_over_and_chunks_are_put_together() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    async with Echo(hints, head, b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n") as echo:
        pool = Pool()
        try:
            reply = await whole(pool, HttpRequest(f"http://127.0.0.1:{echo.port}/", {}, b""))
        finally:
            await pool.close()
    assert reply == (200, b"abcde")


async def test_a_connection_is_kept_after_a_whole_reply_and_closed_after_a_part_of_one() -> None:
    async with FaultServer() as server:
        pool = Pool()
        try:
            request = HttpRequest(server.url + PATH, {}, b"{}")
            for _ in range(3):
                assert await whole(pool, request) == (200, healthy_reply(PATH))
            assert len(server.connections) == 1
            server.sickness = Sickness.STREAM_HELD
            reply = await pool.ask("POST", HttpRequest(server.url + PATH, {}, b'{"stream":true}'), 1.0)
            await reply.next()
            reply.end()
            server.release()
            await server.all_closed()
            await whole(pool, HttpRequest(server.url + PATH, {}, b'{"stream":true}'))
            assert len(server.connections) == 2
        finally:
            await pool.close()


async def test_a_connection_that_waits_is_closed_when_its_time_is_up_though_nobody_asks() -> None:
    async with FaultServer() as server:
        pool = Pool(keepalive_s=0.05)
        try:
            for _ in range(2):
                await whole(pool, HttpRequest(server.url + PATH, {}, b"{}"))
                await server.all_gone()
            assert (server.calls, len(server.connections)) == (2, 2)
        finally:
            await pool.close()


async def test_a_pool_that_is_closed_leaves_no_connection_and_no_timer() -> None:
    async with FaultServer(Sickness.ENDS_LATE) as server:
        pool = Pool()
        await whole(pool, HttpRequest(server.url + PATH, {}, b"{}"))
        reply = await pool.ask("POST", HttpRequest(server.url + PATH, {}, STREAMED), 1.0)
        await reply.next()
        reply.leave()
        await pool.close()
        server.release()
        await server.all_gone()
        seen = weakref.ref(pool)
        del pool, reply
        gc.collect()
        assert seen() is None, "a timer would hold it"


async def test_a_reply_that_is_left_and_ends_about_then_gives_its_connection_back() -> None:
    async with FaultServer(Sickness.ENDS_LATE) as server, FaultServer() as elsewhere:
        pool = Pool(linger_s=60.0)
        try:
            reply = await pool.ask("POST", HttpRequest(server.url + PATH, {}, STREAMED), 1.0)
            await reply.next()
            reply.leave()
            server.release()
            await server.all_closed()
            await whole(pool, HttpRequest(elsewhere.url + PATH, {}, b"{}"))  # meanwhile the end has come
            assert await whole(pool, HttpRequest(server.url + PATH, {}, b"{}")) == (200, healthy_reply(PATH))
            assert len(server.connections) == 1
        finally:
            await pool.close()


async def test_a_reply_that_is_left_and_does_not_end_has_its_connection_closed() -> None:
    async with FaultServer(Sickness.LEFT_OPEN) as server:
        pool = Pool(linger_s=0.01)
        try:
            reply = await pool.ask("POST", HttpRequest(server.url + PATH, {}, STREAMED), 1.0)
            await reply.next()
            reply.leave()
            await server.all_gone()
        finally:
            await pool.close()


async def test_of_too_many_replies_that_are_left_the_oldest_is_closed() -> None:
    async with FaultServer(Sickness.LEFT_OPEN) as server:
        pool = Pool(linger_s=60.0)
        try:
            for _ in range(LINGERING_MAX + 3):
                reply = await pool.ask("POST", HttpRequest(server.url + PATH, {}, STREAMED), 1.0)
                await reply.next()
                reply.leave()
            await server.left(3)
            assert server.open_calls == LINGERING_MAX
        finally:
            await pool.close()


async def test_what_is_no_http_is_said_to_be_none() -> None:
    async with FaultServer(Sickness.NOT_HTTP) as server:
        pool = Pool()
        try:
            with pytest.raises(ProviderFault, match="not HTTP") as fault:
                await pool.ask("POST", HttpRequest(server.url, {}, b"{}"), 1.0)
            assert fault.value.error is ErrorClass.GARBAGE
        finally:
            await pool.close()


async def test_a_header_that_would_end_early_is_never_sent() -> None:
    async with FaultServer() as server:
        pool = Pool()
        try:
            with pytest.raises(ProviderFault, match="no head of a request"):
                await pool.ask("POST", HttpRequest(server.url, {"x": "a\r\nhost: elsewhere"}, b"{}"), 1.0)
        finally:
            await pool.close()
        assert server.calls == 0


async def test_more_addresses_than_are_remembered_are_all_reached() -> None:
    async with FaultServer() as server:
        pool = Pool()
        try:
            for n in range(TARGETS_MAX + 2):
                assert (await whole(pool, HttpRequest(f"{server.url}{PATH}?{n}", {}, b"{}")))[0] == 200
        finally:
            await pool.close()
        assert len(server.connections) == 1


@pytest.mark.parametrize("url", ["http://", "ftp://nowhere/", "http://127.0.0.1:99999/", "http://" + "a" * 64 + "ü/"])
async def test_an_address_that_cannot_be_one_is_no_connection(url: str) -> None:
    pool = Pool()
    try:
        with pytest.raises(ProviderFault, match="its address") as fault:
            await pool.ask("POST", HttpRequest(url, {}, b""), 1.0)
        assert fault.value.error is ErrorClass.CONNECT
    finally:
        await pool.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_closing_ends_the_connections_that_are_being_made_and_leaves_no_socket(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, contextlib.ExitStack() as queued:
        port = server.getsockname()[1]
        if scheme == "http":  # whose queue is full: nobody else gets so far as to be connected
            for _ in range(2):
                waiting = queued.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(("127.0.0.1", port))
        before, pool = sockets(), Pool()
        asked = HttpRequest(f"{scheme}://127.0.0.1:{port}{PATH}", {}, b"{}")
        calls = [asyncio.create_task(pool.fetch("POST", asked, 60.0, 60.0)) for _ in range(5)]
        async with asyncio.timeout(10):
            while len(sockets() - before) < 5:
                await asyncio.wait(calls, timeout=0.01)
            await pool.close()
        assert sockets() - before == set()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        faults = [one for one in ended if isinstance(one, ProviderFault)]
        assert [fault.reason for fault in faults] == ["no connection: all are being closed"] * 5


async def test_a_connection_that_is_made_at_the_moment_of_closing_is_closed_too() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=20) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}{PATH}"
        for turns in range(12):  # of the loop, between asking and closing: some of them hit the very moment
            before, pool = sockets(), Pool()
            call = asyncio.create_task(pool.fetch("POST", HttpRequest(url, {}, b"{}"), 5.0, 5.0))
            for _ in range(turns):
                await asyncio.wait([call], timeout=0)
            await pool.close()
            await asyncio.wait([call])
            assert sockets() - before == set(), turns
            assert isinstance(call.exception(), ProviderFault)
