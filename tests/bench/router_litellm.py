"""LiteLLM's Router, in a process of its own: `python router_litellm.py URL CALLS CALLERS`.

It runs with whatever interpreter has LiteLLM, and stands on nothing of Agora: its libraries are not ours. It prints how
many calls a second it made, and the processor time of each in milliseconds.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

from litellm import Router

PROMPT = "Write a brief of five sentences. " * 30


async def main(url: str, calls: int, callers: int) -> None:
    """Ask so often, so many at once."""
    parameters = {"model": "openai/stand-in", "api_base": f"{url}/v1", "api_key": "x"}
    router = Router(model_list=[{"model_name": "stand-in", "litellm_params": parameters}], num_retries=0)

    async def call() -> None:
        reply = await router.acompletion(
            model="stand-in", messages=[{"role": "user", "content": PROMPT}], max_tokens=100
        )
        assert reply.choices[0].finish_reason == "stop"

    await drive(call, max(callers, 20), callers)
    started, worked = time.perf_counter(), time.process_time()
    await drive(call, calls, callers)
    took_s, cpu_s = time.perf_counter() - started, time.process_time() - worked
    print(f"{calls / took_s:.3f} {cpu_s / calls * 1_000:.4f}", flush=True)


async def drive(call: Callable[[], Awaitable[None]], calls: int, callers: int) -> None:
    """So many calls by so many callers."""
    left = iter(range(calls))

    async def caller() -> None:
        for _ in left:
            await call()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(callers):
            tasks.create_task(caller())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
