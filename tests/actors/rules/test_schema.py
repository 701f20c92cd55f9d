"""Does an answer keep its schema?"""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.rules.schema import DEPTH_MAX, SCHEMA_BYTES_MAX, check_schema, fault_of
from bus.refusals import InvalidField

PERSON = (
    '{"type": "object", "properties": {"name": {"type": "string", "minLength": 1}, "age": {"type": "integer",'
    ' "minimum": 0}, "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2}},'
    ' "required": ["name"], "additionalProperties": false}'
)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ('{"name": "x"}', ""),
        ('{"name": "x", "age": 3, "tags": ["a", "b"]}', ""),
        ("Sure! Here it is", "the answer is not JSON"),
        ("[]", "answer is no object"),
        ("{}", "answer has no 'name'"),
        ('{"name": ""}', "answer.name is less than minLength 1"),
        ('{"name": 1}', "answer.name is no string"),
        ('{"name": "x", "age": -1}', "answer.age is less than minimum 0"),
        ('{"name": "x", "age": 1.5}', "answer.age is no integer"),
        ('{"name": "x", "age": true}', "answer.age is no integer"),
        ('{"name": "x", "tags": ["c"]}', "answer.tags.0 is none of the values"),
        ('{"name": "x", "tags": ["a", "a", "a"]}', "answer.tags is more than maxItems 2"),
        ('{"name": "x", "more": 1}', "answer.more is not allowed"),
    ],
)
def test_what_is_wrong_with_an_answer_is_named_with_its_place(answer: str, fault: str) -> None:
    check_schema(PERSON)
    found = fault_of(PERSON, answer)
    assert found.startswith(fault)
    assert bool(found) is bool(fault)


def test_alternatives_and_constants_are_understood() -> None:
    schema = '{"anyOf": [{"const": 1}, {"type": ["null", "string"]}]}'
    check_schema(schema)
    assert [fault_of(schema, answer) == "" for answer in ("1", "null", '"x"', "2")] == [True, True, True, False]


@pytest.mark.parametrize(
    "schema",
    [
        "{",
        "1",
        '{"type": "thing"}',
        '{"pattern": "x"}',
        '{"properties": []}',
        '{"properties": {"a": {"oneOf": []}}}',
        '{"minLength": "1"}',
        '{"enum": 1}',
        '{"title": "' + "x" * SCHEMA_BYTES_MAX + '"}',
        '{"items": ' * (DEPTH_MAX + 2) + "true" + "}" * (DEPTH_MAX + 2),
    ],
)
def test_a_schema_that_could_not_be_checked_in_full_is_refused(schema: str) -> None:
    with pytest.raises(InvalidField, match="schema"):
        check_schema(schema)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, json_values)
def test_a_constant_is_kept_by_itself_alone(one: object, other: object) -> None:
    schema = orjson.dumps({"const": one}).decode()
    check_schema(schema)
    assert fault_of(schema, orjson.dumps(one).decode()) == ""
    assert (fault_of(schema, orjson.dumps(other).decode()) == "") is (one == other)
