"""A journal's lines."""

import io

from hypothesis import given
from hypothesis import strategies as st

from bus.envelope import StoredEvent
from bus.messages.base import BlobId, Position
from storage.jsonlines import (
    LINES_AT_A_TIME,
    BlobLine,
    Broken,
    EventLine,
    Head,
    Lines,
    blob_line,
    event_line,
    head_line,
    row_of,
)
from storage.past import encoded
from tests.storage.support import blob

TEXT = st.text(max_size=20)
EVENTS = st.builds(
    StoredEvent,
    position=st.integers(1, 10**12).map(Position),
    time_us=st.integers(0, 2**60),
    type=TEXT,
    version=st.integers(1, 9),
    source=TEXT,
    subject=TEXT,
    task=TEXT,
    agent=TEXT,
    run=TEXT,
    correlation=TEXT,
    cause=st.integers(0, 10**9).map(Position),
    cursor=st.integers(0, 10**9).map(Position),
    data=st.sampled_from([b"{}", b'{"a":1.50,"b":"\\u00e4"}', '{"c":"ä"}'.encode()]),
    sealed=st.sampled_from([None, b'{"price_msat":7}']),
    hash=st.binary(min_size=32, max_size=32),
)


def _read(content: bytes) -> list[object]:
    lines = Lines(io.BytesIO(content))
    found: list[object] = []
    while some := lines.some():
        assert len(some) <= LINES_AT_A_TIME
        found += [line for _, line in some]
    return found


@given(EVENTS)
def test_an_event_comes_back_to_the_byte(event: StoredEvent) -> None:
    (line,) = _read(event_line(event, has_sealed=True))
    assert isinstance(line, EventLine)
    assert row_of(line) == encoded(event)
    assert (line.hash, line.is_sealed) == (event.hash.hex(), False)
    (public,) = _read(event_line(event, has_sealed=False))
    assert isinstance(public, EventLine)
    assert (row_of(public)[:-1], row_of(public)[-1]) == (encoded(event)[:-1], None)
    assert public.is_sealed is (event.sealed is not None)


def test_the_head_and_blobs_are_told_apart_from_events() -> None:
    ((name, content),) = blob(b"\x00content").items()
    lines = _read(head_line(3, Position(9), has_sealed=True) + blob_line(name, content))
    assert lines == [Head(1, 3, Position(9), True), BlobLine(name, content)]


def test_what_cannot_be_read_is_told_by_its_line() -> None:
    wrong = blob_line(BlobId("00" * 32), b"content")
    lines = _read(b"\n" + wrong + b"nothing\n" + b'{"position":1,"ti')
    assert [type(line) for line in lines] == [Broken] * 3
    assert [line.line for line in lines if isinstance(line, Broken)] == [2, 3, 4]
    assert [line.is_blob for line in lines if isinstance(line, Broken)] == [True, False, False]
    assert "torn" in str(lines[2])
