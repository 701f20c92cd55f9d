"""JSON Schema of the types that go over the wire, made from the types themselves.

Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

REF: Final = "#/components/schemas/{name}"

Schema = dict[str, object]

POSITION: Final[Schema] = {
    "type": "integer",
    "description": "The position of the first event that the request caused.",
}


def schemas_of(types: Iterable[object]) -> tuple[dict[object, Schema], dict[str, Schema]]:
    """A schema for each type, and the components to which they refer."""
    wanted = list(dict.fromkeys(types))
    found, components = msgspec.json.schema_components(wanted, schema_hook=_of_other, ref_template=REF)
    return dict(zip(wanted, found, strict=True)), components


def with_position(schema: Schema, components: Mapping[str, Schema]) -> Schema:
    """The schema of a reply to a command: its fields, and the position of the first event that it caused."""
    whole = components[str(schema["$ref"]).rpartition("/")[2]]
    properties, required = whole["properties"], whole.get("required", [])
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    return {
        **whole,
        "title": f"{whole['title']}AtPosition",
        "properties": {"position": POSITION, **properties},
        "required": ["position", *(name for name in required if name != "position")],
    }


def _of_other(kind: type) -> Schema:
    if kind is object:
        return {"description": "Any JSON."}
    raise NotImplementedError(f"{kind!r} has no schema")
