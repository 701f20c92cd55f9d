"""The model server of the router benchmark: `python -m tests.bench.model_server`, an OpenAI-compatible stand-in.

It answers after a millisecond with a fixed text, so that what is measured is the way there and back. Under `/broken` it
answers 500 at once, under `/throttled` 429. It prints its port and ends with its standard input.
"""

import asyncio
import sys

import orjson
from aiohttp import web

DELAY_S = 0.001
REPLY = orjson.dumps(
    {
        "model": "stand-in",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "All is well. " * 20},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 250, "completion_tokens": 60},
    }
)


async def answer(request: web.Request) -> web.Response:
    """Read the prompt, think for a moment, answer."""
    await request.read()
    await asyncio.sleep(DELAY_S)
    return web.Response(body=REPLY, content_type="application/json")


async def fail(request: web.Request) -> web.Response:
    """Read the prompt and fail."""
    await request.read()
    return web.Response(status=500, body=b"{}", content_type="application/json")


async def throttle(request: web.Request) -> web.Response:
    """Read the prompt and say when to come back."""
    await request.read()
    return web.Response(status=429, body=b"{}", content_type="application/json", headers={"retry-after": "60"})


async def main() -> None:
    """Serve until standard input ends."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    app.router.add_post("/broken/chat/completions", fail)
    app.router.add_post("/throttled/chat/completions", throttle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
