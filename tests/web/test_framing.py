"""Ready frames: right heads, and one compressed form that every client can read."""

import hashlib
import zlib

import pytest
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from web.framing import COMPRESS_FROM_BYTES, COMPRESSED, TAIL, TEXT, ReadyFrame


def words(length: int) -> bytes:
    return b"".join(b'{"position":%d,"type":"task.created"},' % number for number in range(length // 30 + 1))[:length]


def body(frame: bytes) -> bytes:
    """What comes after the head."""
    return frame[{126: 4, 127: 10}.get(frame[1], 2) :]


@pytest.mark.parametrize(
    ("length", "head"),
    [
        (0, bytes((TEXT, 0))),
        (125, bytes((TEXT, 125))),
        (126, bytes((TEXT, 126, 0, 126))),
        (65_535, bytes((TEXT, 126, 255, 255))),
        (65_536, bytes((TEXT, 127, 0, 0, 0, 0, 0, 1, 0, 0))),
    ],
)
def test_the_head_tells_the_length_in_its_shortest_form(length: int, head: bytes) -> None:
    assert ReadyFrame(words(length)).plain == head + words(length)


def test_the_compressed_form_is_smaller_marked_and_begins_with_an_empty_window() -> None:
    frame = ReadyFrame(words(5_000))
    deflated = frame.deflated
    assert deflated[0] == TEXT | COMPRESSED
    assert len(deflated) < len(frame.plain) * 0.35
    assert zlib.decompressobj(-15).decompress(body(deflated) + TAIL) == words(5_000)


def test_a_client_reads_frames_of_others_between_its_own() -> None:
    extension = PerMessageDeflate(True, True, 15, 15)
    first, second = ReadyFrame(words(5_000)), ReadyFrame(words(9_000))
    for frame in (second, first, second):
        sent = Frame(Opcode.TEXT, body(frame.deflated), rsv1=True)
        assert extension.decode(sent).data == frame.payload


@pytest.mark.parametrize("payload", [b"", b"{}", words(COMPRESS_FROM_BYTES - 1)])
def test_what_is_short_is_sent_as_it_is(payload: bytes) -> None:
    frame = ReadyFrame(payload)
    assert frame.deflated is frame.plain


def test_what_does_not_shrink_is_sent_as_it_is() -> None:
    frame = ReadyFrame(b"".join(hashlib.sha256(bytes((number,))).digest() for number in range(64)))
    assert frame.deflated is frame.plain


def test_each_form_is_made_once() -> None:
    frame = ReadyFrame(words(5_000))
    assert frame.plain is frame.plain
    assert frame.deflated is frame.deflated
    assert frame.text is frame.text
    assert (len(frame), frame.text) == (5_000, words(5_000).decode())
