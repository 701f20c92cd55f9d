"""Many socket clients that cost next to nothing: `python -m tests.bench.live_clients URL CLIENTS [deflate]`.

They exist so that the server is what is measured. Each keeps the last position that it has seen and checks that
positions have no gap; frames are cut by their headers and otherwise not decoded, of compressed ones the beginning is.

The first line of standard input is what each client sends once it is connected: frames, separated by tabs, each of
which the server answers with a frame. Then `ready` is printed. Each further line is a command and is answered:

- `reach POSITION`: `done` once every client that reads has reached it.
- `paced FIRST START_S RATE LAST`: events from FIRST on are due at so many a second from START_S on, by the monotonic
  clock, which processes share; once all have LAST, the median and the 99th percentile of what they came late, in ms.
- `stop COUNT`: so many clients read no more.
- `bytes`: what all clients have received.
"""

import asyncio
import base64
import os
import re
import secrets
import sys
import time
import zlib
from typing import NamedTuple
from urllib.parse import urlsplit

POSITIONS = re.compile(rb'"first":(\d+),"last":(\d+)|"position":(\d+)')
"""A batch says what it scanned; a frame with one event says where that stands."""
HEAD_BYTES = 160
"""The positions stand at the front of a frame; the rest is not looked at."""
DEFLATED_HEAD_BYTES = 1_024
"""Enough of a compressed frame for its code table and the positions."""
FRAME_HEAD_BYTES = 10
READ_BYTES = 1 << 20
CONNECT_TIMEOUT_S = 30.0
TEXT, PONG = 0x1, 0xA
PING, CLOSE = 0x9, 0x8
COMPRESSED = 0x40
CONCURRENT_MAX = 100


class GapError(Exception):
    """A client missed events: the figure would be a lie."""


class Arrival(NamedTuple):
    """A batch that came."""

    first: int
    last: int
    at_s: float


class Client(asyncio.BufferedProtocol):
    """One connection: upgrade, send the opening lines, then follow positions."""

    def __init__(self, fleet: "Fleet", request: bytes, opening: list[str]) -> None:
        self._fleet = fleet
        self._request = request
        self._opening = opening
        self._unanswered = len(opening)
        self._stash = b""
        self._skip = 0
        self._is_open = False
        self.transport: asyncio.Transport | None = None
        self.position = -1
        self.received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def get_buffer(self, sizehint: int) -> memoryview:
        """All clients read into the same memory: it is looked at before the next one reads."""
        return self._fleet.memory

    def buffer_updated(self, nbytes: int) -> None:
        self.received += nbytes
        view = self._fleet.memory[:nbytes]
        if self._is_open:
            self._take_frames(view)
        else:
            self._finish_upgrade(bytes(view))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fleet.lost(self)

    def _finish_upgrade(self, data: bytes) -> None:
        self._stash += data
        head, end, rest = self._stash.partition(b"\r\n\r\n")
        if not end:
            return
        status, _, headers = head.partition(b"\r\n")
        if b" 101 " not in status:
            raise ConnectionError(f"the server refused the upgrade: {status.decode()}")
        if self._fleet.is_deflated and b"permessage-deflate" not in headers:
            raise ConnectionError("the server does not compress")
        self._stash, self._is_open = b"", True
        for line in self._opening:
            self._send(TEXT, line.encode())
        self._fleet.may_be_ready(self._unanswered)
        if rest:
            self._take_frames(memoryview(rest))

    def _take_frames(self, view: memoryview) -> None:
        offset, size = 0, len(view)
        while offset < size:
            if self._skip:
                step = min(self._skip, size - offset)
                self._skip -= step
                offset += step
                continue
            seen = self._stash + bytes(view[offset : offset + FRAME_HEAD_BYTES + self._fleet.head_bytes])
            head, length = _size(seen)
            wanted = head + min(length, self._fleet.head_bytes)
            if not head or len(seen) < wanted:
                self._stash = seen
                return
            offset += head + length - len(self._stash)
            self._stash = b""
            if offset > size:
                self._skip, offset = offset - size, size
            self._frame(seen[0], seen[head:wanted])

    def _frame(self, first: int, head: bytes) -> None:
        opcode = first & 0xF
        if opcode == TEXT:
            self._follow(zlib.decompressobj(-15).decompress(head, HEAD_BYTES) if first & COMPRESSED else head)
        elif opcode == PING:
            self._send(PONG, head)

    def _follow(self, head: bytes) -> None:
        if self._unanswered:
            self._unanswered -= 1
            self._fleet.may_be_ready(self._unanswered)
            return
        found = POSITIONS.search(head)
        if found is None:
            return
        first, last, single = found.groups()
        begins, ends = (int(single), int(single)) if single is not None else (int(first), int(last))
        if self.position >= 0 and begins != self.position + 1:
            raise GapError(f"position {begins} came after {self.position}")
        self.position = ends
        self._fleet.moved(self, begins)

    def _send(self, opcode: int, payload: bytes) -> None:
        assert self.transport is not None
        length = len(payload)
        size = bytes([0x80 | length]) if length < 126 else bytes([0x80 | 126]) + length.to_bytes(2)
        # a mask of zeros is a mask: the payload goes out as it is
        self.transport.write(bytes([0x80 | opcode]) + size + bytes(4) + payload)


class Fleet:
    """All clients of this process, and who has not yet reached the target."""

    def __init__(self, *, is_deflated: bool) -> None:
        self.clients: list[Client] = []
        self.memory = memoryview(bytearray(READ_BYTES))
        self.is_deflated = is_deflated
        self.head_bytes = DEFLATED_HEAD_BYTES if is_deflated else HEAD_BYTES
        self._target = 0
        self._behind: set[Client] = set()
        self._reached = asyncio.Event()
        self._opened = asyncio.Semaphore(0)
        self._arrivals: list[Arrival] | None = None

    async def connect(self, url: str, count: int, opening: list[str]) -> None:
        gate = asyncio.Semaphore(CONCURRENT_MAX)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(count):
                tasks.create_task(self._connect_one(url, opening, gate))
        for _ in range(count):
            await self._opened.acquire()

    async def _connect_one(self, url: str, opening: list[str], gate: asyncio.Semaphore) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        request = _upgrade(parts.path, parts.netloc, is_deflated=self.is_deflated)
        loop = asyncio.get_running_loop()
        async with gate:
            _, client = await loop.create_connection(lambda: Client(self, request, opening), parts.hostname, parts.port)
        self.clients.append(client)

    def may_be_ready(self, unanswered: int) -> None:
        """A client's upgrade is over, or one of its opening lines was answered; so many answers are to come."""
        if not unanswered:
            self._opened.release()

    async def reach(self, target: int) -> None:
        """Return once every client that reads has seen the position."""
        self._target = target
        self._behind = {client for client in self.clients if client.position < target}
        self._reached.clear()
        if self._behind:
            await self._reached.wait()

    async def paced(self, first: int, start_s: float, rate: float, last: int) -> str:
        """The median and the 99th percentile of how late events came."""
        arrivals: list[Arrival] = []
        self._arrivals = arrivals
        await self.reach(last)
        self._arrivals = None
        late = [
            arrival.at_s - start_s - (position - first) / rate
            for arrival in arrivals
            for position in range(max(first, arrival.first), min(last, arrival.last) + 1)
        ]
        late.sort()
        return f"{late[len(late) // 2] * 1e3} {late[len(late) * 99 // 100] * 1e3}"

    def moved(self, client: Client, first: int) -> None:
        if self._arrivals is not None:
            self._arrivals.append(Arrival(first, client.position, time.monotonic()))
        if client.position >= self._target and client in self._behind:
            self._behind.discard(client)
            if not self._behind:
                self._reached.set()

    def stop(self, count: int) -> None:
        """So many clients read no more; nobody waits for them."""
        for _ in range(count):
            client = self.clients.pop()
            assert client.transport is not None
            client.transport.pause_reading()
            self._behind.discard(client)

    def lost(self, client: Client) -> None:
        """A server that drops a client has not delivered: end now and say so."""
        if client in self.clients:
            print("lost a client at position", client.position, flush=True)
            os._exit(1)


def _size(seen: bytes) -> tuple[int, int]:
    """The length of a frame's head and of its payload; (0, 0) while not enough of it is there."""
    if len(seen) < 2:
        return 0, 0
    length = seen[1]
    if length < 126:
        return 2, length
    head = 4 if length == 126 else 10
    return (head, int.from_bytes(seen[2:head])) if len(seen) >= head else (0, 0)


def _upgrade(path: str, host: str, *, is_deflated: bool) -> bytes:
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: agora.v1",
    ]
    if is_deflated:
        lines.append("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def main(url: str, count: int, *, is_deflated: bool) -> None:
    """Connect, say `ready`, then answer each command."""
    asyncio.get_running_loop().set_exception_handler(_end_on_error)
    fleet = Fleet(is_deflated=is_deflated)
    opening = [line for line in (await _line()).rstrip("\n").split("\t") if line]
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        await fleet.connect(url, count, opening)
    print("ready", flush=True)
    while words := (await _line()).split():
        print(await _answer(fleet, words[0], words[1:]), flush=True)


async def _answer(fleet: Fleet, command: str, words: list[str]) -> str:
    match command:
        case "paced":
            return await fleet.paced(int(words[0]), float(words[1]), float(words[2]), int(words[3]))
        case "stop":
            fleet.stop(int(words[0]))
        case "bytes":
            return str(sum(client.received for client in fleet.clients))
        case _:
            await fleet.reach(int(words[0]))
    return "done"


async def _line() -> str:
    return await asyncio.to_thread(sys.stdin.readline)


def _end_on_error(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """A client that raises ends the process: the bench then fails instead of waiting."""
    print("error", context.get("exception") or context.get("message"), flush=True)
    os._exit(1)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), is_deflated="deflate" in sys.argv[3:]))
