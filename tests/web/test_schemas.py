"""JSON Schema of what goes over the wire."""

import msgspec
import pytest

from bus.messages.base import Done
from bus.messages.tasks import TaskAccepted
from web.schemas import schemas_of, with_position


class Loose(msgspec.Struct, frozen=True):
    anything: msgspec.Raw


def test_raw_json_and_objects_may_be_anything() -> None:
    schemas, components = schemas_of([Loose])
    assert schemas[Loose] == {"$ref": "#/components/schemas/Loose"}
    assert components["Loose"]["properties"] == {"anything": {}}


def test_a_type_without_a_schema_is_named() -> None:
    with pytest.raises(TypeError, match="complex"):
        schemas_of([dict[str, complex]])


def test_a_reply_at_a_position_has_its_fields_and_the_position_and_no_more() -> None:
    schemas, components = schemas_of([Done, TaskAccepted])
    done = with_position(schemas[Done], components)
    assert (done["required"], done["additionalProperties"]) == (["position"], False)
    accepted = with_position(schemas[TaskAccepted], components)
    assert isinstance(accepted["properties"], dict)
    assert {"position", *TaskAccepted.__struct_fields__} == set(accepted["properties"])
