"""Listening: taken ports, Unix sockets, and an end in good order."""

import asyncio
import socket
import stat
from pathlib import Path

import aiohttp
import anyio
import pytest

from bus.errors import CannotListen
from tests.web.support import World, served
from web.options import WebOptions
from web.server import listen, serving, url_of


def test_a_taken_port_is_an_error_that_says_so() -> None:
    with listen(WebOptions(port=0)) as first:
        port = first.getsockname()[1]
        with pytest.raises(CannotListen, match=f"127.0.0.1:{port}: the port is taken"):
            listen(WebOptions(port=port))


@pytest.mark.parametrize(("host", "reason"), [("nowhere.invalid", "not known"), ("203.0.113.7", "no such address")])
def test_an_address_that_is_not_ours_is_an_error_that_says_so(host: str, reason: str) -> None:
    with pytest.raises(CannotListen, match=reason):
        listen(WebOptions(host=host, port=0))


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://127.0.0.1:"), ("::1", "http://[::1]:")]
)
def test_the_address_that_is_shown_can_be_opened(host: str, shown: str) -> None:
    options = WebOptions(host=host, port=0)
    with listen(options) as listener:
        assert url_of(listener, options).startswith(shown)


async def test_it_serves_until_the_block_ends_and_frees_the_port() -> None:
    world = World()
    async with served(world) as url, aiohttp.ClientSession() as http, http.get(f"{url}/healthz") as response:
        assert (response.status, "server" in response.headers) == (200, False)
    port = int(url.rpartition(":")[2])
    with listen(WebOptions(port=port)) as again:
        assert again.getsockname()[1] == port


async def test_what_is_written_to_a_client_goes_out_at_once() -> None:
    """Or a reply's body waits until the client has acknowledged its head, which takes it 40 ms."""
    heard: list[int] = []

    async def on_client(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    options = WebOptions(port=0)
    listener = listen(options)
    async with await asyncio.start_server(on_client, sock=listener):
        reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
        assert await reader.read() == b""
        writer.close()
    assert heard == [1]


async def test_an_error_in_the_block_ends_the_server_too() -> None:
    world = World()
    with pytest.raises(ExceptionGroup) as caught:
        async with served(world):
            raise KeyError("of the caller")
    assert caught.value.subgroup(KeyError) is not None


async def test_who_is_cancelled_leaves_a_server_that_ended_in_order() -> None:
    world = World()
    with anyio.CancelScope() as scope:
        async with served(world) as url:
            scope.cancel()
            await anyio.sleep_forever()
    with listen(WebOptions(port=int(url.rpartition(":")[2]))):
        assert world.hub.is_closing


async def test_a_socket_that_never_ends_its_request_does_not_hold_up_the_stop() -> None:
    world = World()
    async with served(world) as url:
        host, _, port = url.removeprefix("http://").rpartition(":")
        stream = await anyio.connect_tcp(host, int(port))
        await stream.send(b"POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n")
    await stream.aclose()


async def test_a_unix_socket_is_its_owners_alone_and_counts_as_loopback(tmp_path: Path) -> None:
    path = tmp_path / "agora.sock"
    world = World(WebOptions(socket_path=str(path)))
    listener = await anyio.to_thread.run_sync(listen, world.options)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with (
        serving(world.app, world.hub, listener, world.limits),
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as http,
        http.get("http://agora/api/state") as response,
    ):
        assert response.status == 200


def test_a_stale_unix_socket_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "agora.sock"
    options = WebOptions(socket_path=str(path))
    listen(options).close()
    with listen(options), pytest.raises(CannotListen, match="another process listens there"):
        listen(options)
    (tmp_path / "file").write_text("precious")
    with pytest.raises(CannotListen, match="not a socket"):
        listen(WebOptions(socket_path=str(tmp_path / "file")))
    assert (tmp_path / "file").read_text() == "precious"


def test_a_bound_socket_does_not_block() -> None:
    with listen(WebOptions(port=0)) as listener, pytest.raises(BlockingIOError):
        listener.accept()
    assert isinstance(listener, socket.socket)
