"""Personal text in a box that only its own key opens."""

from secrets import token_bytes

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.codec import Catalogue
from bus.messages.base import TaskId
from bus.messages.catalogue import EVENTS
from bus.messages.tasks import TaskCreated, TaskSpec
from storage import boxes
from storage.boxes import MARKER, NoBox
from tests.storage.golden_events import example

CATALOGUE = Catalogue(EVENTS)
KEY = token_bytes(boxes.KEY_BYTES)
PATHS = ("title", "spec.text")


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
