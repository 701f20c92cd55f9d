"""Decide whether an answer keeps a JSON schema.

Rules: the part of JSON Schema that providers take for structured answers: types, enumerations, objects, arrays, bounds
and `anyOf`. A schema that says more than is understood here is refused when it is given, never half checked.
The words for what is wrong name the place.

Pure.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import orjson

from bus.refusals import InvalidField

DEPTH_MAX = 32
SCHEMA_BYTES_MAX = 16 * 1024
"""It travels with each attempt; honest ones have some hundred bytes."""

_NOTES = frozenset(("title", "description", "default", "examples", "$schema", "$id", "format"))
_BOUNDS = ("minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum")
_PARTS = ("type", "enum", "const", "properties", "required", "additionalProperties", "items", "anyOf")
_KEYWORDS = _NOTES.union(_BOUNDS, _PARTS)


def check_schema(text: str) -> None:
    """Raises InvalidField for a schema that could not be checked in full."""
    if len(text) > SCHEMA_BYTES_MAX:
        raise InvalidField("schema", f"is longer than {SCHEMA_BYTES_MAX} bytes")
    try:
        schema: object = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidField("schema", f"is not JSON: {error}") from error
    _check(schema, "schema", 0)


def fault_of(schema_text: str, answer: str) -> str:
    """Why an answer does not keep a schema that was checked; empty if it does."""
    try:
        value: object = orjson.loads(answer)
    except orjson.JSONDecodeError as error:
        return f"the answer is not JSON: {error}"
    return _fault(orjson.loads(schema_text), value, "answer")


def _check(schema: object, path: str, depth: int) -> None:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise InvalidField(path, "must be an object")
    if depth > DEPTH_MAX:
        raise InvalidField(path, "is nested too deeply")
    unknown = sorted(set(schema) - _KEYWORDS)
    if unknown:
        raise InvalidField(path, f"uses {unknown[0]!r}, which is not checked here")
    names = schema.get("type", [])
    for name in names if isinstance(names, list) else [names]:
        if name not in _TYPES:
            raise InvalidField(f"{path}.type", f"is not a type: {name!r}")
    _check_shape(schema, path)
    for name, part in schema.get("properties", {}).items():
        _check(part, f"{path}.{name}", depth + 1)
    for number, part in enumerate(schema.get("anyOf", [])):
        _check(part, f"{path}.anyOf.{number}", depth + 1)
    for keyword in ("items", "additionalProperties"):
        _check(schema.get(keyword, True), f"{path}.{keyword}", depth + 1)


def _check_shape(schema: Mapping[str, object], path: str) -> None:
    for keyword in _BOUNDS:
        if not _is_number(schema.get(keyword, 0)):
            raise InvalidField(f"{path}.{keyword}", "must be a number")
    properties, required, options = schema.get("properties", {}), schema.get("required", []), schema.get("anyOf", [])
    if not isinstance(properties, dict) or not isinstance(required, list) or not isinstance(options, list):
        raise InvalidField(path, "has properties, required or anyOf of the wrong type")
    if not isinstance(schema.get("enum", []), list):
        raise InvalidField(f"{path}.enum", "must be a list")


def _fault(schema: object, value: object, path: str) -> str:  # noqa: PLR0911  # a keyword each
    if not isinstance(schema, dict):
        return f"{path} is not allowed" if schema is False else ""
    names = schema.get("type", [])
    wanted = names if isinstance(names, list) else [names]
    if wanted and not any(_TYPES[name](value) for name in wanted):
        return f"{path} is no {' or '.join(wanted)}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{path} is none of the values that are allowed"
    if "const" in schema and value != schema["const"]:
        return f"{path} is not the value that is asked for"
    options = schema.get("anyOf", [])
    if options and all(_fault(option, value, path) for option in options):
        return f"{path} fits none of its alternatives"
    match value:
        case dict():
            return _fault_of_object(schema, value, path)
        case list():
            return _fault_of_array(schema, value, path)
        case str():
            return _fault_of_bounds(schema, "Length", len(value), path)
        case int() | float() if not isinstance(value, bool):
            return _fault_of_bounds(schema, "imum", value, path)
        case _:
            return ""


def _fault_of_object(schema: Mapping[str, object], value: Mapping[str, object], path: str) -> str:
    required, properties = schema.get("required", []), schema.get("properties", {})
    assert isinstance(required, list), "it was checked"
    assert isinstance(properties, dict), "it was checked"
    for name in required:
        if name not in value:
            return f"{path} has no {name!r}"
    for name, part in value.items():
        fault = _fault(properties.get(name, schema.get("additionalProperties", True)), part, f"{path}.{name}")
        if fault:
            return fault
    return ""


def _fault_of_array(schema: Mapping[str, object], value: list[object], path: str) -> str:
    for number, part in enumerate(value):
        fault = _fault(schema.get("items", True), part, f"{path}.{number}")
        if fault:
            return fault
    return _fault_of_bounds(schema, "Items", len(value), path)


def _fault_of_bounds(schema: Mapping[str, object], keyword: str, size: float, path: str) -> str:
    least, most = schema.get(f"min{keyword}"), schema.get(f"max{keyword}")
    if isinstance(least, int | float) and size < least:
        return f"{path} is less than min{keyword} {least}"
    if isinstance(most, int | float) and size > most:
        return f"{path} is more than max{keyword} {most}"
    return ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Mapping[str, Callable[[object], bool]] = MappingProxyType(
    {
        "object": lambda value: isinstance(value, dict),
        "array": lambda value: isinstance(value, list),
        "string": lambda value: isinstance(value, str),
        "boolean": lambda value: isinstance(value, bool),
        "null": lambda value: value is None,
        "integer": lambda value: _is_number(value) and float(str(value)).is_integer(),
        "number": _is_number,
    }
)
