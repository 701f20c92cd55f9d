"""The event catalogue is a contract: names, versions and fields."""

import re

import msgspec

from bus.messages.catalogue import EVENTS, MESSAGES
from tests.house.catalogue import EventShape, catalogue, golden

HOW_TO_AGREE = "if the change is meant: raise the version, write an upcaster, run `python -m tests.house.catalogue`"


def test_no_event_is_gone() -> None:
    assert sorted(set(golden()) - set(catalogue())) == [], "a stored event must stay readable for ever"


def test_every_event_is_in_the_golden_copy() -> None:
    assert sorted(set(catalogue()) - set(golden())) == [], "run `python -m tests.house.catalogue`"


def test_no_event_changes_under_its_version() -> None:
    agreed, now = golden(), catalogue()
    assert [name for name in agreed.keys() & now.keys() if _is_broken(agreed[name], now[name])] == [], HOW_TO_AGREE


def test_the_golden_copy_knows_the_newest_version_of_every_event() -> None:
    agreed, now = golden(), catalogue()
    stale = [name for name in agreed.keys() & now.keys() if agreed[name] != now[name]]
    assert stale == [], HOW_TO_AGREE


def test_a_field_that_changes_without_a_new_version_is_noticed() -> None:
    for name, shape in catalogue().items():
        for fields in ({**shape.fields, "more": {"type": "string"}}, dict(list(shape.fields.items())[1:]), {}):
            changed = msgspec.structs.replace(shape, fields=fields)
            assert _is_broken(shape, changed) == (fields != shape.fields), name
            assert not _is_broken(shape, msgspec.structs.replace(changed, version=shape.version + 1))


def test_every_message_has_a_wire_name_of_its_own() -> None:
    names = [message.wire_name for message in MESSAGES]
    assert sorted(names) == sorted(set(names))


def test_wire_names_are_lowercase_words_with_dots() -> None:
    shape = re.compile(r"[a-z_]+(\.[a-z_]+)?")
    assert [message.wire_name for message in MESSAGES if not shape.fullmatch(message.wire_name)] == []


def test_every_message_says_when_it_is_sent() -> None:
    assert [message.__name__ for message in MESSAGES if not (message.__doc__ or "").strip()] == []


def test_the_subject_and_the_sealed_parts_of_an_event_are_fields_of_it() -> None:
    for event in EVENTS:
        named = {event.about, *event.sealed} - {""}
        assert named <= set(event.__struct_fields__), event.__name__


def _is_broken(agreed: EventShape, now: EventShape) -> bool:
    """Whether the shape changed although the version says that it did not."""
    return agreed != now and now.version <= agreed.version
