"""The process is killed while it applies an approved change: the branch is as before or as approved, and whole."""

import asyncio
from pathlib import Path

import aiohttp
import msgspec
import pytest
from aiohttp import web

from actors.rules import webhooks
from bus.messages.approvals import ProposalState, ProposalView
from tests.support.repositories import Sandbox
from tests.support.served import Served, served
from web.client import AgoraClient

KILLS_AFTER_S = (0.0, 0.02, 0.05, 0.09)
"""After the approval was answered; an apply is some ten calls of git, 100 ms in all."""


async def _until(agora: AgoraClient, *states: ProposalState) -> ProposalView:
    while True:
        view = await agora.approvals.one("p-1")
        if view.state in states:
            return view


@pytest.mark.slow
@pytest.mark.parametrize("after_s", KILLS_AFTER_S)
async def test_a_kill_in_the_middle_of_an_apply_leaves_the_branch_before_or_after_and_it_is_ended(
    tmp_path: Path, after_s: float
) -> None:
    sandbox = Sandbox(tmp_path / "r")
    before = sandbox.tip()
    config = tmp_path / "agora.toml"
    config.write_text(f'[[approvals.changes.repositories]]\nname = "r"\npath = "{sandbox.path}"\n')
    environment = {"AGORA_CONFIG": str(config)}
    async with served(tmp_path / "data", env=environment) as server, server.client() as agora:
        issued = await agora.tokens.issue("", "grace", ("task", "read"))
        async with AgoraClient(server.url, token=issued.token) as grace:
            await grace.approvals.propose(title="change it", repository="r", branch="main", head="feature")
        view = await _until(agora, ProposalState.READY)
        await agora.approvals.decide("p-1", "approve", view.hash, "looks right")
        asyncio.get_running_loop().call_later(after_s, server.kill)
        assert (await server.ended()).code != 0
    assert sandbox.is_whole()
    assert view.change is not None
    tree = sandbox.git("rev-parse", "main^{tree}")
    assert tree in (sandbox.git("rev-parse", f"{before}^{{tree}}"), view.change.tree)
    async with served(tmp_path / "data", env=environment) as server, server.client() as agora:
        applied = await _until(agora, ProposalState.APPLIED, ProposalState.FAILED)
    assert (applied.state, sandbox.tip()) == (ProposalState.APPLIED, applied.commit)
    assert sandbox.git("rev-parse", "main^{tree}") == view.change.tree
    assert (sandbox.status(), sandbox.is_whole()) == ("", True)


DECISION = "looks right"


async def _ready(agora: AgoraClient, sandbox: Sandbox) -> ProposalView:
    issued = await agora.tokens.issue("", "grace", ("task", "read"))
    async with AgoraClient(agora.url, token=issued.token) as grace:
        await grace.approvals.propose(title="change it", repository="r", branch="main", head="feature")
    return await _until(agora, ProposalState.READY)


@pytest.mark.slow
async def test_of_a_hundred_people_who_approve_at_once_one_is_heard_and_the_branch_moves_once(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    before = sandbox.tip()
    config = tmp_path / "agora.toml"
    config.write_text(f'[[approvals.changes.repositories]]\nname = "r"\npath = "{sandbox.path}"\n')
    async with served(tmp_path / "data", env={"AGORA_CONFIG": str(config)}) as server, server.client() as agora:
        view = await _ready(agora, sandbox)
        people = [await agora.tokens.issue("", f"person-{number}", ("approve",)) for number in range(100)]
        body = {"hash": view.hash, "reason": DECISION, "version": view.version}
        statuses: list[int] = []

        async def approve(session: aiohttp.ClientSession, token: str) -> None:
            headers = {"authorization": f"Bearer {token}"}
            async with session.post(f"{server.url}/api/approvals/p-1/approve", json=body, headers=headers) as answer:
                statuses.append(answer.status)

        all_at_once = aiohttp.TCPConnector(limit=100)
        async with aiohttp.ClientSession(connector=all_at_once) as session, asyncio.TaskGroup() as group:
            for person in people:
                group.create_task(approve(session, person.token))
        applied = await _until(agora, ProposalState.APPLIED)
    assert (statuses.count(200), statuses.count(409)) == (1, 99)
    assert len(applied.votes) == 1
    assert sandbox.git("rev-list", "--count", f"{before}..main") == "2", "the head, and the one commit that merges it"


@pytest.mark.slow
async def test_who_may_not_decide_does_not_and_is_told_why(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    before = sandbox.tip()
    config = tmp_path / "agora.toml"
    config.write_text(f'[[approvals.changes.repositories]]\nname = "r"\npath = "{sandbox.path}"\n')
    async with served(tmp_path / "data", env={"AGORA_CONFIG": str(config)}) as server, server.client() as agora:
        view = await _ready(agora, sandbox)
        reader = await agora.tokens.issue("", "reader", ("read", "task"))
        proposer = await agora.tokens.issue("", "both", ("task", "approve"))
        cookie = await _cookie(server)
        good = {"hash": view.hash, "reason": DECISION}

        async def refused(headers: dict[str, str], body: object = good, proposal: str = "p-1") -> tuple[int, str]:
            url = f"{server.url}/api/approvals/{proposal}/approve"
            async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as answer:
                problem = await answer.json(content_type=None)
                return answer.status, f"{problem['code']}: {problem['detail']}"

        bearer = {"authorization": f"Bearer {server.token}"}
        async with AgoraClient(server.url, token=proposer.token) as both:
            own = await both.approvals.propose(title="mine", kind="spend")
        found = [
            await refused({}),
            await refused({"authorization": f"Bearer {reader.token}"}),
            await refused({**bearer, "origin": "https://evil.example"}),
            await refused({"cookie": cookie}),
            await refused({"cookie": cookie, "origin": "https://evil.example", "sec-fetch-site": "cross-site"}),
            await refused({"cookie": cookie, "sec-fetch-site": "cross-site"}),
            await refused({"authorization": f"Bearer {proposer.token}"}, {**good, "hash": own.hash}, own.proposal),
            await refused(bearer, {**good, "hash": "0" * 64}),
            await refused(bearer, {**good, "version": 99}),
            await refused(bearer, {"hash": view.hash}),
        ]
        assert (await agora.approvals.one("p-1")).votes == ()
    assert [status for status, _ in found] == [401, 403, 403, 403, 403, 403, 403, 409, 409, 422], found
    words = " ".join(reason for _, reason in found)
    for why in ("scope", "another origin", "Origin header is missing", "cannot approve it", "stale_decision"):
        assert why in words, (why, found)
    assert sandbox.tip() == before


async def _cookie(server: Served) -> str:
    """A page's session, as its browser would send it."""
    code = (await server.link()).partition("#token=")[2]
    headers = {"origin": server.url}
    url = f"{server.url}/api/session"
    async with aiohttp.ClientSession() as session, session.post(url, json={"link": code}, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return "; ".join(f"{name}={morsel.value}" for name, morsel in answer.cookies.items())


@pytest.mark.slow
async def test_what_waits_and_what_was_decided_reaches_a_webhook_signed_across_a_kill(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    heard: list[tuple[str, dict[str, object]]] = []
    arrived = asyncio.Event()
    status = 500

    async def take(request: web.Request) -> web.Response:
        body, headers = await request.read(), request.headers
        signed = webhooks.signature(headers[webhooks.ID_HEADER], headers[webhooks.TIME_HEADER], body, b"shared")
        assert headers[webhooks.SIGNATURE_HEADER] == signed
        if status == 200:
            heard.append((headers[webhooks.ID_HEADER], msgspec.json.decode(body)))
            arrived.set()
        return web.Response(status=status)

    app = web.Application()
    app.router.add_post("/desk", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    config = tmp_path / "agora.toml"
    config.write_text(
        f'[[approvals.changes.repositories]]\nname = "r"\npath = "{sandbox.path}"\n[[webhooks]]\nname = "desk"\n'
        f'url = "http://127.0.0.1:{runner.addresses[0][1]}/desk"\nsecret_env = "DESK_SECRET"\n'
        "wait_s = 0.05\ntries = 20\n"
    )
    environment = {"AGORA_CONFIG": str(config), "DESK_SECRET": "shared"}
    try:
        async with served(tmp_path / "data", env=environment) as server, server.client() as agora:
            view = await _ready(agora, sandbox)
            server.kill()
            await server.ended()
        status = 200
        async with served(tmp_path / "data", env=environment) as server, server.client() as agora:
            await agora.approvals.decide("p-1", "approve", view.hash, DECISION)
            async with asyncio.timeout(30.0):
                while len({name for name, _ in heard}) < 2:
                    await arrived.wait()
                    arrived.clear()
    finally:
        await runner.cleanup()
    told = {name: said["type"] for name, said in heard}
    assert sorted(map(str, told.values())) == ["proposal.approved", "proposal.proposed"]
