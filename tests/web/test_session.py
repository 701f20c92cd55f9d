"""The page's session: one link, one cookie, no secret that a script or a URL could show."""

import msgspec

from tests.web.support import READER, World, bearer, call

OWN = {"origin": "http://127.0.0.1:8080"}


async def opened(world: World) -> str:
    body = msgspec.json.encode({"link": world.keyring.issue_link()})
    response = await call(world.app, "POST", "/api/session", headers=OWN, body=body)
    assert response.status == 200
    return response.headers["set-cookie"]


async def test_nobody_on_loopback_reads_as_anonymous() -> None:
    response = await call(World().app, "GET", "/api/session")
    assert response.json() == {"principal": "anonymous", "scopes": ["read"]}


async def test_nobody_from_another_machine_is_asked_for_a_token() -> None:
    response = await call(World().app, "GET", "/api/session", client="10.1.1.1")
    assert response.status == 401
    assert response.headers["www-authenticate"] == "Bearer"


async def test_a_link_gives_a_cookie_that_scripts_cannot_read_and_a_reload_keeps() -> None:
    world = World()
    cookie = await opened(world)
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Max-Age=43200" in cookie
    for _ in range(2):
        response = await call(world.app, "GET", "/api/session", headers={"cookie": cookie.partition(";")[0]})
        assert response.json()["principal"] == "admin"


async def test_a_link_works_once() -> None:
    world = World()
    body = msgspec.json.encode({"link": world.keyring.issue_link()})
    assert (await call(world.app, "POST", "/api/session", headers=OWN, body=body)).status == 200
    assert (await call(world.app, "POST", "/api/session", headers=OWN, body=body)).status == 401


async def test_a_session_can_be_closed() -> None:
    world = World()
    cookie = {"cookie": (await opened(world)).partition(";")[0]}
    await call(world.app, "DELETE", "/api/session", headers={**cookie, **OWN})
    assert (await call(world.app, "GET", "/api/session", headers=cookie)).json()["principal"] == "anonymous"


async def test_only_an_admin_gets_a_fresh_link() -> None:
    world = World()
    response = await call(world.app, "POST", "/api/links", headers=bearer())
    assert response.status == 201
    assert world.keyring.open_session(str(response.json()["link"])) is not None
    assert (await call(world.app, "POST", "/api/links", headers=bearer(READER))).status == 403
    assert (await call(world.app, "POST", "/api/links")).status == 401


async def test_a_body_that_is_wrong_names_its_field() -> None:
    response = await call(World().app, "POST", "/api/session", headers=OWN, body=b'{"code":"x"}')
    assert (response.status, response.json()["path"]) == (422, "code")
