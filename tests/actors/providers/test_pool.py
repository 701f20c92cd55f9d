"""The pool over real sockets: what goes out, which connections are kept, and what cannot be sent."""

import asyncio

import aiohttp
import pytest

from actors.providers.dialect import HttpRequest
from actors.providers.pool import TARGETS_MAX, NotHttp, Pool
from tests.support.fault_server import FaultServer, Sickness, healthy_reply

PATH = "/v1/chat/completions"


async def whole(pool: Pool, request: HttpRequest, method: str = "POST") -> tuple[int, bytes]:
    reply = await pool.ask(method, request, 1.0)
    try:
        parts = []
        while part := await reply.next():
            parts.append(part)
        return reply.status, b"".join(parts)
    finally:
        reply.end()


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


async def test_what_is_no_http_is_said_to_be_none() -> None:
    async with FaultServer(Sickness.NOT_HTTP) as server:
        pool = Pool()
        try:
            with pytest.raises(NotHttp):
                await pool.ask("POST", HttpRequest(server.url, {}, b"{}"), 1.0)
        finally:
            await pool.close()


async def test_a_header_that_would_end_early_is_never_sent() -> None:
    async with FaultServer() as server:
        pool = Pool()
        try:
            with pytest.raises(AssertionError, match="end early"):
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


async def test_an_address_that_cannot_be_one_is_an_error_of_the_client() -> None:
    pool = Pool()
    try:
        with pytest.raises(aiohttp.InvalidURL):
            await pool.ask("POST", HttpRequest("http://", {}, b""), 1.0)
    finally:
        await pool.close()
