"""The AsyncAPI document: every method and every event is in it, and what is sealed is not."""

import jsonschema_rs
import msgspec

from bus.messages.catalogue import EVENTS
from tests.support.contract import JsonObject
from web.asyncapi import SESSION, asyncapi_document
from web.frames import Frame
from web.methods import COMMANDS

DOCUMENT: JsonObject = msgspec.json.decode(msgspec.json.encode(asyncapi_document()))


def payload(name: str) -> jsonschema_rs.Validator:
    message = DOCUMENT["components"]["messages"][name]
    return jsonschema_rs.Draft202012Validator({"allOf": [message["payload"]], "components": DOCUMENT["components"]})


def test_every_method_is_a_message_that_the_server_hears() -> None:
    heard = {ref["$ref"].rpartition("/")[2] for ref in DOCUMENT["operations"]["hear"]["messages"]}
    assert heard == {*SESSION, *COMMANDS}


def test_every_event_is_a_message_of_the_stream() -> None:
    said = {ref["$ref"].rpartition("/")[2] for ref in DOCUMENT["operations"]["stream"]["messages"]}
    assert said == {event.wire_name for event in EVENTS}


def test_every_reference_leads_somewhere() -> None:
    def check(node: object) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                found: object = DOCUMENT
                for step in node["$ref"].removeprefix("#/").split("/"):
                    assert isinstance(found, dict)
                    found = found[step]
            for child in node.values():
                check(child)
        elif isinstance(node, list):
            for child in node:
                check(child)

    check(DOCUMENT)


def test_what_is_sealed_is_in_no_schema() -> None:
    sealed = [(event, name) for event in EVENTS for name in event.sealed]
    assert sealed
    for event, name in sealed:
        schema = DOCUMENT["components"]["schemas"][event.__name__]
        assert name not in schema["properties"]
        assert name not in schema["required"]


def test_a_frame_that_the_session_takes_is_valid_and_one_that_it_refuses_is_not() -> None:
    whole = msgspec.to_builtins(Frame(1, "hello", msgspec.Raw(b"{}")), builtin_types=(msgspec.Raw,)) | {"params": {}}
    assert payload("hello").is_valid(whole)
    assert not payload("hello").is_valid(whole | {"method": "ping"})
    assert not payload("task.create").is_valid({"id": 1, "method": "task.create"})
    assert payload("task.create").is_valid({"id": "a", "method": "task.create", "params": {"title": "x"}})
    assert not payload("subscribe").is_valid({"id": 1, "method": "subscribe", "params": {"sub": "a", "why": 1}})
