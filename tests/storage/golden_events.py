"""An example of every event type in every version: `python -m tests.storage.golden_events` adds those that are new.

A line that stands is never changed: journals in the world hold events like it, and have to be read for ever.
"""

from pathlib import Path

import msgspec
from msgspec import inspect

from bus.codec import Catalogue
from bus.messages.base import Event
from bus.messages.catalogue import EVENTS

GOLDEN = Path(__file__).parent / "golden" / "events.jsonl"


class Stored(msgspec.Struct, frozen=True):
    """An event as its row has it."""

    type: str
    version: int
    data: str
    sealed: str | None


def golden() -> list[Stored]:
    """All lines."""
    return [msgspec.json.decode(line, type=Stored) for line in GOLDEN.read_bytes().splitlines()]


def example(kind: type[Event]) -> Event:
    """An event of a type with something in every field."""
    return msgspec.convert(_value(inspect.type_info(kind)), kind)


def _value(info: inspect.Type) -> object:  # noqa: PLR0911  one answer per kind of type
    match info:
        case inspect.StructType(fields=fields):
            return {field.encode_name: _value(field.type) for field in fields}
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.EnumType(cls=cls):
            return next(iter(cls)).value
        case inspect.UnionType(types=types):
            return _value(next(one for one in types if not isinstance(one, inspect.NoneType)))
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item) | inspect.SetType(item_type=item):
            return [_value(item)]
        case inspect.TupleType(item_types=items):
            return [_value(item) for item in items]
        case inspect.DictType(key_type=key, value_type=value):
            return {_value(key): _value(value)}
        case inspect.BoolType():
            return True
        case inspect.IntType(ge=ge):
            return ge or 7
        case inspect.FloatType():
            return 1.5
        case inspect.BytesType():
            return "eA=="
        case _:
            return "ä word"


def add_missing() -> int:
    """Write a line for every type and version that has none; how many there were."""
    known = {(line.type, line.version) for line in golden()} if GOLDEN.exists() else set()
    missing = [kind for kind in EVENTS if (kind.wire_name, kind.version) not in known]
    catalogue = Catalogue(EVENTS)
    with GOLDEN.open("ab") as file:
        for kind in sorted(missing, key=lambda kind: kind.wire_name):
            data, sealed = catalogue.encode(example(kind))
            line = Stored(kind.wire_name, kind.version, data.decode(), sealed.decode() if sealed is not None else None)
            file.write(msgspec.json.encode(line) + b"\n")
    return len(missing)


if __name__ == "__main__":
    print(f"added {add_missing()} events to {GOLDEN.name}")
