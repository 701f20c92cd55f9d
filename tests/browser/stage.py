"""A server of the page that plays whatever a test wants: the real files, a live socket at any pace, an empty interface.

Rules: it runs in the test's own loop and speaks the live protocol as far as the page listens. It keeps no history: a
page that asks for older events is told that there are none.
"""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec
from aiohttp import WSMsgType, web

from tests.browser.chrome import STATIC

EPOCH = 7
NOTHING = {"events": [], "scanned": 0, "head": 0, "epoch": EPOCH, "next": None}


class Request(msgspec.Struct):
    """What the page asks over the socket, as far as the stage looks."""

    id: int
    method: str
    params: dict[str, object]


class Stage:
    """The socket of one page, and the position that has been played."""

    def __init__(self, state: dict[str, object]) -> None:
        self.state = state
        self.position = 0
        self.url = ""
        self.answers: dict[str, object] = {}
        """What is answered over HTTP, by path; everything else is empty."""
        self.sockets: list[web.WebSocketResponse] = []

    async def play(self, count: int) -> None:
        """Send a batch of so many events to every socket that listens."""
        first = self.position + 1
        self.position += count
        text = batch([event(position) for position in range(first, self.position + 1)])
        for socket in self.sockets:
            await socket.send_str(text)

    async def beat(self, *complaints: str) -> None:
        """Tell every socket that the server lives, and what is wrong with it."""
        told = {"complaints": complaints} if complaints else {}
        for socket in self.sockets:
            await _say(socket, {"t": "beat", "head": self.position, "now_us": time.time_ns() // 1000, **told})

    async def on_socket(self, request: web.Request) -> web.WebSocketResponse:
        """A page's session: hello, state and feed."""
        socket = web.WebSocketResponse(protocols=("agora.v1",))
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await self._answer(socket, msgspec.json.decode(message.data, type=Request))
        if socket in self.sockets:
            self.sockets.remove(socket)
        return socket

    async def on_interface(self, request: web.Request) -> web.Response:
        """Nothing is there but what the socket says, and what a test has laid out."""
        return web.json_response(self.answers.get(request.path, NOTHING))

    async def _answer(self, socket: web.WebSocketResponse, request: Request) -> None:
        result: dict[str, object] = {}
        if request.method == "hello":
            result = {"epoch": EPOCH, "head": self.position, "oldest": 1, "limits": {}, "scopes": ["read"]}
        await _say(socket, {"id": request.id, "result": result})
        if request.params.get("sub") == "state":
            state = {"now_us": time.time_ns() // 1000, **self.state}
            await _say(socket, {"t": "state", "sub": "state", "state": state})
        elif request.params.get("sub") == "feed":
            self.sockets.append(socket)


def event(position: int) -> dict[str, object]:
    """An event that says when it was made."""
    now = datetime.now(UTC)
    return {
        "position": position,
        "id": f"{EPOCH}-{position}",
        "type": "system.info",
        "source": "stage",
        "subject": "main",
        "time": now.isoformat(),
        "data": {"actor": "stage", "text": f"line {position} of many"},
        "cause": 0,
        "correlation": "",
    }


def batch(events: Sequence[dict[str, object]]) -> str:
    """A frame of the feed."""
    first, last = events[0]["position"], events[-1]["position"]
    return msgspec.json.encode({"t": "batch", "sub": "feed", "first": first, "last": last, "events": events}).decode()


@asynccontextmanager
async def staged(state: dict[str, object] | None = None) -> AsyncIterator[Stage]:
    """A stage on a free port of this machine."""
    stage = Stage(state or {"run": "stage", "status": "running", "position": 0})
    app = web.Application()
    app.router.add_get("/ws", stage.on_socket)
    app.router.add_get("/api/{rest:.*}", stage.on_interface)
    app.router.add_get("/", _index)
    app.router.add_static("/static", STATIC)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        stage.url = _url(runner.addresses[0][1])
        yield stage
    finally:
        await runner.cleanup()


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


async def _index(request: web.Request) -> web.FileResponse:
    return web.FileResponse(STATIC / "index.html")


async def _say(socket: web.WebSocketResponse, frame: dict[str, object]) -> None:
    await socket.send_str(msgspec.json.encode(frame).decode())
