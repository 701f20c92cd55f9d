"""Personal text in a box that only its own key opens."""

from secrets import token_bytes

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.codec import Catalogue
from bus.messages.base import Event, TaskId
from bus.messages.catalogue import EVENTS
from bus.messages.tasks import TaskCreated, TaskSpec
from storage import boxes
from storage.boxes import MARKER, NoBox
from tests.storage.golden_events import example

CATALOGUE = Catalogue(EVENTS)
KEY = token_bytes(boxes.KEY_BYTES)
PATHS = ("title", "spec.text")
OLD_BOX = b"VeeXqtxY79gqhJgANA7m9qAnJXF13HEBv6XnFGOETqjLcNGdg34="
"""As it stands in journals."""


@given(st.text(max_size=60), st.text(max_size=60), st.integers(0, 2**40))
def test_what_goes_into_a_box_comes_out_to_the_byte_and_is_not_in_it_as_it_was(
    title: str, text: str, number: int
) -> None:
    data = msgspec.json.encode({"a": 1.0, "title": title, "spec": {"n": [1, "x"], "text": text}, "z": None})
    boxed = boxes.closed(data, PATHS, number, KEY)
    assert boxes.has_box(boxed) == bool(title or text)
    if boxes.has_box(boxed):
        assert boxes.key_number(boxed) == number
        assert boxes.opened(boxed, KEY) == data
        assert boxes.words_in(boxed, KEY) == {
            path: said for path, said in zip(PATHS, (title, text), strict=True) if said
        }
        redacted = msgspec.json.decode(boxes.opened(boxed, None))
        assert redacted["title"] == (MARKER if title else "")
        assert redacted["spec"] == {"n": [1, "x"], "text": MARKER if text else ""}


@pytest.mark.parametrize("kind", [kind for kind in EVENTS if kind.personal], ids=lambda kind: kind.wire_name)
def test_every_event_with_personal_text_can_be_read_when_it_is_redacted(kind: type) -> None:
    event = example(kind)
    data, sealed = CATALOGUE.encode(event)
    boxed = boxes.closed(data, event.personal, 7, KEY)
    assert len(boxes.words_in(boxed, KEY)) == len(event.personal)
    assert CATALOGUE.decode(event.wire_name, event.version, boxes.opened(boxed, KEY), sealed) == event
    redacted = boxes.opened(boxed, None)
    assert redacted.count(MARKER.encode()) == len(event.personal)
    assert type(CATALOGUE.decode(event.wire_name, event.version, redacted, sealed)) is kind
    assert not set(event.personal) & set(event.sealed)


def test_a_task_that_is_redacted_has_all_its_fields_but_the_words() -> None:
    created = TaskCreated(TaskId("t-1"), TaskSpec("find her", "write to her", reward_msat=7), 9)
    boxed = boxes.closed(CATALOGUE.encode(created)[0], TaskCreated.personal, 1, KEY)
    assert b"her" not in boxed
    expected = TaskCreated(TaskId("t-1"), TaskSpec(MARKER, MARKER, reward_msat=7), 9)
    assert CATALOGUE.decode("task.created", 1, boxes.opened(boxed, None)) == expected


HOSTILE = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            '"',
            "\\",
            '\\"',
            '","title":"x',
            '"title":',
            '{"spec":{',
            "\\\\",
            "null",
            "\u2028",
            "\0",
            "[redacted]",
            '"~b":"',
        ],
    ),
    st.text(alphabet='"\\{}:,ntile', max_size=20),
)


@pytest.mark.parametrize("kind", [kind for kind in EVENTS if kind.personal], ids=lambda kind: kind.wire_name)
@given(words=st.lists(HOSTILE, min_size=4, max_size=4), other=HOSTILE)
@settings(max_examples=40)
def test_whatever_the_words_of_an_event_are_they_come_out_to_the_byte_and_nothing_else_is_redacted(
    kind: type[Event], words: list[str], other: str
) -> None:
    fields = msgspec.json.decode(msgspec.json.encode(example(kind)), type=dict[str, object])
    said = dict(zip(kind.personal, words, strict=False))
    for name, value in fields.items():
        if isinstance(value, str) and name not in kind.personal:
            fields[name] = other
    for path, text in said.items():
        _put(fields, path, text)
    data = msgspec.json.encode(fields)
    boxed = boxes.closed(data, kind.personal, 7, KEY)
    assert boxes.opened(boxed, KEY) == data if any(said.values()) else boxed == data
    if any(said.values()):
        assert boxes.words_in(boxed, KEY) == {path: text for path, text in said.items() if text}
    for path, text in said.items():
        _put(fields, path, MARKER if text else "")
    assert msgspec.json.decode(boxes.opened(boxed, None) if any(said.values()) else boxed) == fields


def _put(fields: dict[str, object], path: str, text: str) -> None:
    name, _, rest = path.partition(".")
    inner = fields[name]
    if rest:
        assert isinstance(inner, dict)
        _put(inner, rest, text)
    else:
        fields[name] = text


@pytest.mark.parametrize(
    ("data", "redacted"),
    [
        (b'{"meta":{"title":"a book"},"title":"words"}', b'{"meta":{"title":"a book"},"title":"[redacted]"}'),
        (b'{"title":"words","meta":{"title":"a book"}}', b'{"title":"[redacted]","meta":{"title":"a book"}}'),
        (b'{"spec":{"text":"in"},"x":[{"text":"out"}]}', b'{"spec":{"text":"[redacted]"},"x":[{"text":"out"}]}'),
        (b'{"spec":null,"text":"out","title":"in"}', b'{"spec":null,"text":"out","title":"[redacted]"}'),
        (
            b'{"x":{"text":"out"},"spec":{"n":1},"title":"in"}',
            b'{"x":{"text":"out"},"spec":{"n":1},"title":"[redacted]"}',
        ),
        (b'{"title":["one","two"],"n":1}', b'{"title":"[redacted]","n":1}'),
        (b'{"a":"\\"title\\":\\"no\\"","title":"in"}', b'{"a":"\\"title\\":\\"no\\"","title":"[redacted]"}'),
    ],
)
def test_the_field_at_the_path_is_redacted_and_not_another_of_its_name(data: bytes, redacted: bytes) -> None:
    boxed = boxes.closed(data, PATHS, 7, KEY)
    assert boxes.opened(boxed, KEY) == data
    assert boxes.opened(boxed, None) == redacted


@pytest.mark.parametrize(
    "data", [b'{ "n" : 1, "title" : "words" }', b'{"t\\u0069tle":"words","n":1}', b'{"spec":{"text" :"words"},"n":1}']
)
def test_data_that_somebody_else_wrote_come_out_as_our_encoder_writes_them(data: bytes) -> None:
    boxed = boxes.closed(data, PATHS, 7, KEY)
    assert b"words" not in boxed
    assert boxes.opened(boxed, KEY) == msgspec.json.encode(msgspec.json.decode(data))


def test_what_has_no_words_stays_as_it_is() -> None:
    for data in (b'{"title":"","n":1}', b'{"title":null,"spec":null}', b'{"n":1}', b"{}", b'{"spec":{"text":""}}'):
        assert boxes.closed(data, PATHS, 7, KEY) == data


def test_a_box_that_was_written_long_ago_opens_still() -> None:
    key = bytes(range(32))
    box = b'{"~k":9,"~b":"BOX","n":1,"title":"[redacted]"}'.replace(b"BOX", OLD_BOX)
    assert boxes.opened(box, key) == b'{"n":1,"title":"words"}'
    assert boxes.closed(b'{"n":1,"title":"words"}', ("title",), 9, key) == box


def test_another_key_a_changed_box_and_no_box_are_told() -> None:
    boxed = boxes.closed(b'{"title":"words"}', ("title",), 3, KEY)
    with pytest.raises(NoBox, match="does not open"):
        boxes.opened(boxed, token_bytes(boxes.KEY_BYTES))
    at = boxed.index(b'"~b":"') + 8
    flipped = boxed[:at] + bytes([boxed[at] ^ 1]) + boxed[at + 1 :]
    with pytest.raises(NoBox):
        boxes.opened(flipped, KEY)
    for broken in (b'{"~k":', b'{"~k":x,"~b":"AA=="}', b'{"~k":1'):
        with pytest.raises(NoBox):
            boxes.key_number(broken)
    with pytest.raises(NoBox):
        boxes.opened(b'{"~k":1}', KEY)
    with pytest.raises(NoBox):
        boxes.opened(b'{"~k":1', KEY)
