"""The event catalogue as data, and the golden copy of it: `python -m tests.house.catalogue` writes the copy anew.

A stored event's meaning never changes. Its fields may change only together with its version, and the golden copy is
how a change is noticed: it is written by hand, on purpose, never by a test.
"""

from pathlib import Path

import msgspec

from bus.messages.base import Event
from bus.messages.catalogue import EVENTS

GOLDEN = Path(__file__).parent / "golden" / "events.json"


class EventShape(msgspec.Struct, frozen=True):
    """What is contracted of one event: everything that a stored row depends on."""

    version: int
    about: str
    is_kept: bool
    sealed: tuple[str, ...]
    fields: dict[str, object]
    """The fields with their types as JSON schemas, the structs in them included."""


Catalogue = dict[str, EventShape]


def catalogue() -> Catalogue:
    """The shapes of all events, by wire name."""
    return {event.wire_name: _shape(event) for event in sorted(EVENTS, key=lambda event: event.wire_name)}


def golden() -> Catalogue:
    """The shapes as they were agreed."""
    return msgspec.json.decode(GOLDEN.read_bytes(), type=Catalogue)


def write_golden() -> None:
    """Agree to the shapes as they are."""
    GOLDEN.write_bytes(msgspec.json.format(msgspec.json.encode(catalogue()), indent=2) + b"\n")


def _shape(event: type[Event]) -> EventShape:
    fields = {field.encode_name: _schema(field.type) for field in msgspec.structs.fields(event)}
    return EventShape(event.version, event.about, event.is_kept, event.sealed, fields)


def _schema(annotation: object) -> object:
    """A type as plain JSON that stays the same when only its documentation changes."""
    return _without_words(msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(annotation))))


def _without_words(schema: object) -> object:
    if isinstance(schema, dict):
        return {key: _without_words(value) for key, value in schema.items() if key not in {"title", "description"}}
    if isinstance(schema, list):
        return [_without_words(item) for item in schema]
    return schema


if __name__ == "__main__":
    write_golden()
    print(f"wrote {len(catalogue())} events to {GOLDEN.name}")
