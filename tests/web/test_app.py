"""The application as a whole: its files, its unknown paths, and the boundary at which faults end."""

import logging
from pathlib import Path

import pytest

from bus.messages.base import Message
from bus.messages.tasks import ListTasks
from tests.web.support import World, call
from web.app import Boundary, build_app


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/api/nowhere", 404, "not_found"),
        ("GET", "/static/../app.py", 404, "not_found"),
        ("GET", "/static/%2e%2e/app.py", 404, "not_found"),
        ("DELETE", "/api/tasks", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
    ],
)
async def test_what_is_not_served_is_a_problem(method: str, path: str, status: int, code: str) -> None:
    response = await call(World().app, method, path)
    assert (response.status, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_fault_reaches_the_log_and_not_the_client(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: Message) -> Message:
        raise KeyError("a secret in a traceback")

    world = World()
    world.gateway.replies[ListTasks] = broken
    with caplog.at_level(logging.ERROR):
        response = await call(world.app, "GET", "/api/tasks")
    assert response.status == 500
    assert b"secret" not in response.body
    assert b"Traceback" not in response.body
    assert response.json()["type"] == "urn:agora:problem:agora_error"
    assert [record.getMessage() for record in caplog.records] == ["a request failed"]


async def test_a_fault_outside_the_routes_is_a_problem_too() -> None:
    async def broken(scope: object, receive: object, send: object) -> None:
        raise ValueError("a secret")

    response = await call(Boundary(broken), "GET", "/")
    assert response.status == 500
    assert b"secret" not in response.body


async def test_the_page_and_its_files_have_their_types_and_are_asked_for_again(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><title>Agora</title>")
    (tmp_path / "app.js").write_text("export const a = 1;")
    (tmp_path / "style.css").write_text("body {}")
    app = build_app(World().edge, static=tmp_path)
    page = await call(app, "GET", "/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    script = await call(app, "GET", "/static/app.js")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert (await call(app, "GET", "/static/style.css")).headers["content-type"] == "text/css; charset=utf-8"
    assert script.headers["cache-control"] == "no-cache"
    again = await call(app, "GET", "/static/app.js", headers={"if-none-match": script.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


async def test_the_page_that_is_shipped_has_nothing_inline() -> None:
    page = (await call(World().app, "GET", "/")).body.decode()
    assert "<script>" not in page
    assert "<style" not in page
    assert " onerror=" not in page


async def test_a_method_that_a_path_does_not_take_is_told_all_that_it_takes() -> None:
    answer = await call(World().app, "PUT", "/api/tasks")
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD, POST"
