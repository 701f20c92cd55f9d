"""Every event that was ever stored can be read, by its type and version."""

import pytest

from bus.codec import Catalogue
from bus.messages.catalogue import EVENTS
from tests.storage.golden_events import Stored, example, golden

CATALOGUE = Catalogue(EVENTS)


@pytest.mark.parametrize("stored", golden(), ids=lambda stored: f"{stored.type}-{stored.version}")
def test_an_event_that_was_stored_is_read(stored: Stored) -> None:
    sealed = stored.sealed.encode() if stored.sealed is not None else None
    event = CATALOGUE.decode(stored.type, stored.version, stored.data.encode(), sealed)
    assert event.wire_name == stored.type
    if event.version == stored.version:
        assert CATALOGUE.encode(event) == (stored.data.encode(), sealed)


def test_every_type_has_a_line_in_its_newest_version() -> None:
    known = {(line.type, line.version) for line in golden()}
    missing = [kind.wire_name for kind in EVENTS if (kind.wire_name, kind.version) not in known]
    assert missing == [], "run `python -m tests.storage.golden_events`"


def test_an_example_has_something_in_every_field() -> None:
    for kind in EVENTS:
        assert CATALOGUE.decode(kind.wire_name, kind.version, *CATALOGUE.encode(example(kind))) == example(kind)
