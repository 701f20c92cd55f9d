"""What never reaches the application: rebound names, other origins, bodies without end."""

import pytest

from tests.web.support import World, bearer, call
from web.guard import ARTIFACT_BYTES_MAX, BODY_BYTES_MAX
from web.options import WebOptions


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "127.0.0.1", "127.0.0.1:9", "[::1]:8080", "LOCALHOST.", "agora.lan:1"]
)
async def test_a_host_header_that_names_this_server_passes(host: str) -> None:
    world = World(WebOptions(hosts=("agora.lan",)))
    assert (await call(world.app, "GET", "/healthz", host=host)).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8080", "", "10.0.0.1", "[::2]", "[::1"]
)
async def test_a_rebound_host_header_is_misdirected(host: str) -> None:
    response = await call(World(WebOptions()).app, "GET", "/api/state", host=host)
    assert (response.status, response.json()["code"]) == (421, "misdirected")


async def test_bound_to_every_address_a_bare_address_passes_and_a_name_does_not() -> None:
    app = World(WebOptions(host="0.0.0.0")).app
    assert (await call(app, "GET", "/healthz", host="192.168.1.7:8080")).status == 200
    assert (await call(app, "GET", "/healthz", host="evil.example:8080")).status == 421


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://127.0.0.1:9999",
        "http://localhost:8080",
        "http://127.0.0.1:8080.evil.example",
        "file://",
    ],
)
async def test_a_request_that_acts_from_another_origin_is_refused(origin: str) -> None:
    response = await call(World().app, "POST", "/api/session", headers={"origin": origin}, body=b'{"link":"x"}')
    assert (response.status, response.json()["code"]) == (403, "not_permitted")


async def test_a_cross_site_request_without_an_origin_is_refused() -> None:
    headers = {"sec-fetch-site": "cross-site", **bearer()}
    assert (await call(World().app, "POST", "/api/tasks", headers=headers, body=b"{}")).status == 403


async def test_a_request_from_our_own_origin_passes() -> None:
    headers = {"origin": "http://127.0.0.1:8080", "sec-fetch-site": "same-origin"}
    response = await call(World().app, "POST", "/api/session", headers=headers, body=b'{"link":"x"}')
    assert response.status == 401


async def test_a_configured_origin_may_read_and_ask_before_it_acts() -> None:
    app = World(WebOptions(cors_origins=("https://dash.example",))).app
    origin = {"origin": "https://dash.example"}
    read = await call(app, "GET", "/api/state", headers=origin)
    assert read.headers["access-control-allow-origin"] == "https://dash.example"
    assert "access-control-allow-credentials" not in read.headers
    preflight = await call(app, "OPTIONS", "/api/tasks", headers=origin)
    assert preflight.status == 204
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    acting = await call(app, "POST", "/api/tasks", headers={**origin, "sec-fetch-site": "cross-site"}, body=b"{}")
    assert acting.status == 401
    other = await call(app, "GET", "/api/state", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize("path", ["/", "/api/state", "/nowhere", "/api/tasks/t-1"])
async def test_every_response_says_what_a_browser_may_do_with_it(path: str) -> None:
    headers = (await call(World().app, "GET", path)).headers
    policy = headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"


async def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    headers = {"content-length": str(BODY_BYTES_MAX + 1), **bearer()}
    response = await call(World().app, "POST", "/api/tasks", headers=headers)
    assert (response.status, response.json()["code"]) == (413, "too_large")


async def test_a_body_that_turns_out_too_large_is_refused() -> None:
    chunks = [b" " * 1024] * (BODY_BYTES_MAX // 1024 + 1)
    response = await call(World().app, "POST", "/api/tasks", headers=bearer(), chunks=chunks)
    assert (response.status, response.json()["code"]) == (413, "too_large")


async def test_an_artifact_may_be_larger_within_its_own_bound() -> None:
    large = await call(World().app, "POST", "/api/artifacts", headers=bearer(), body=b" " * (BODY_BYTES_MAX + 1))
    assert large.status == 400
    headers = {"content-length": str(ARTIFACT_BYTES_MAX + 1), **bearer()}
    assert (await call(World().app, "POST", "/api/artifacts", headers=headers)).status == 413


@pytest.mark.parametrize("length", ["x", "-1", "1e3", "²"])
async def test_a_length_that_is_no_number_is_malformed(length: str) -> None:
    response = await call(World().app, "POST", "/api/tasks", headers={"content-length": length, **bearer()})
    assert response.status == 400
