"""Cut sockets: whatever the moment, a client that comes back misses nothing and sees nothing twice."""

import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from bus.messages.base import Position
from tests.web.support import World, served
from web.live_feed import LiveFeed
from web.options import WebOptions

DEADLINE_S = 600.0
PACE = {"wait_min_s": 0.005, "wait_max_s": 0.05}
"""A client that hurries: it is cut so often that patience would only make the test longer."""
BYTES_MAX = 12_000
"""What passes before a cut: from within the upgrade to after the last batch that there is."""


class Scissors:
    """A road to the server that is cut after a random number of bytes, so many times; then it holds."""

    def __init__(self, world: World, port: int, cuts: int, seed: int) -> None:
        self.left = cuts
        self._world = world
        self._port = port
        self._dice = random.Random(seed)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, self._carry)
            yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
            group.cancel_scope.cancel()

    async def _carry(self, client: SocketStream) -> None:
        self._world.chat(self._dice.randint(1, 10))
        budget = self._dice.randint(1, BYTES_MAX) if self.left > 0 else -1
        self.left -= 1
        async with (
            client,
            await anyio.connect_tcp("127.0.0.1", self._port) as server,
            anyio.create_task_group() as road,
        ):
            road.start_soon(self._forward, client, server, road.cancel_scope)
            await self._forward(server, client, road.cancel_scope, budget)

    async def _forward(self, source: SocketStream, to: SocketStream, road: anyio.CancelScope, budget: int = -1) -> None:
        try:
            async for data in source:
                if 0 <= budget < len(data):
                    await to.send(data[:budget])
                    break
                await to.send(data)
                if budget >= 0:
                    budget -= len(data)
                    self._world.chat(1)  # so that something comes until it is cut
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # the other side was cut, which is what this is for
        road.cancel()


async def survive(cuts: int, seed: int, ring: int) -> None:
    world = World(WebOptions(port=0, events_cached=ring))
    async with served(world) as url:
        scissors = Scissors(world, int(url.rpartition(":")[2]), cuts, seed)
        async with scissors.open() as road:
            feed = LiveFeed(road, token="", topics=("#",), after=Position(0), last=None, wanted={}, **PACE)
            seen: list[int] = []
            with anyio.fail_after(DEADLINE_S):
                async with aclosing(feed.__aiter__()) as events:
                    async for event in events:
                        seen.append(event.position)
                        if scissors.left <= 0 and event.position == len(world.gateway.events):
                            break
    assert seen == list(range(1, len(seen) + 1)), f"seed {seed}"
    assert len(seen) == len(world.gateway.events)


@pytest.mark.slow
@pytest.mark.parametrize("ring", [10_000, 40])
async def test_a_feed_survives_a_hundred_cuts_without_gap_or_duplicate(ring: int) -> None:
    await survive(50, seed=ring, ring=ring)


@pytest.mark.long
async def test_a_feed_survives_a_thousand_cuts_without_gap_or_duplicate() -> None:
    await survive(1_000, seed=1, ring=200)
