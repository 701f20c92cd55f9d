"""The live feed against a loop of sends and against `websockets.broadcast()`: the same events to the same clients.

Server and clients are processes of their own, so that the clients' work is not the server's. A round is over when
every client has seen the last position; clients check that none is missing. Deliveries are events times clients; the
processor time is the server's alone. How late events come counts from when they were due, not from when a busy server
got round to them.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.bench.child import Child, child
from tests.bench.harness import Aim, Figure, Sample, Scale, figure, median, take_turns

EVENTS_OURS = 8_000
"""Fewer than the ring holds: nobody has to be fed from storage."""
EVENTS_BASELINE = {100: 1_000, 1_000: 100}
"""Baselines take long; rates are per delivery."""
RATE = 1_000.0
PACED_CLIENTS = 100
PACED_EVENTS = 3_000
LEAD_S = 0.3
"""Both sides know by then when the first event is due."""
STUCK_CLIENTS = 20
STUCK_EVENTS = 5_000
IDLE_CLIENTS = 1_000
MISSED_EVENTS = 10_000
HELLO = '{"id":1,"method":"hello","params":{}}'
SUBSCRIBE = '{"id":2,"method":"subscribe","params":{"sub":"feed","topics":["#"]}}'
FOLLOW = f"{HELLO}\t{SUBSCRIBE}"
RESUME = f'{HELLO}\t{SUBSCRIBE[:-2]},"from":{{"position":0,"epoch":1}}}}}}'


class Stage:
    """A server and its clients, connected and waiting."""

    def __init__(self, server: Child, clients: Child, count: int) -> None:
        self.server = server
        self.clients = clients
        self._count = count

    async def run(self, events: int) -> Sample:
        """Publish as fast as it goes, and wait until every client has everything."""
        cpu_s = await self.cpu_s()
        started = time.perf_counter()
        target = await self.server.ask(f"publish {events}")
        await self.clients.ask(f"reach {target}")
        wall_s = time.perf_counter() - started
        return Sample(events * self._count, wall_s, await self.cpu_s() - cpu_s)

    async def paced(self, events: int) -> tuple[float, float]:
        """Publish so many a second; the 99th percentile of how late they came (ms), and CPU seconds per delivery."""
        cpu_s, start_s = await self.cpu_s(), time.monotonic() + LEAD_S
        last = int(await self.server.ask(f"paced {events} {start_s} {RATE}"))
        late = (await self.clients.ask(f"paced {last - events + 1} {start_s} {RATE} {last}")).split()
        return float(late[1]), (await self.cpu_s() - cpu_s) / (events * self._count)

    async def cpu_s(self) -> float:
        return float(await self.server.ask("cpu"))

    async def memory(self) -> int:
        return int(await self.server.ask("memory"))


async def figures(scale: Scale) -> AsyncIterator[Figure]:
    """Throughput, cost, lateness, memory and recovery."""
    for clients, events in EVENTS_BASELINE.items():
        for kind, aim in (("broadcast", 20.0), ("loop", 30.0)):
            async for found in _throughput(kind, clients, events, aim, scale):
                yield found
    for part in (_paced, _stuck, _compressed, _idle, _recovered):
        async for found in part(scale):
            yield found


async def _throughput(kind: str, clients: int, events: int, aim: float, scale: Scale) -> AsyncIterator[Figure]:
    async with _stage("ours", FOLLOW, clients) as ours, _stage(kind, "", clients) as baseline:
        mine, theirs = await take_turns(
            lambda: ours.run(scale.count(EVENTS_OURS)), lambda: baseline.run(scale.count(events)), scale
        )
    rates = [median([sample.done / sample.wall_s for sample in samples]) for samples in (mine, theirs)]
    name = f"deliveries to {clients:,} sockets, baseline {kind}"
    yield figure(name, "deliveries/s", rates[0], rates[1], scale=scale, aim=Aim(aim))


async def _paced(scale: Scale) -> AsyncIterator[Figure]:
    events = scale.count(PACED_EVENTS, at_least=100)
    async with _stage("ours", FOLLOW, PACED_CLIENTS) as ours, _stage("loop", "", PACED_CLIENTS) as loop:
        mine, theirs = [], []
        for _ in range(min(3, scale.rounds)):
            mine.append(await ours.paced(events))
            theirs.append(await loop.paced(events))
    load = f"{RATE:,.0f} events/s to {PACED_CLIENTS}"
    late, cost = ([median([sample[part] for sample in samples]) for samples in (mine, theirs)] for part in (0, 1))
    yield figure(
        f"CPU per delivery, {load}", "µs", cost[0] * 1e6, cost[1] * 1e6, scale=scale, aim=Aim(1 / 8, "at_most")
    )
    yield figure(f"p99 of lateness, {load}", "ms", late[0], None, scale=scale, aim=Aim(40, "at_most"))


async def _stuck(scale: Scale) -> AsyncIterator[Figure]:
    events = scale.count(STUCK_EVENTS, at_least=100)
    async with _stage("ours", FOLLOW, STUCK_CLIENTS) as free, _stage("ours", FOLLOW, STUCK_CLIENTS) as held:
        for stage in (free, held):
            for _ in range(2):
                await stage.run(scale.count(EVENTS_OURS))  # rings and caches are full: what grows now is the clients'
        memory = [await stage.memory() for stage in (free, held)]
        await held.clients.ask("stop 1")
        late: list[list[float]] = [[], []]
        for _ in range(min(3, scale.rounds)):
            for stage, found in zip((free, held), late, strict=True):
                found.append((await stage.paced(events))[0])
        without, beside = median(late[0]), median(late[1])
        free_grown, held_grown = [
            await stage.memory() - before for stage, before in zip((free, held), memory, strict=True)
        ]
        grown = max(0, held_grown - free_grown)
    name = f"p99 of the others, one of {STUCK_CLIENTS} stuck"
    yield figure(name, "ms", beside, without, scale=scale, aim=Aim(1.2, "at_most"))
    yield figure("what a stuck client costs", "KiB", grown / 1024, None, scale=scale, aim=Aim(512, "at_most"))


async def _compressed(scale: Scale) -> AsyncIterator[Figure]:
    events = scale.count(PACED_EVENTS, at_least=160)
    sizes = []
    for options in (("deflate",), ()):
        async with _stage("ours", FOLLOW, 1, *options) as stage:
            before = int(await stage.clients.ask("bytes"))
            await stage.paced(events)
            sizes.append((int(await stage.clients.ask("bytes")) - before) / events)
    name = "bytes of an event, compressed, some 16 to a batch"
    yield figure(name, "bytes", sizes[0], sizes[1], scale=scale, aim=Aim(0.35, "at_most"))


async def _idle(scale: Scale) -> AsyncIterator[Figure]:
    count = scale.count(IDLE_CLIENTS)
    async with child("tests.bench.live_server", "ours") as server:
        url = f"ws://127.0.0.1:{await server.read()}/ws"
        async with _clients(url, FOLLOW, 20, "deflate"):
            before = int(await server.ask("memory"))
            async with _clients(url, FOLLOW, count - 20 if count > 20 else count, "deflate"):
                used = int(await server.ask("memory")) - before
    name = "memory of an idle compressed connection"
    yield figure(name, "KiB", used / count / 1024, None, scale=scale, aim=Aim(28, "at_most"))


async def _recovered(scale: Scale) -> AsyncIterator[Figure]:
    missed = scale.count(MISSED_EVENTS)
    times = []
    async with child("tests.bench.live_server", "ours") as server:
        url = f"ws://127.0.0.1:{await server.read()}/ws"
        last = await server.ask(f"publish {missed}")
        await server.ask("cpu")
        for _ in range(scale.rounds):
            async with child("tests.bench.live_clients", url, "1") as clients:
                started = time.perf_counter()
                await clients.ask(RESUME)
                await clients.ask(f"reach {last}")
                times.append((time.perf_counter() - started) * 1e3)
    name = f"{missed:,} missed events recovered, with the interpreter's start"
    yield figure(name, "ms", median(times), None, scale=scale, aim=Aim(300, "at_most"))


@asynccontextmanager
async def _stage(kind: str, opening: str, clients: int, *options: str) -> AsyncIterator[Stage]:
    async with child("tests.bench.live_server", kind) as server:
        url = f"ws://127.0.0.1:{await server.read()}/ws"
        async with _clients(url, opening, clients, *options) as fleet:
            yield Stage(server, fleet, clients)


@asynccontextmanager
async def _clients(url: str, opening: str, count: int, *options: str) -> AsyncIterator[Child]:
    async with child("tests.bench.live_clients", url, str(count), *options) as clients:
        assert await clients.ask(opening) == "ready"
        yield clients
