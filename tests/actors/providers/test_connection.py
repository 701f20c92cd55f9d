"""One connection, fed by hand: what is a reply, what is a fault, and when the connection may be used again."""

import asyncio
import gzip
import zlib
from functools import partial

import pytest

from actors.providers.connection import (
    OVERHEAD_BYTES_MAX,
    READ_AHEAD_BYTES_MAX,
    REPLY_BYTES_MAX,
    SENT_BYTES_MAX,
    Connection,
)
from actors.providers.dialect import ProviderFault
from actors.rules.cascade import ErrorClass

ASKED = b"GET / HTTP/1.1\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class Wire(asyncio.Transport):
    """A transport that keeps what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_paused = self.is_cut = False
        self.unsent = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_reading(self) -> bool:
        return not self.is_paused

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def is_closing(self) -> bool:
        return self.is_cut

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.is_cut = True


def opened() -> tuple[Connection, Wire]:
    connection, wire = Connection(set()), Wire()
    connection.connection_made(wire)
    connection.ask(ASKED)
    return connection, wire


def replied(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def fault_of(connection: Connection) -> ErrorClass:
    with pytest.raises(ProviderFault) as fault:
        await connection.whole()
    assert not connection.can_be_kept
    return fault.value.error


async def test_a_reply_is_read_whatever_pieces_it_comes_in_and_the_next_one_after_it() -> None:
    connection, wire = opened()
    for _ in range(2):
        for byte in replied(b"abc", "X-Y: z", "x-y: later"):
            connection.data_received(bytes([byte]))
        assert await connection.whole() == b"abc"
        assert (connection.status, connection.headers) == (200, {"content-length": "3", "x-y": "z"})
        assert connection.can_be_kept
        connection.ask(ASKED)
    assert wire.written == 3 * ASKED


async def test_who_waits_for_the_whole_reply_hears_of_its_last_piece_alone() -> None:
    connection, _ = opened()
    whole = replied(b"abc")
    reading = connection.whole()
    waiting = reading.send(None)
    assert isinstance(waiting, asyncio.Future)
    connection.data_received(whole[:-1])
    assert not waiting.done()
    connection.data_received(whole[-1:])
    assert waiting.done()
    with pytest.raises(StopIteration) as ended:
        reading.send(None)
    assert ended.value.value == b"abc"


async def test_a_word_on_the_way_is_passed_over_and_leaves_no_headers() -> None:
    connection, _ = opened()
    connection.data_received(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + replied(b"x"))
    assert await connection.whole() == b"x"
    assert "link" not in connection.headers


async def test_another_protocol_ends_the_connection_with_the_reply() -> None:
    connection, _ = opened()
    head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    connection.data_received(head + b"\x81\x00")
    await connection.whole()
    assert (connection.status, connection.can_be_kept) == (101, False)


async def test_a_reply_without_a_length_ends_with_the_connection() -> None:
    connection, _ = opened()
    connection.data_received(b"HTTP/1.1 200 OK\r\n\r\nabc")
    connection.connection_lost(None)
    assert await connection.whole() == b"abc"
    assert not connection.can_be_kept


@pytest.mark.parametrize(
    ("come", "lost", "words"),
    [
        (b"", None, "closed without a reply"),
        (b"HTTP/1.1 200 OK\r\nx: y", None, "closed without a reply"),
        (b"", ConnectionResetError(104, "reset by peer"), "the connection broke: reset by peer"),
        (replied(b"abc")[:-1], None, "in the middle of the reply"),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", ConnectionResetError(104, "reset by peer"), "in the middle of the reply"),
        (CHUNKED + b"3\r\nabc\r\n", None, "in the middle of the reply"),
        (CHUNKED.replace(b"chunked", b"Chunked") + b"3\r\nabc\r\n", None, "in the middle of the reply"),
    ],
)
async def test_a_connection_that_ends_before_its_reply_has_truncated_it(
    come: bytes, lost: Exception | None, words: str
) -> None:
    connection, _ = opened()
    connection.data_received(come)
    connection.connection_lost(lost)
    with pytest.raises(ProviderFault, match=words) as fault:
        await connection.whole()
    assert fault.value.error is ErrorClass.TRUNCATED
    with pytest.raises(ProviderFault, match="closed without a reply"):
        connection.ask(ASKED)


async def test_what_has_come_of_a_stream_is_read_before_its_fault() -> None:
    connection, _ = opened()
    connection.data_received(CHUNKED + b"3\r\nabc\r\n")
    connection.connection_lost(None)
    assert await connection.next() == b"abc"
    with pytest.raises(ProviderFault, match="in the middle"):
        await connection.next()


@pytest.mark.parametrize(
    "come",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc",
        CHUNKED + b"what\r\n",
        CHUNKED.replace(b"chunked", b"chunked, gzip"),
        CHUNKED.replace(b"chunked", b"identity\r\ntransfer-encoding: chunked"),
        b"HTTP/1.1 050 Odd\r\ncontent-length: 3\r\n\r\nabc" + replied(b"x"),
        replied(gzip.compress(b"abc", mtime=0) + b"more", "content-encoding: gzip"),
        replied(gzip.compress(b"abc", mtime=0) + gzip.compress(b"more", mtime=0), "content-encoding: gzip"),
        replied(b"abc", "content-encoding: br"),
        replied(b"abc", "content-encoding: gzip"),
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * OVERHEAD_BYTES_MAX,
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * OVERHEAD_BYTES_MAX,
        replied(b"a", "x: " + "y" * OVERHEAD_BYTES_MAX),
        CHUNKED + b"1\r\na\r\n0\r\n" + b"x: y\r\n" * OVERHEAD_BYTES_MAX,
        CHUNKED + b"1;" + b"x" * OVERHEAD_BYTES_MAX,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * OVERHEAD_BYTES_MAX,
    ],
)
async def test_what_is_no_honest_reply_is_garbage(come: bytes) -> None:
    connection, wire = opened()
    for start in range(0, len(come), 60_000):
        connection.data_received(come[start : start + 60_000])
    assert await fault_of(connection) is ErrorClass.GARBAGE
    assert wire.is_cut


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
async def test_a_reply_that_was_packed_all_the_same_is_unpacked(pack: partial[bytes]) -> None:
    connection, _ = opened()
    come = replied(pack(b"abc" * 1_000), f"content-encoding: {'gzip' if pack is gzip.compress else 'deflate'}")
    connection.data_received(come[:70])
    connection.data_received(come[70:])
    assert await connection.whole() == b"abc" * 1_000


@pytest.mark.parametrize(
    "come",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (REPLY_BYTES_MAX + 1),
        replied(gzip.compress(bytes(REPLY_BYTES_MAX + 1), mtime=0), "content-encoding: gzip"),
        b"HTTP/1.1 200 OK\r\n\r\n" + bytes(REPLY_BYTES_MAX + 1),
        CHUNKED + (b"1;" + b"x" * 16_000 + b"\r\na\r\n") * (SENT_BYTES_MAX // 16_000 + 1),
    ],
)
async def test_a_reply_longer_than_any_honest_one_is_too_large(come: bytes) -> None:
    connection, wire = opened()
    connection.data_received(come)
    assert wire.is_cut
    connection.connection_lost(None)
    assert await fault_of(connection) is ErrorClass.TOO_LARGE


async def test_of_a_stream_only_so_much_is_read_ahead() -> None:
    connection, wire = opened()
    connection.data_received(CHUNKED)
    await connection.head()
    piece = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    while not wire.is_paused:
        connection.data_received(piece)
    taken = await connection.next()
    assert READ_AHEAD_BYTES_MAX < len(taken) <= READ_AHEAD_BYTES_MAX + 0x10000
    assert wire.is_reading()


@pytest.mark.parametrize(
    "come",
    [
        replied(b"a") + replied(b"b"),
        replied(b"a", "connection: close"),
        replied(b"a").replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
async def test_a_connection_that_says_more_or_will_close_is_not_kept(come: bytes) -> None:
    connection, _ = opened()
    connection.data_received(come)
    assert await connection.whole() == b"a"
    assert not connection.can_be_kept


async def test_a_packed_reply_that_lacks_its_end_is_truncated_though_its_length_is_right() -> None:
    connection, _ = opened()
    connection.data_received(replied(gzip.compress(b"abc" * 1_000)[:-4], "content-encoding: gzip"))
    assert await fault_of(connection) is ErrorClass.TRUNCATED


async def test_a_reply_that_came_before_all_of_its_request_was_sent_ends_the_connection() -> None:
    connection, wire = opened()
    wire.unsent = 1
    connection.data_received(replied(b"too long", status="413 Content Too Large"))
    assert await connection.whole() == b"too long"
    assert not connection.can_be_kept


async def test_what_was_left_unread_is_no_part_of_the_next_reply() -> None:
    connection, _ = opened()
    connection.data_received(CHUNKED + b"3\r\nabc\r\n")
    assert await connection.next() == b"abc"
    connection.data_received(b"3\r\ndef\r\n0\r\n\r\n")
    assert connection.can_be_kept
    connection.ask(ASKED)
    connection.data_received(replied(b"x"))
    assert await connection.whole() == b"x"


async def test_what_comes_without_being_asked_for_closes_the_connection() -> None:
    connection, wire = opened()
    connection.data_received(replied(b"a"))
    connection.data_received(replied(b"b"))
    assert wire.is_cut
    assert connection.is_spent()


async def test_the_end_of_a_reply_is_told_once_to_who_wants_to_know() -> None:
    told: list[int] = []
    connection, _ = opened()
    connection.on_end = partial(told.append, 1)
    connection.data_received(replied(b"a"))
    connection.connection_lost(None)
    assert told == [1]
