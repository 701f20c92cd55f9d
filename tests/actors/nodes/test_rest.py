"""The small client of a node's interface."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from actors.nodes import LightningOptions, LndNode, NodeFault, Wish
from actors.nodes.rest import REPLY_BYTES_MAX, Answer, Rest, parsed, refusal
from tests.support.lightning import MACAROON, lnd

WISH = Wish("i-1", 1, "", 60, 0)
GATE = web.AppKey("gate", asyncio.Event)


@asynccontextmanager
async def served(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """A server with one answer to everything."""
    app = web.Application()
    app[GATE] = asyncio.Event()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        app[GATE].set()
        await runner.cleanup()


async def test_nobody_there_is_a_fault() -> None:
    node = LndNode(LightningOptions(backend="lnd", url="http://127.0.0.1:1"), MACAROON)
    with pytest.raises(NodeFault, match="no answer: ClientConnector"):
        await node.issue(WISH)
    await node.close()


async def test_an_unwell_node_is_a_fault_with_its_words() -> None:
    async with lnd() as server:
        server.status = 503
        node = LndNode(LightningOptions(backend="lnd", url=server.url), MACAROON)
        with pytest.raises(NodeFault, match="HTTP 503: the node is unwell"):
            await node.issue(WISH)
        await node.close()


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [("silent", "no answer within 0.05 s"), ("endless", "longer than"), ("elsewhere", "HTTP 302")],
)
async def test_silence_floods_and_other_places_are_faults(behaviour: str, words: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if behaviour == "elsewhere":
            raise web.HTTPFound("https://example.org")
        response = web.StreamResponse()
        await response.prepare(request)
        if behaviour == "silent":
            await request.read()
            await request.app[GATE].wait()
            return response
        try:
            for _ in range(REPLY_BYTES_MAX // 65_536 + 2):
                await response.write(b" " * 65_536)
        except ConnectionError:
            pass  # the client has seen enough
        return response

    async with served(answer) as url:
        timeout_s = 0.05 if behaviour == "silent" else 5.0
        rest = Rest(LightningOptions(backend="lnd", url=url, timeout_s=timeout_s), {})
        with pytest.raises(NodeFault, match=words):
            parsed(await rest.get("/"), dict[str, object])
        await rest.close()


def test_an_answer_that_makes_no_sense_is_a_fault() -> None:
    with pytest.raises(NodeFault, match="makes no sense"):
        parsed(Answer(200, b"<html>"), dict[str, object])
    assert refusal(Answer(500, b"<html>")) == "HTTP 500"
    assert refusal(Answer(404, b'{"detail": "gone\\n now"}')) == "HTTP 404: gone now"
