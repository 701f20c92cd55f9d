"""uvicorn's socket and its heir: what an open connection keeps, and how it ends."""

import asyncio
import gc

import anyio
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.asyncio.client import connect
from websockets.protocol import OPEN as STATE_OPEN
from websockets.server import ServerProtocol

from tests.web.support import World, served
from tests.web.test_raw_frames import CLOSE, PING, PONG, close, frame, text
from web.framing import ReadyFrame
from web.live_socket import BROKEN_S, PING_S, LiveSocket, OpenSocket
from web.wire import encode

HELLO = encode({"id": 1, "method": "hello", "params": {}}).decode()


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.reads = True
        self.has_closed = False
        self.has_ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.written))

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.has_ended = True

    def close(self) -> None:
        self.has_closed = True

    def abort(self) -> None:
        self.has_closed = True

    def is_closing(self) -> bool:
        return self.has_closed


class Listener:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.heard: list[str | None] = []
        self.resumes = 0
        self.losses = 0

    def received(self, text: str | None) -> None:
        self.heard.append(text)

    def resumed(self) -> None:
        self.resumes += 1

    def lost(self) -> None:
        self.losses += 1


def opened(max_size: int = 1_000) -> tuple[OpenSocket, Wire, Listener]:
    wire, listener = Wire(), Listener()
    conn = ServerProtocol(state=STATE_OPEN, max_size=max_size)
    socket = OpenSocket(conn, wire, ServerState(), is_writable=True)
    socket.begin(listener, ())
    return socket, wire, listener


async def test_an_open_connection_keeps_neither_a_request_nor_a_task() -> None:
    async with served(World()) as url, connect("ws" + url.removeprefix("http") + "/ws") as socket:
        await socket.send(HELLO)
        await socket.recv()
        await anyio.wait_all_tasks_blocked()
        names = [task.name or "" for task in anyio.get_running_tasks()]
        assert [name for name in names if "run_asgi" in name or "Connection" in name] == []
        gc.collect()
        kinds = [type(kept) for kept in gc.get_objects()]
        assert (kinds.count(LiveSocket), kinds.count(WebSocketsSansIOProtocol), kinds.count(OpenSocket)) == (0, 0, 1)


def test_what_is_idle_has_no_dictionary_of_its_own() -> None:
    assert not hasattr(opened()[0], "__dict__")


def test_messages_come_whole_and_binary_ones_without_their_bytes() -> None:
    socket, _, listener = opened()
    first = text("{", fin=False) + frame(PING, b"between")
    socket.data_received(first)
    socket.data_received(frame(0, b"}") + frame(2, b"\0"))
    assert listener.heard == ["{}", None]


def test_what_was_whole_before_the_framing_broke_is_still_heard() -> None:
    async def run() -> None:
        socket, wire, listener = opened()
        socket.data_received(text("one") + frame(3, b"reserved") + text("two"))
        assert (listener.heard, listener.losses, wire.has_ended) == (["one"], 1, True)
        assert wire.written[-1][0] == 0x80 | CLOSE
        socket.data_received(text("three"))
        assert listener.heard == ["one"]
        assert BROKEN_S < 1.0
        socket.connection_lost(None)

    asyncio.run(run())


def test_a_silent_peer_is_asked_for_a_sign_of_life_and_then_given_up() -> None:
    socket, wire, listener = opened()
    socket.look(0.0)
    socket.look(PING_S - 1)
    assert wire.written == []
    socket.look(PING_S)
    assert wire.written == [bytes((0x80 | PING, 0))]
    socket.data_received(frame(PONG))
    for now_s in (PING_S + 1, 2 * PING_S + 1, 3 * PING_S):
        socket.look(now_s)
    assert (listener.losses, wire.has_closed) == (0, False)
    socket.look(3 * PING_S + 1)
    assert (listener.losses, wire.has_closed) == (1, True)


def test_pings_of_a_peer_that_does_not_read_wait_until_it_does() -> None:
    """Answers that nobody reads must not pile up."""
    socket, wire, listener = opened()
    socket.pause_writing()
    socket.data_received(frame(PING, b"x") * 10)
    assert not wire.reads
    socket.resume_writing()
    assert (wire.reads, listener.resumes) == (True, 1)


def test_a_listener_that_is_full_has_the_peer_wait() -> None:
    socket, wire, _ = opened()
    socket.hold(is_held=True)
    assert not wire.reads
    socket.hold(is_held=False)
    assert wire.reads


def test_after_the_farewell_nothing_is_written_and_the_peers_close_ends_it() -> None:
    async def run() -> None:
        socket, wire, listener = opened()
        socket.farewell((ReadyFrame(b"bye"),), 4012, "stop")
        said = len(wire.written)
        socket.write(ReadyFrame(b"late"))
        assert (len(wire.written), socket.is_writable, listener.losses) == (said, False, 1)
        assert b"".join(wire.written) == b"\x81\x03bye\x88\x06\x0f\xacstop"
        socket.data_received(close(4012))
        assert wire.has_closed
        socket.connection_lost(None)

    asyncio.run(run())


def test_a_server_that_stops_closes_who_has_not_been_told() -> None:
    async def run() -> None:
        socket, wire, listener = opened()
        socket.shutdown()
        assert (wire.written, wire.has_closed, listener.losses) == ([b"\x88\x02\x03\xf4"], False, 1)
        socket.data_received(close(1012))
        assert wire.has_closed
        socket.connection_lost(None)
        assert listener.losses == 1

    asyncio.run(run())
