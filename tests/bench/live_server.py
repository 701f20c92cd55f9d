"""The server process of the live benchmark: `python -m tests.bench.live_server (ours|loop|broadcast)`.

`ours` is the web floor as it is served: guard, session protocol, ring, hub. `loop` is what one writes first: a set of
sockets and a loop of `send_text`. `broadcast` is `websockets.broadcast()`, the fastest that library has. All encode
each event once, in the same way. Each line on standard input is a command and is answered:

- `publish COUNT`: publishes so many events, in batches as the journal commits them; the last position.
- `paced COUNT START_S RATE`: so many a second from a moment of the monotonic clock on; the last position, at once.
- `cpu`: the processor time that this process has used. `memory`: its resident bytes.
"""

import asyncio
import gc
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.typing import Subprotocol

from bus.address import Address
from bus.clock import SystemClock
from bus.codec import Catalogue
from bus.envelope import Answer, StoredEvent
from bus.errors import NoSuchActor
from bus.messages.base import MAIN_RUN, Message, Position, R, Request
from bus.messages.catalogue import EVENTS
from tests.bench.events import records
from web.app import build_app
from web.auth import Keyring
from web.edge import Edge
from web.hub import Hub
from web.options import WebOptions
from web.ring import Ring
from web.server import listen, serving
from web.wire import encode_event

BATCH_EVENTS = 500
"""Of one commit, when the journal is busy."""
EPOCH = 1
PACE_S = 0.005
"""How often the paced source looks at the clock: about a commit of the journal."""
SAMPLES = 2_000
"""Distinct events; they repeat with new positions."""


class Publisher(Protocol):
    """Takes committed events, in order, and gets them to all clients."""

    async def publish(self, events: Sequence[StoredEvent]) -> None: ...


class NoActors:
    """The clients of this benchmark ask nothing."""

    async def exchange(self, to: Address, request: Request[R], *, timeout_s: float) -> Answer[R]:
        raise NoSuchActor(to)

    def tell(self, to: Address, message: Message) -> None:
        """Nobody is there."""


class NoOverview:
    """A state that is nothing but its position."""

    def __init__(self) -> None:
        self.position = Position(0)

    def view(self) -> dict[str, object]:
        return {}

    def patch(self, after: Position) -> dict[str, object] | None:
        return None


class Ours:
    """The hub behind the whole application."""

    def __init__(self, hub: Hub, overview: NoOverview) -> None:
        self._hub = hub
        self._overview = overview

    async def publish(self, events: Sequence[StoredEvent]) -> None:
        self._overview.position = events[-1].position
        self._hub.commit(events)
        await asyncio.sleep(0)


class Loop:
    """A set of sockets and a loop of sends."""

    def __init__(self) -> None:
        self._clients: set[WebSocket] = set()

    async def serve(self, websocket: WebSocket) -> None:
        await websocket.accept("agora.v1")
        self._clients.add(websocket)
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            self._clients.discard(websocket)

    async def publish(self, events: Sequence[StoredEvent]) -> None:
        for event in events:
            text = encode_event(event, EPOCH).decode()
            for client in tuple(self._clients):
                await client.send_text(text)


class Broadcast:
    """A set of sockets and `websockets.broadcast()`."""

    def __init__(self) -> None:
        self._clients: set[ServerConnection] = set()

    async def serve(self, connection: ServerConnection) -> None:
        self._clients.add(connection)
        try:
            await connection.wait_closed()
        finally:
            self._clients.discard(connection)

    async def publish(self, events: Sequence[StoredEvent]) -> None:
        for event in events:
            broadcast(self._clients, encode_event(event, EPOCH).decode())
            await asyncio.sleep(0)


@asynccontextmanager
async def ours() -> AsyncIterator[tuple[Publisher, int]]:
    """Our server on a free port."""
    options, clock = WebOptions(port=0), SystemClock()
    hub, overview = Hub(epoch=EPOCH, ring=Ring(EPOCH, MAIN_RUN), clock=clock), NoOverview()
    hub.attach(overview)
    edge = Edge(gateway=NoActors(), hub=hub, keyring=Keyring(clock), options=options, clock=clock)
    listener = listen(options)
    async with serving(build_app(edge), hub, listener):
        yield Ours(hub, overview), listener.getsockname()[1]


@asynccontextmanager
async def loop_of_sends() -> AsyncIterator[tuple[Publisher, int]]:
    """The baseline on a free port, with the same server and the same settings."""
    publisher = Loop()
    app = Starlette(routes=[WebSocketRoute("/ws", publisher.serve)])
    listener = listen(WebOptions(port=0))
    config = uvicorn.Config(
        app, ws="websockets-sansio", ws_per_message_deflate=False, lifespan="off", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve([listener]))
        try:
            yield publisher, listener.getsockname()[1]
        finally:
            server.should_exit = True


@asynccontextmanager
async def broadcasting() -> AsyncIterator[tuple[Publisher, int]]:
    """The library's own server on a free port."""
    publisher = Broadcast()
    listener = listen(WebOptions(port=0))
    async with serve(publisher.serve, sock=listener, compression=None, subprotocols=[Subprotocol("agora.v1")]):
        yield publisher, listener.getsockname()[1]


def numbered(samples: Sequence[StoredEvent], after: int, count: int) -> list[StoredEvent]:
    """So many events at the positions after `after`."""
    return [_at(samples[position % len(samples)], position) for position in range(after + 1, after + count + 1)]


def _at(event: StoredEvent, position: int) -> StoredEvent:
    return StoredEvent(
        position=Position(position),
        time_us=event.time_us + position,
        type=event.type,
        version=event.version,
        source=event.source,
        subject=event.subject,
        task=event.task,
        agent=event.agent,
        run=event.run,
        correlation=event.correlation,
        cause=event.cause,
        cursor=event.cursor,
        data=event.data,
        sealed=None,
        hash=event.hash,
    )


def _samples() -> list[StoredEvent]:
    catalogue = Catalogue(EVENTS)
    found = []
    for record in records(SAMPLES):
        event = record.event
        about = catalogue.attributes(event)
        found.append(
            StoredEvent(
                position=record.position,
                time_us=record.time_us,
                type=event.wire_name,
                version=event.version,
                source=record.source,
                subject=about.subject,
                task=about.task,
                agent=about.agent,
                run=about.run,
                correlation=record.correlation,
                cause=record.cause,
                cursor=record.cursor,
                data=catalogue.encode(event)[0],
                sealed=None,
                hash=bytes(32),
            )
        )
    return found


async def main(kind: str) -> None:
    """Serve until standard input ends."""
    serving_as = {"ours": ours, "loop": loop_of_sends, "broadcast": broadcasting}[kind]
    async with serving_as() as (publisher, port), asyncio.TaskGroup() as tasks:
        print(port, flush=True)
        source = Source(publisher)
        while words := (await asyncio.to_thread(sys.stdin.readline)).split():
            match words:
                case ["cpu"]:
                    print(time.process_time(), flush=True)
                case ["memory"]:
                    gc.collect()
                    print(_resident_bytes(), flush=True)
                case ["paced", count, start_s, rate]:
                    print(source.head + int(count), flush=True)
                    tasks.create_task(source.paced(int(count), float(start_s), float(rate)))
                case _:
                    print(source.head + int(words[1]), flush=True)
                    await source.publish(int(words[1]))


class Source:
    """Where events come from, numbered on and on."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._samples = _samples()
        self.head = 0

    async def publish(self, count: int) -> None:
        """Publish as fast as it goes."""
        for first in range(0, count, BATCH_EVENTS):
            await self._next(min(BATCH_EVENTS, count - first))

    async def paced(self, count: int, start_s: float, rate: float) -> None:
        """Publish each event when it is due; who is late catches up."""
        begun = self.head
        while (done := self.head - begun) < count:
            due = min(count, int((time.monotonic() - start_s) * rate) + 1)
            if due > done:
                await self._next(due - done)
            await asyncio.sleep(PACE_S)

    async def _next(self, count: int) -> None:
        events = numbered(self._samples, self.head, count)
        self.head += count
        await self._publisher.publish(events)


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
