"""The live feed against a loop of sends: the same events to the same hundred clients, over real sockets.

Server and clients are processes of their own, so that the clients' work is not the server's. A round is over when
every client has seen the last position; clients check that none is missing. Deliveries are events times clients; the
processor time is the server's alone.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.bench.child import Child, child
from tests.bench.harness import Aim, Figure, Sample, Scale, compare_rates

CLIENTS = 100
EVENTS_OURS = 8_000
"""Fewer than the ring holds: nobody has to be fed from storage."""
EVENTS_LOOP = 1_000
"""The baseline takes long; rates are per delivery."""
HELLO = '{"id":1,"method":"hello","params":{}}\t{"id":2,"method":"subscribe","params":{"sub":"feed","topics":["#"]}}'


class Stage:
    """A server and its clients, connected and waiting."""

    def __init__(self, server: Child, clients: Child, events: int) -> None:
        self._server = server
        self._clients = clients
        self._events = events

    async def run(self) -> Sample:
        """Publish, and wait until every client has everything."""
        cpu_s = float(await self._server.ask("cpu"))
        started = time.perf_counter()
        target = await self._server.ask(str(self._events))
        await self._clients.ask(target)
        wall_s = time.perf_counter() - started
        cpu_s = float(await self._server.ask("cpu")) - cpu_s
        return Sample(self._events * CLIENTS, wall_s, cpu_s)


async def figures(scale: Scale) -> AsyncIterator[Figure]:
    """Deliveries a second to a hundred clients."""
    async with (
        _stage("ours", HELLO, scale.count(EVENTS_OURS)) as ours,
        _stage("loop", "", scale.count(EVENTS_LOOP)) as baseline,
    ):
        async for figure in compare_rates(
            f"deliveries to {CLIENTS} sockets", "deliveries", ours.run, baseline.run, scale=scale, aim=Aim(30)
        ):
            yield figure


@asynccontextmanager
async def _stage(kind: str, opening: str, events: int) -> AsyncIterator[Stage]:
    async with child("tests.bench.live_server", kind) as server:
        port = await server.read()
        async with child("tests.bench.live_clients", f"ws://127.0.0.1:{port}/ws", str(CLIENTS)) as clients:
            assert await clients.ask(opening) == "ready"
            yield Stage(server, clients, events)
