"""The router beside others: the openai SDK in this process, and LiteLLM's Router in one of its own.

LiteLLM runs with the interpreter that `AGORA_BENCH_LITELLM` names, or with this one; where it is not installed the
figure says so. And what the router costs by itself: memory over many calls, and its import.
"""

import asyncio
import gc
import os
import resource
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import openai

from actors.runtime.log import Blobs
from actors.runtime.simulation import MemoryJournal
from bus.envelope import Batch
from tests.bench.child import child
from tests.bench.harness import Aim, Figure, Scale, figure, median
from tests.bench.router import CALLERS, MODEL, PROMPT, TOKENS_MAX, Call, drive, measure, provider, routed, router

SDK_CALLS = 300
LITELLM_CALLS = 500
GROWTH_CALLS = 100_000
SETTLED_CALLS = 20_000
"""Calls after which buffers, caches and windows are full."""
LITELLM = Path(__file__).with_name("router_litellm.py")
LITELLM_TIMEOUT_S = 300.0


class Forgetful(MemoryJournal):
    """A journal that keeps its head alone: what is measured is the router's memory, not the journal's."""

    async def write(self, batch: Batch, blobs: Blobs) -> None:
        await super().write(batch, blobs)
        del self.stored[:-1]


async def figures(scale: Scale) -> AsyncIterator[Figure]:
    """The peers first, then what the router costs by itself."""
    async with child("tests.bench.model_server") as server:
        url = f"http://127.0.0.1:{await server.read()}"
        yield await _beside_the_sdk(url, scale)
        yield await _beside_litellm(url, scale)
        yield await _growth(url, scale)
    seconds = median([await _import_s() for _ in range(scale.rounds)])
    yield figure("import of the router (CPU)", "s", seconds, None, scale=scale, aim=Aim(0.5, "at_most"))


async def _beside_the_sdk(url: str, scale: Scale) -> Figure:
    ours: list[float] = []
    theirs: list[float] = []
    calls = scale.count(SDK_CALLS, at_least=3)
    for _ in range(scale.rounds):
        for opened, costs in ((routed, ours), (_sdk, theirs)):
            async with opened(url) as call:
                costs.append((await measure(call, calls, 1)).cpu_ms)
    aim = Aim(0.35, "at_most")
    return figure("completion, beside the openai SDK (CPU)", "ms", median(ours), median(theirs), scale=scale, aim=aim)


@asynccontextmanager
async def _sdk(url: str) -> AsyncIterator[Call]:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as api:

        async def call() -> None:
            reply = await api.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": PROMPT}], max_tokens=TOKENS_MAX
            )
            assert reply.choices[0].finish_reason == "stop"

        yield call


async def _beside_litellm(url: str, scale: Scale) -> Figure:
    """Calls a second at many callers."""
    python = os.environ.get("AGORA_BENCH_LITELLM") or (sys.executable if find_spec("litellm") is not None else "")
    calls = scale.count(LITELLM_CALLS, at_least=20)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(min(3, scale.rounds)):
        async with routed(url) as call:
            ours.append((await measure(call, calls * 4, CALLERS)).rate)
        if python:
            theirs.append(await _litellm(python, url, calls))
    if not theirs:
        name = f"completions, {CALLERS} callers (LiteLLM is not installed)"
        return figure(name, "calls/s", median(ours), None, scale=scale)
    name = f"completions, {CALLERS} callers, beside LiteLLM"
    return figure(name, "calls/s", median(ours), median(theirs), scale=scale, aim=Aim(10.0))


async def _litellm(python: str, url: str, calls: int) -> float:
    environment = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    arguments = (str(LITELLM), url, str(calls), str(CALLERS))
    process = await asyncio.create_subprocess_exec(
        python, "-I", *arguments, stdout=PIPE, stderr=DEVNULL, env=environment
    )
    async with asyncio.timeout(LITELLM_TIMEOUT_S):
        said, _ = await process.communicate()
    return float(said.decode().split()[-2])


async def _growth(url: str, scale: Scale) -> Figure:
    """Megabytes that this process has grown by, once its buffers are full."""
    async with router(provider("model", f"{url}/v1"), journal=Forgetful()) as complete:

        async def call() -> None:
            await complete()

        await drive(call, scale.count(SETTLED_CALLS), CALLERS, [])
        before = _resident_megabytes()
        calls = scale.count(GROWTH_CALLS)
        for _ in range(10):
            await drive(call, calls // 10, CALLERS, [])
        grown = _resident_megabytes() - before
    return figure(f"memory over {calls:,} completions", "MB", grown, None, scale=scale, aim=Aim(5.0, "at_most"))


def _resident_megabytes() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


async def _import_s() -> float:
    """Processor seconds of a process that does nothing else."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "import actors.router")
    async with asyncio.timeout(60):
        await process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
