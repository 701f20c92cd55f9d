"""A process with many socket clients that cost next to nothing: `python -m tests.bench.live_clients URL CLIENTS`.

They exist so that the server is what is measured. Each keeps the last position that it has seen and checks that
positions have no gap; frames are cut by their headers and otherwise not decoded.

The first line of standard input is what each client sends once it is connected: frames, separated by tabs, each of
which the server answers with a frame. Then `ready` is printed. Each further line is a position, answered with `done`
once every client has reached it.
"""

import asyncio
import base64
import os
import re
import secrets
import sys
from urllib.parse import urlsplit

POSITIONS = re.compile(rb'"first":(\d+),"last":(\d+)|"position":(\d+)')
"""A batch says what it scanned; a frame with one event says where that stands."""
HEAD_BYTES = 160
"""The positions stand at the front of a frame; the rest is not looked at."""
CONNECT_TIMEOUT_S = 30.0
TEXT, PONG = 0x1, 0xA
PING, CLOSE = 0x9, 0x8


class GapError(Exception):
    """A client missed events: the figure would be a lie."""


class Client(asyncio.Protocol):
    """One connection: upgrade, send the opening lines, then follow positions."""

    def __init__(self, fleet: "Fleet", request: bytes, opening: list[str]) -> None:
        self._fleet = fleet
        self._request = request
        self._opening = opening
        self._unanswered = len(opening)
        self._buffer = bytearray()
        self._is_open = False
        self._transport: asyncio.Transport | None = None
        self.position = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_open:
            self._finish_upgrade()
        if self._is_open:
            self._take_frames()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fleet.lost(self)

    def _finish_upgrade(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        status = bytes(self._buffer.split(b"\r\n", 1)[0])
        if b" 101 " not in status:
            raise ConnectionError(f"the server refused the upgrade: {status.decode()}")
        del self._buffer[: end + 4]
        self._is_open = True
        for line in self._opening:
            self._send(TEXT, line.encode())
        self._fleet.may_be_ready(self._unanswered)

    def _take_frames(self) -> None:
        buffer, start, size = self._buffer, 0, len(self._buffer)
        while size - start >= 2:
            length, head = buffer[start + 1], 2
            if length == 126:
                head, length = 4, int.from_bytes(buffer[start + 2 : start + 4])
            elif length == 127:
                head, length = 10, int.from_bytes(buffer[start + 2 : start + 10])
            if size - start < head + length or size - start < head:
                break
            body = start + head
            self._frame(buffer[start] & 0xF, buffer[body : body + min(length, HEAD_BYTES)])
            start = body + length
        del buffer[:start]

    def _frame(self, opcode: int, head: bytearray) -> None:
        if opcode == TEXT:
            self._follow(head)
        elif opcode == PING:
            self._send(PONG, bytes(head))

    def _follow(self, head: bytearray) -> None:
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
        self._fleet.moved(self)

    def _send(self, opcode: int, payload: bytes) -> None:
        assert self._transport is not None
        length = len(payload)
        size = bytes([0x80 | length]) if length < 126 else bytes([0x80 | 126]) + length.to_bytes(2)
        # a mask of zeros is a mask: the payload goes out as it is
        self._transport.write(bytes([0x80 | opcode]) + size + bytes(4) + payload)


class Fleet:
    """All clients of this process, and who has not yet reached the target."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self._target = 0
        self._behind: set[Client] = set()
        self._reached = asyncio.Event()
        self._opened = asyncio.Semaphore(0)

    async def connect(self, url: str, count: int, opening: list[str]) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        loop = asyncio.get_running_loop()
        for _ in range(count):
            _, client = await loop.create_connection(
                lambda: Client(self, _upgrade(parts.path, parts.netloc), opening), parts.hostname, parts.port
            )
            self.clients.append(client)
        for _ in range(count):
            await self._opened.acquire()

    def may_be_ready(self, unanswered: int) -> None:
        """A client's upgrade is over, or one of its opening lines was answered; so many answers are to come."""
        if not unanswered:
            self._opened.release()

    async def reach(self, target: int) -> None:
        """Return once every client has seen the position."""
        self._target = target
        self._behind = {client for client in self.clients if client.position < target}
        self._reached.clear()
        if self._behind:
            await self._reached.wait()

    def moved(self, client: Client) -> None:
        if client.position >= self._target and client in self._behind:
            self._behind.discard(client)
            if not self._behind:
                self._reached.set()

    def lost(self, client: Client) -> None:
        """A server that drops a client has not delivered: end now and say so."""
        print("lost a client at position", client.position, flush=True)
        os._exit(1)


def _upgrade(path: str, host: str) -> bytes:
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: agora.v1",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def main(url: str, count: int) -> None:
    """Connect, say `ready`, then answer each position with `done`."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_end_on_error)
    fleet = Fleet()
    opening = [line for line in (await _line()).rstrip("\n").split("\t") if line]
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        await fleet.connect(url, count, opening)
    print("ready", flush=True)
    while line := (await _line()).strip():
        await fleet.reach(int(line))
        print("done", flush=True)


async def _line() -> str:
    return await asyncio.to_thread(sys.stdin.readline)


def _end_on_error(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """A client that raises ends the process: the bench then fails instead of waiting."""
    print("error", context.get("exception") or context.get("message"), flush=True)
    os._exit(1)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
