"""Responses out of bytes, however these are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.providers.http1 import (
    HEAD_BYTES_MAX,
    LINE_BYTES_MAX,
    TRAILERS_MAX,
    NotHttp,
    ResponseReader,
    Truncated,
    request,
    request_head,
)

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;name=value\r\nhel\r\n2\r\nlo\r\n0\r\nx-checksum: 1\r\n\r\n"
)
CLOSED = b"HTTP/1.1 200 OK\r\n\r\nhello"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + LENGTH


def read(data: bytes, cuts: list[int] | None = None) -> tuple[ResponseReader, bytes]:
    reader, body, begin = ResponseReader(), b"", 0
    for cut in [*sorted({cut % (len(data) + 1) for cut in cuts or []}), len(data)]:
        if cut > begin:
            body += reader.feed(data[begin:cut])
            begin = cut
    return reader, body


@given(st.sampled_from([LENGTH, CHUNKED, CLOSED, INTERIM]), st.lists(st.integers(0, 200), max_size=12))
def test_a_response_is_the_same_wherever_the_network_cuts_it(data: bytes, cuts: list[int]) -> None:
    reader, body = read(data, cuts)
    reader.end()
    assert reader.head is not None
    assert (reader.head.status, body, reader.is_whole) == (200, b"hello", True)


@given(st.sampled_from([LENGTH, CHUNKED, INTERIM]), st.integers(0, 200))
def test_a_response_that_ends_early_is_truncated(data: bytes, cut: int) -> None:
    reader, _ = read(data[: cut % len(data)])
    with pytest.raises(Truncated):
        reader.end()


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_any_bytes_are_a_response_or_refused(data: bytes, cuts: list[int]) -> None:
    for prefix in (b"", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"):
        try:
            reader, body = read(prefix + data, cuts)
            reader.end()
        except (NotHttp, Truncated):
            continue
        assert len(body) <= len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 2000\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nname : x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1" * (LINE_BYTES_MAX + 1),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * (TRAILERS_MAX + 1),
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * HEAD_BYTES_MAX,
        LENGTH + b"more",
        CHUNKED + b"more",
    ],
)
def test_what_is_not_http_is_refused(data: bytes) -> None:
    with pytest.raises(NotHttp):
        read(data)


@pytest.mark.parametrize(
    ("data", "keeps_alive"),
    [
        (LENGTH, True),
        (CHUNKED, True),
        (CLOSED, False),
        (LENGTH.replace(b"HTTP/1.1", b"HTTP/1.0"), False),
        (LENGTH.replace(b"\r\nContent-Type", b"\r\nConnection: Close\r\nContent-Type"), False),
        (CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-length: 5\r\n\r\n", 1), False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    ],
)
def test_a_connection_serves_again_only_after_a_response_that_says_nothing_else(data: bytes, keeps_alive: bool) -> None:
    reader, _ = read(data)
    reader.end()
    assert reader.keeps_alive is keeps_alive


def test_a_request_is_its_head_its_length_and_its_body() -> None:
    head = request_head("POST", "/v1/x", "host:1", {"a": "b"})
    assert request(head, b"{}") == b"POST /v1/x HTTP/1.1\r\nhost: host:1\r\na: b\r\ncontent-length: 2\r\n\r\n{}"


@pytest.mark.parametrize("value", ["a\r\nevil: 1", "schl\u00fcssel", "a\x00b"])
def test_a_header_that_would_break_out_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="printable"):
        request_head("POST", "/", "host", {"authorization": value})
