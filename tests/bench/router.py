"""A routed completion against bare aiohttp: the same JSON to the same server, which is a process of its own.

The routed call is recorded, counted, paid for and watched by a breaker on its way; its journal is in memory, since what
a disk costs is the journal's figure. The bare call posts and parses. After that, what a sick provider costs: the first
call that has to leave it, and calls while its breaker is open.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp
import orjson

from actors.providers import ProviderOptions
from actors.providers.settings import RouterOptions
from actors.router import Router
from actors.runtime import ActorSystem, ChildSpec
from actors.runtime.simulation import MemoryJournal
from bus.messages.base import AgentId
from bus.messages.completions import ROUTER, ChatMessage, Complete, Completion
from tests.bench.child import child
from tests.bench.harness import Aim, Figure, Scale, figure, median, stopwatch

CALLS = 1_500
CALLERS = 100
WARM_UP = 50
FAILOVERS = 20
UNTIL_OPEN = 8
"""Calls after which the sick provider's breaker is open."""
TOKENS_MAX = 100
DEADLINE_S = 30.0
PROMPT = "Write a brief of five sentences. " * 30
MODEL = "stand-in"

Call = Callable[[], Awaitable[None]]


class Round(NamedTuple):
    """One run of one side."""

    cpu_ms: float
    """Processor time per call."""
    rate: float
    """Calls a second."""
    p50_ms: float


async def figures(scale: Scale) -> AsyncIterator[Figure]:
    """Cost and speed with one and with many callers, then failover."""
    calls = scale.count(CALLS, at_least=20)
    async with child("tests.bench.model_server") as server:
        url = f"http://127.0.0.1:{await server.read()}"
        ours, baseline = await _take_turns(url, calls, 1, scale)
        cpu, p50 = _medians(ours, baseline, _cpu_ms), _medians(ours, baseline, _p50_ms)
        yield figure("completion, one caller (CPU)", "ms", *cpu, scale=scale, aim=Aim(1.3, "at_most"))
        yield figure("completion, one caller, added p50", "ms", p50[0] - p50[1], None, scale=scale, aim=_most(0.4))
        ours, baseline = await _take_turns(url, calls, CALLERS, scale)
        cpu, rate = _medians(ours, baseline, _cpu_ms), _medians(ours, baseline, _rate)
        yield figure(f"completions, {CALLERS} callers", "calls/s", *rate, scale=scale)
        yield figure(f"completion, {CALLERS} callers (CPU)", "ms", *cpu, scale=scale)
        async for found in _failovers(url, scale):
            yield found


async def _take_turns(url: str, calls: int, callers: int, scale: Scale) -> tuple[list[Round], list[Round]]:
    ours: list[Round] = []
    baseline: list[Round] = []
    for turn in range(scale.rounds):
        pair = ((routed, ours), (bare, baseline))
        for opened, rounds in pair if turn % 2 else pair[::-1]:
            async with opened(url) as call:
                rounds.append(await measure(call, calls, callers))
    return ours, baseline


async def measure(call: Call, calls: int, callers: int) -> Round:
    await drive(call, min(WARM_UP, calls), callers, [])
    times: list[float] = []
    with stopwatch() as watch:
        await drive(call, calls, callers, times)
    return Round(watch.cpu_s / calls * 1_000, calls / watch.wall_s, median(times) * 1_000)


async def drive(call: Call, calls: int, callers: int, times: list[float]) -> None:
    left = iter(range(calls))

    async def caller() -> None:
        for _ in left:
            started = time.perf_counter()
            await call()
            times.append(time.perf_counter() - started)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(callers):
            tasks.create_task(caller())


@asynccontextmanager
async def bare(url: str) -> AsyncIterator[Call]:
    """Post the JSON and parse the answer."""
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call() -> None:
            message = {"role": "user", "content": PROMPT}
            body = orjson.dumps({"model": MODEL, "messages": [message], "max_tokens": TOKENS_MAX, "stream": False})
            headers = {"content-type": "application/json"}
            async with session.post(
                f"{url}/v1/chat/completions", data=body, headers=headers, timeout=timeout
            ) as response:
                reply = orjson.loads(await response.read())
            assert reply["choices"][0]["finish_reason"] == "stop"

        yield call


@asynccontextmanager
async def routed(url: str) -> AsyncIterator[Call]:
    """Ask the router, from outside the actors."""
    async with router(provider("model", f"{url}/v1")) as complete:

        async def call() -> None:
            completion = await complete()
            assert completion.finish_reason == "stop"

        yield call


@asynccontextmanager
async def router(
    *providers: ProviderOptions, journal: MemoryJournal | None = None
) -> AsyncIterator[Callable[[], Awaitable[Completion]]]:
    """A running router that is asked from outside the actors."""
    journal = journal or MemoryJournal()
    options = RouterOptions(providers=providers, completions_max=1_000)
    async with ActorSystem(log=journal.log, history=journal) as system:
        await system.start(ChildSpec(ROUTER, lambda: Router(options, {})))

        async def complete() -> Completion:
            request = Complete((ChatMessage("user", PROMPT),), TOKENS_MAX, DEADLINE_S, agent=AgentId("scout"))
            return await system.ask(ROUTER, request, timeout_s=DEADLINE_S)

        yield complete


async def _failovers(url: str, scale: Scale) -> AsyncIterator[Figure]:
    healthy = provider("next", f"{url}/v1")
    with socket.socket() as taken:  # bound, never listening: every connection to it is refused
        taken.bind(("127.0.0.1", 0))
        refusing = provider("sick", f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
        throttling, failing = provider("sick", f"{url}/throttled"), provider("sick", f"{url}/broken")
        for name, sick in (("refused", refusing), ("500", failing), ("429", throttling)):
            first, opened = await _failover(sick, healthy, scale)
            first_usual, usual = await _failover(healthy, provider("spare", f"{url}/v1"), scale)
            yield figure(f"first failover, {name}, added", "ms", first - first_usual, None, scale=scale, aim=_most(10))
            away = "throttled" if sick is throttling else "breaker open"
            yield figure(f"{away}, {name}, p50", "ms", opened, usual, scale=scale, aim=_most(1.1))


async def _failover(sick: ProviderOptions, healthy: ProviderOptions, scale: Scale) -> tuple[float, float]:
    """Milliseconds of a router's first call, and of one after its breaker has had time to open."""
    first: list[float] = []
    later: list[float] = []
    for _ in range(scale.count(FAILOVERS, at_least=1)):
        async with router(sick, healthy) as complete:
            first.append(await _milliseconds(complete))
            for _ in range(UNTIL_OPEN):
                await complete()
            later += [await _milliseconds(complete) for _ in range(scale.count(30, at_least=3))]
    return median(first), median(later)


async def _milliseconds(complete: Callable[[], Awaitable[Completion]]) -> float:
    started = time.perf_counter()
    await complete()
    return (time.perf_counter() - started) * 1_000


def provider(name: str, base_url: str) -> ProviderOptions:
    return ProviderOptions(name=name, dialect="openai", base_url=base_url, model=MODEL, concurrency_max=1_000)


def _medians(ours: list[Round], baseline: list[Round], read: Callable[[Round], float]) -> tuple[float, float]:
    return median([read(round_) for round_ in ours]), median([read(round_) for round_ in baseline])


def _cpu_ms(round_: Round) -> float:
    return round_.cpu_ms


def _rate(round_: Round) -> float:
    return round_.rate


def _p50_ms(round_: Round) -> float:
    return round_.p50_ms


def _most(value: float) -> Aim:
    return Aim(value, "at_most")
