"""Holds every answer and frame of an application to its own OpenAPI and AsyncAPI documents.

`Checked` stands around an application under test. What has a status, a media type or a field that the documents do not
know is kept in `broken`, and raised once the application has returned: inside it would only be one more fault to log.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import jsonschema_rs
import msgspec
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.asyncapi import asyncapi_document
from web.documents import SERVER_FRAMES
from web.door import EXTENSION, Listener, LiveDoor, Offer
from web.framing import ReadyFrame
from web.openapi import openapi_document

JsonObject = dict[str, Any]  # a document of another standard
CHECKED_METHODS = frozenset(("GET", "POST", "PATCH", "DELETE"))


class ContractBroken(AssertionError):
    """What was sent is not what the documents say."""


SLASHED = re.compile("ledger/(accounts|transfers)/")
"""Where a name may hold slashes."""


class HttpContract:
    """The OpenAPI document as a judge."""

    def __init__(self, document: JsonObject) -> None:
        self._components = document["components"]
        self._paths: list[tuple[re.Pattern[str], str, JsonObject]] = [
            (re.compile(re.sub(r"{\w+}", "(.+)" if SLASHED.search(path) else "([^/]+)", path)), path, methods)
            for path, methods in sorted(document["paths"].items(), key=lambda item: item[0].count("{"))
        ]
        self._validators: dict[tuple[str, str, int, str], jsonschema_rs.Validator] = {}

    def check(self, method: str, path: str, status: int, media_type: str, body: bytes) -> None:
        """Raises ContractBroken. Paths that the document does not name, such as the page's files, are free."""
        found = next(((name, known) for pattern, name, known in self._paths if pattern.fullmatch(path)), None)
        if found is None or method.lower() not in found[1] or status == 405:
            return
        name, methods = found
        what = f"{method} {name} -> {status} {media_type}"
        responses: JsonObject = methods[method.lower()]["responses"]
        if str(status) not in responses:
            raise ContractBroken(f"{what}: the status is not documented")
        content: JsonObject = responses[str(status)].get("content", {})
        if media_type not in content:
            raise ContractBroken(f"{what}: the media type is none of {sorted(content)}: {body[:200]!r}")
        if "schema" in content[media_type]:
            self._judge((method, name, status, media_type), content[media_type]["schema"], body, what)

    def _judge(self, key: tuple[str, str, int, str], schema: JsonObject, body: bytes, what: str) -> None:
        if key not in self._validators:
            self._validators[key] = jsonschema_rs.Draft202012Validator(
                {"allOf": [schema], "components": self._components}
            )
        _check(self._validators[key], msgspec.json.decode(body), what)


class SocketContract:
    """The AsyncAPI document as a judge of what the server says."""

    def __init__(self, document: JsonObject) -> None:
        components = {"schemas": document["components"]["schemas"]}
        messages: JsonObject = document["components"]["messages"]
        self._validators = {
            name: jsonschema_rs.Draft202012Validator({"allOf": [message["payload"]], "components": components})
            for name, message in messages.items()
        }
        self._kinds = {name.removesuffix("Frame").lower(): name for name in (kind.__name__ for kind in SERVER_FRAMES)}

    def check(self, text: str) -> None:
        """Raises ContractBroken."""
        frame: JsonObject = msgspec.json.decode(text)
        name = self._kinds.get(frame.get("t", ""), "ErrorFrame" if "error" in frame else "ResultFrame")
        _check(self._validators[name], frame, f"frame {name}")
        for event in frame.get("events", ()):
            self.check_event(event)

    def check_event(self, event: JsonObject) -> None:
        """One event, as its own message says. Raises ContractBroken."""
        _check(self._validators[event["type"]], event, f"event {event['type']}")


class Checked:
    """An application whose every answer is checked."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._http = HttpContract(msgspec.json.decode(msgspec.json.encode(openapi_document(routes))))
        self._socket = socket_contract()
        self.broken: list[ContractBroken] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on, and check what comes back."""
        if scope["type"] == "http" and scope["method"] in CHECKED_METHODS:
            await self._app(scope, receive, self._checking_answer(scope, send))
        elif scope["type"] == "websocket":
            offer = scope.get("extensions", {}).get(EXTENSION, {}).get("socket")
            if offer is not None:
                checked = {"socket": _CheckedOffer(offer, self.check_frame)}
                scope = {**scope, "extensions": {**scope["extensions"], EXTENSION: checked}}
            await self._app(scope, receive, self._checking_frames(send))
        else:
            await self._app(scope, receive, send)
        self.raise_broken()

    def raise_broken(self) -> None:
        """Raise the first break of the contract, if there was one."""
        if self.broken:
            raise self.broken.pop(0)

    def _note(self, check: Callable[[], None]) -> None:
        try:
            check()
        except ContractBroken as error:
            self.broken.append(error)

    def _checking_answer(self, scope: Scope, send: Send) -> Send:
        start: list[Message] = []
        body = bytearray()

        async def checking(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.append(message)
            else:
                body.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    headers = {name.decode().lower(): value.decode("latin-1") for name, value in start[0]["headers"]}
                    media_type = headers.get("content-type", "").partition(";")[0]
                    status = start[0]["status"]
                    self._note(
                        partial(self._http.check, scope["method"], scope["path"], status, media_type, bytes(body))
                    )
            await send(message)

        return checking

    def check_frame(self, text: str) -> None:
        """Note a frame that breaks the contract."""
        self._note(partial(self._socket.check, text))

    def _checking_frames(self, send: Send) -> Send:
        async def checking(message: Message) -> None:
            if message["type"] == "websocket.send":
                self.check_frame(message["text"])
            await send(message)

        return checking


class _CheckedOffer:
    """The offer of a door whose frames are checked."""

    def __init__(self, offer: Offer, check: Callable[[str], None]) -> None:
        self._offer = offer
        self._check = check

    def hand_over(self, answer: Callable[[LiveDoor], Listener]) -> None:
        self._offer.hand_over(lambda door: answer(_CheckedDoor(door, self._check)))


class _CheckedDoor:
    """A live door whose frames are checked."""

    def __init__(self, door: LiveDoor, check: Callable[[str], None]) -> None:
        self._door = door
        self._check = check

    @property
    def is_writable(self) -> bool:
        return self._door.is_writable

    @property
    def waiting_bytes(self) -> int:
        return self._door.waiting_bytes

    def write(self, frame: ReadyFrame) -> None:
        self._check(frame.text)
        self._door.write(frame)

    def hold(self, *, is_held: bool) -> None:
        self._door.hold(is_held=is_held)

    def look(self, now_s: float) -> None:
        self._door.look(now_s)

    def farewell(self, frames: Sequence[ReadyFrame], code: int, reason: str) -> None:
        for frame in frames:
            self._check(frame.text)
        self._door.farewell(frames, code, reason)


@cache
def socket_contract() -> SocketContract:
    """The judge of the live socket: it is the same everywhere."""
    return SocketContract(msgspec.json.decode(msgspec.json.encode(asyncapi_document())))


def _check(validator: jsonschema_rs.Validator, value: object, what: str) -> None:
    error = next(iter(validator.iter_errors(value)), None)
    if error is not None:
        where: Sequence[str | int] = error.instance_path
        raise ContractBroken(f"{what}: {'.'.join(map(str, where)) or 'the whole'}: {error.message[:500]}")
