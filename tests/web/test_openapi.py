"""The OpenAPI document: whole, valid, open to all, and true of who may do what."""

from pathlib import Path

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import Route

from tests.support.contract import JsonObject
from tests.web.support import READER, World, bearer, call
from web.app import endpoints
from web.auth import SCOPES
from web.feed import Feed
from web.openapi import described_endpoints, openapi_document
from web.operation import operation_of
from web.tokens import Tokens

ELSEWHERE = "192.0.2.7"


def routes(world: World) -> list[Route]:
    return endpoints(world.edge, Feed(world.edge), Tokens(world.keyring, Path("never-written.json")))


def path_with_names(path: str) -> str:
    """The path of something that is not there."""
    return path.replace("{position}", "1").replace("{", "").replace("}", "-x")


def test_every_route_is_described() -> None:
    bare = [route.path for route in routes(World()) if operation_of(route.endpoint) is None]
    assert bare == [], "put @described above their handlers (web/operation.py)"


def test_the_document_is_valid() -> None:
    document: JsonObject = msgspec.json.decode(msgspec.json.encode(openapi_document(routes(World()))))
    OpenAPIV31SpecValidator(document).validate()
    names = [method["operationId"] for path in document["paths"].values() for method in path.values()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", ["/openapi.json", "/asyncapi.json"])
async def test_the_documents_are_open_to_all(path: str) -> None:
    answer = await call(World().app, "GET", path, client=ELSEWHERE)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"


async def test_who_holds_only_another_scope_is_refused_whatever_the_path() -> None:
    world = World()
    refused = {}
    for method, path, operation in described_endpoints(endpoints(world.edge, Feed(world.edge))):
        if operation.scope not in ("", "read"):
            answer = await call(world.app, method, path_with_names(path), headers=bearer(READER), body=b"{}")
            refused[method, path] = answer.status
    assert refused
    assert set(refused.values()) == {403}, refused


@pytest.mark.parametrize("scope", sorted(SCOPES - {"agent"}))
async def test_who_holds_the_scope_that_is_named_is_let_in(scope: str) -> None:
    world = World()
    world.keyring.add_token("agora_a-token-with-one-scope-0123456789", "one", frozenset(("read", scope)))  # type: ignore[arg-type]  # one of SCOPES
    for method, path, operation in described_endpoints(endpoints(world.edge, Feed(world.edge))):
        if operation.scope == scope and operation.media_types[0] != "text/event-stream":
            token = bearer("agora_a-token-with-one-scope-0123456789")
            answer = await call(world.app, method, path_with_names(path), headers=token, body=b"{}")
            assert answer.status not in (401, 403), f"{method} {path}: {answer.body!r}"


async def test_what_needs_a_scope_needs_a_token_from_elsewhere() -> None:
    world = World()
    for method, path, operation in described_endpoints(endpoints(world.edge, Feed(world.edge))):
        if operation.scope:
            answer = await call(world.app, method, path_with_names(path), client=ELSEWHERE, body=b"{}")
            assert answer.status == 401, f"{method} {path}"
