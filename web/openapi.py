"""The OpenAPI document, made from the routes, what is said of their handlers, and the message types.

It is open to all, like the documentation that it is: it says nothing of what is inside.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from web.asyncapi import asyncapi_document
from web.documents import Object, Problem
from web.edge import raw_json
from web.operation import JSON, Operation, described, operation_of
from web.problems import MEDIA_TYPE as PROBLEM_TYPE
from web.schemas import Schema, schemas_of, with_position
from web.wire import encode

VERSION: Final = "3.1.0"
TITLE: Final = "Agora"
CONVERTED: Final = re.compile(r"{(\w+):(\w+)}")
REFUSALS: Final[dict[int, str]] = {
    400: "The body is not JSON.",
    401: "A token or a session is needed, or the one that came is not known.",
    402: "An account or a budget cannot cover it.",
    403: "The principal lacks the scope, or the page is of another origin.",
    404: "There is nothing of that name.",
    405: "The path does not take this method.",
    409: "The state of things does not allow it, or it was decided otherwise.",
    413: "The body is too large.",
    421: "The Host header does not name this server.",
    422: "A field makes no sense; `path` names it.",
    429: "Too much at once; `Retry-After` says when to try again.",
    500: "A fault of the server; it is recorded.",
    502: "No provider gave a whole answer.",
    503: "It cannot be done now: the system starts, stops, is halted, or its disk does not answer.",
    504: "What became of it is not known; the same request with the same key finds out.",
    507: "The disk is full.",
}
"""What any endpoint may answer instead, as a problem document."""
NO_BODY: Final = frozenset((400, 413))
"""Refusals of bodies."""


class Documents:
    """The endpoints of the two documents. Each is made when it is first asked for, and once: nothing in it changes."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = routes

    def routes(self) -> list[Route]:
        return [
            Route("/openapi.json", self.show_openapi, methods=["GET"]),
            Route("/asyncapi.json", self.show_asyncapi, methods=["GET"]),
        ]

    @cached_property
    def _openapi(self) -> bytes:
        return encode(openapi_document((*self._routes, *self.routes())))

    @cached_property
    def _asyncapi(self) -> bytes:
        return encode(asyncapi_document())

    @described("this document: OpenAPI 3.1, of all that is asked over HTTP", scope="", answer=Object)
    async def show_openapi(self, request: Request) -> Response:
        return raw_json(self._openapi)

    @described("AsyncAPI 3, of the live socket and every event", scope="", answer=Object)
    async def show_asyncapi(self, request: Request) -> Response:
        return raw_json(self._asyncapi)


def openapi_document(routes: Iterable[BaseRoute]) -> Schema:
    """The document for these routes."""
    known = list(described_endpoints(routes))
    kinds = [
        kind
        for _, _, one in known
        for kind in (one.body, one.answer, one.refusal, *one.query.values(), *one.also.values())
        if kind is not None
    ]
    schemas, components = schemas_of([*kinds, Problem])
    paths: dict[str, dict[str, object]] = {}
    for method, path, operation in known:
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, operation, schemas, components)
    return {
        "openapi": VERSION,
        "info": {
            "title": TITLE,
            "version": "1",
            "description": "A society of LLM agents, run durably and in the open.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def described_endpoints(routes: Iterable[BaseRoute]) -> Iterable[tuple[str, str, Operation]]:
    """Method, path and description of each route that has one."""
    for route in routes:
        operation = operation_of(route.endpoint) if isinstance(route, Route) else None
        if operation is None or not isinstance(route, Route):
            continue
        for method in sorted((route.methods or set()) - {"HEAD"}):
            yield method, CONVERTED.sub(r"{\1}", route.path), operation


def _operation(
    method: str, path: str, operation: Operation, schemas: dict[object, Schema], components: dict[str, Schema]
) -> Schema:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", path)
    ]
    in_query = [
        {"name": name, "in": "query", "required": False, "schema": schemas[kind]}
        for name, kind in operation.query.items()
    ]
    found: Schema = {
        "summary": operation.meaning[0].upper() + operation.meaning[1:],
        "operationId": _name(method, path),
        "parameters": [*in_path, *in_query],
        "responses": _responses(operation, schemas, components),
    }
    if operation.scope:
        found["security"] = [{"token": [operation.scope]}] + ([{}] if operation.scope == "read" else [])
        found["description"] = f"Needs the scope `{operation.scope}`."
    if operation.body is not None:
        content = {JSON: {"schema": schemas[operation.body]}}
        found["requestBody"] = {"required": _has_required(operation.body), "content": content}
    return found


def _responses(operation: Operation, schemas: dict[object, Schema], components: dict[str, Schema]) -> Schema:
    answer: Schema = {} if operation.answer is None else schemas[operation.answer]
    if operation.is_positioned:
        answer = with_position(answer, components)
    content = {kind: {"schema": answer} if kind == JSON else {} for kind in operation.media_types}
    problem: Schema = {PROBLEM_TYPE: {"schema": schemas[Problem]}}
    if operation.refusal is not None:
        problem[JSON] = {"schema": schemas[operation.refusal]}
    refusals = {
        str(status): {"description": meaning, "content": problem}
        for status, meaning in REFUSALS.items()
        if operation.body is not None or status not in NO_BODY
    }
    others = {
        str(status): {"description": REFUSALS[status], "content": {JSON: {"schema": schemas[kind]}}}
        for status, kind in operation.also.items()
    }
    return {str(operation.status): {"description": "Done.", "content": content}, **refusals, **others}


def _name(method: str, path: str) -> str:
    words = [word for word in re.split(r"[^a-z0-9]+", path.lower()) if word not in ("", "api")]
    return "_".join((method.lower(), *words))


def _has_required(body: object) -> bool:
    """Whether the body may not be left out."""
    return any(field.required for field in msgspec.structs.fields(body)) if isinstance(body, type) else True
