"""The AsyncAPI document of the live socket and of every event, made from the message types.

The server's side speaks: it receives what clients send, and sends what they are sent. A method's parameters and its
answer are one message each; an event is a CloudEvent whose `data` are its fields, without the sealed ones.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from bus.messages.base import Event, Message
from bus.messages.catalogue import EVENTS
from web.documents import SERVER_FRAMES
from web.frames import SUBPROTOCOL, Empty, Hello, Look, Subscribe, Unsubscribe
from web.methods import COMMANDS
from web.schemas import REF, Schema, schemas_of, with_position
from web.wire import WireEvent

VERSION: Final = "3.0.0"
SESSION: Final[dict[str, tuple[type[msgspec.Struct], str]]] = {
    "hello": (Hello, "Comes first, and once: who the client is, and where it goes on."),
    "subscribe": (Subscribe, "Follow events, from the head or from the past, or the state."),
    "unsubscribe": (Unsubscribe, "End a subscription."),
    "ping": (Empty, "Ask for a sign of life."),
    "query": (Look, "Look at something once."),
}
"""Methods of the session itself: their parameters, and what for."""

Refs = Mapping[object, Schema]


def asyncapi_document() -> Schema:
    """The whole document."""
    refs, components = _schemas()
    heard = {name: _request(name, refs[params]) for name, params in _params().items()}
    answers = {f"{name}.answer": _answer(method.answer, refs, components) for name, method in COMMANDS.items()}
    frames = {frame.__name__: _message(refs[frame], _first_line(frame)) for frame in SERVER_FRAMES}
    events = {event.wire_name: _event(event, refs) for event in EVENTS}
    said = answers | frames
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Agora",
            "version": "1",
            "description": f"The live socket. Its subprotocol is `{SUBPROTOCOL}`; every frame is text and JSON.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "live": {"address": "/ws", "messages": {name: _at("messages", name) for name in heard | said}},
            "events": {"address": "/api/events", "messages": {name: _at("messages", name) for name in events}},
        },
        "operations": {
            "hear": _operation("receive", "live", list(heard)),
            "say": _operation("send", "live", list(said)),
            "stream": _operation("send", "events", list(events)),
        },
        "components": {"messages": heard | said | events, "schemas": components},
    }


def _schemas() -> tuple[Refs, dict[str, Schema]]:
    """A reference to the schema of each type, and the schemas; an event's has no sealed fields."""
    types: list[object] = [*_params().values(), *SERVER_FRAMES, WireEvent, *EVENTS]
    types += [method.answer for method in COMMANDS.values()]
    refs, components = schemas_of(types)
    for event in EVENTS:
        _take_sealed_out(components[str(refs[event]["$ref"]).rpartition("/")[2]], event)
    return refs, components


def _params() -> dict[str, type[msgspec.Struct]]:
    return {name: params for name, (params, _) in SESSION.items()} | {
        name: method.params for name, method in COMMANDS.items()
    }


def _take_sealed_out(schema: Schema, event: type[Event]) -> None:
    properties, required = schema["properties"], schema.get("required", [])
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    for name in event.sealed:
        properties.pop(name, None)
    schema["required"] = [name for name in required if name not in event.sealed]


def _request(name: str, params: Schema) -> Schema:
    properties: Schema = {
        "id": {"type": ["integer", "string"], "description": "The answer has the same."},
        "method": {"const": name},
        "params": params,
        "idem": {"type": "string", "description": "An idempotency key: the same one is answered the same."},
    }
    required = ["id", "method"] + (["params"] if _has_required(_params()[name]) else [])
    payload: Schema = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    meaning = SESSION[name][1] if name in SESSION else f"Needs the scope `{COMMANDS[name].scope}`."
    return _message(payload, meaning)


def _answer(kind: type[Message], refs: Refs, components: Mapping[str, Schema]) -> Schema:
    payload: Schema = {
        "type": "object",
        "properties": {"id": {"type": ["integer", "string"]}, "result": with_position(refs[kind], components)},
        "required": ["id", "result"],
    }
    return _message(payload, _first_line(kind))


def _event(kind: type[Event], refs: Refs) -> Schema:
    own: Schema = {"type": "object", "properties": {"type": {"const": kind.wire_name}, "data": refs[kind]}}
    return _message({"allOf": [refs[WireEvent], own]}, _first_line(kind))


def _message(payload: Schema, meaning: str) -> Schema:
    return {"payload": payload, "summary": meaning}


def _operation(action: str, channel: str, messages: list[str]) -> Schema:
    refs = [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages]
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "messages": refs}


def _at(section: str, name: str) -> Schema:
    return {"$ref": REF.replace("schemas", section).format(name=name)}


def _has_required(params: type[msgspec.Struct]) -> bool:
    return any(field.required for field in msgspec.structs.fields(params))


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]
