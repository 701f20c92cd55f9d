"""A reader of the simulated market over plain HTTP: Server-Sent Events, which go on after the last id that was seen."""

import asyncio

import anyio
from starlette.types import ASGIApp, Message, Scope

from bus.dice import Dice
from bus.messages.base import Position
from tests.simulation.market_edge import EPOCH, Door, Guest, Watch

STATUSES = (200, 429, 503)
"""A stream; too busy, or not ready."""


class Reader(Guest):
    """Follows everything, and keeps every event as it came."""

    def __init__(self, name: str, watch: Watch, dice: Dice) -> None:
        super().__init__(name, watch, dice)
        self.seen: list[bytes] = []

    async def visit(self, door: Door) -> None:
        stream = Stream(self, door)
        door.begin(stream.run(), "a stream")
        await self.stay(stream.ended)
        stream.hang_up()

    def hear(self, block: bytes) -> None:
        """Take what stands between two blank lines: an id with an event, an id alone, or a beat."""
        fields = dict(line.split(b": ", 1) for line in block.split(b"\n"))
        if b"id" not in fields:
            return
        epoch, _, at = fields[b"id"].partition(b"-")
        position = Position(int(at))
        self.check(int(epoch) == EPOCH, "the epoch stays")
        self.check(position <= self.watch.disk.head, f"{position} left before its commit")
        if b"data" in fields:
            self.check(position == self.position + 1, f"{position} follows {self.position}: no gap, no duplicate")
            self.check(b"event" not in fields, "no gap in a feed that was never behind what is kept")
            self.seen.append(fields[b"data"])
        else:
            self.check(position == self.position, f"{position} was scanned, and {self.position} was the last to come")
        self.position = position


class Stream:
    """One response that does not end by itself."""

    def __init__(self, reader: Reader, door: Door) -> None:
        self._reader = reader
        self._door = door
        self._gone = asyncio.Event()
        self._is_asked = False
        self._is_stream = False
        self._rest = b""
        self.ended = asyncio.Event()

    async def run(self) -> None:
        """Let the application write it to its end."""
        reader = self._reader
        headers = [(b"host", b"127.0.0.1:8080"), (b"accept", b"text/event-stream")]
        query = b""
        if reader.dice.random() < 0.5:
            headers.append((b"last-event-id", b"%d-%d" % (EPOCH, reader.position)))
        else:
            query = b"after=%d" % reader.position
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/api/events",
            "raw_path": b"/api/events",
            "query_string": query,
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8080),
        }
        app: ASGIApp = self._door.app
        try:
            await app(scope, self._ask, self._take)
        finally:
            self.ended.set()

    def hang_up(self) -> None:
        """Be gone."""
        self._gone.set()

    async def _ask(self) -> Message:
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _take(self, message: Message) -> None:
        await anyio.lowlevel.checkpoint()
        if self._door.is_shut or self._gone.is_set():
            return
        if message["type"] == "http.response.start":
            self._reader.check(message["status"] in STATUSES, f"the stream is refused with {message['status']}")
            self._is_stream = message["status"] == 200
        elif self._is_stream:
            *blocks, self._rest = (self._rest + message.get("body", b"")).split(b"\n\n")
            for block in blocks:
                self._reader.hear(block)
