"""Sockets to providers: one connection carries one exchange at a time, and waits in a pool for the next.

Rules: a connection goes back to the pool only after a response that was whole; whoever leaves an exchange early, by
cancellation, a limit or an error, closes its socket there and then. What a provider sends while it idles closes it. A
reader that falls behind stops the socket, so that a flood waits outside.
"""

import asyncio
import ssl
from collections import deque
from urllib.parse import urlsplit

import msgspec

from actors.providers.http1 import Head, NotHttp, ResponseReader, Truncated

IDLE_MAX_S = 4.0
"""Below the five seconds after which common servers close an idle connection, so that no call meets a closing one."""
IDLE_MAX = 64
"""Connections to one place that wait for the next call."""
UNREAD_BYTES_MAX = 256 * 1024
"""Body bytes that wait for their reader before the socket is stopped."""
HAPPY_EYEBALLS_S = 0.25
"""As RFC 8305 recommends."""


class Place(msgspec.Struct, frozen=True):
    """Where a provider listens."""

    host: str
    port: int
    is_tls: bool

    @property
    def authority(self) -> str:
        """As the Host header says it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"


def place_of(url: str) -> tuple[Place, str]:
    """The place and the path of an address. Raises ValueError."""
    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    if not parts.hostname:
        raise ValueError(f"{url!r} names no host")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(parts.hostname, parts.port or (443 if is_tls else 80), is_tls), target


class Connection(asyncio.Protocol):
    """One socket. Send a request, then read its head and its body."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader: ResponseReader | None = None
        self._chunks: deque[bytes] = deque()
        self._unread = 0
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._is_paused = False
        self.is_closed = False
        self.idle_since_s = 0.0

    def send(self, request: bytes) -> None:
        """Begin an exchange."""
        assert self._transport is not None, "the connection is open"
        self._reader = ResponseReader()
        self._chunks.clear()
        self._unread = 0
        self._error = None
        self._transport.write(request)

    async def head(self) -> Head:
        """Wait for status and headers. Raises NotHttp, Truncated or OSError."""
        reader = self._reader
        assert reader is not None, "a request was sent"
        while reader.head is None:
            await self._wait()
        return reader.head

    async def chunk(self) -> bytes:
        """The next bytes of the body; empty at its end. Raises as `head`."""
        reader = self._reader
        assert reader is not None, "a request was sent"
        while not self._chunks:
            if reader.is_whole:
                return b""
            await self._wait()
        body = self._chunks.popleft() if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._unread = 0
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()
        return body

    @property
    def is_reusable(self) -> bool:
        """Whether the exchange is over and the connection may serve the next."""
        reader = self._reader
        is_over = reader is not None and reader.is_whole and reader.keeps_alive
        return is_over and not self.is_closed and self._error is None

    def abort(self) -> None:
        """Close the socket now."""
        self.is_closed = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport), "a stream socket has a duplex transport"
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        if reader is None or reader.is_whole or self._error is not None:
            self.abort()
            return
        try:
            body = reader.feed(data)
        except NotHttp as error:
            self._error = error
            self.abort()
        else:
            if body:
                self._chunks.append(body)
                self._unread += len(body)
                if self._unread > UNREAD_BYTES_MAX and not self._is_paused and self._transport is not None:
                    self._is_paused = True
                    self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.is_closed = True
        if self._error is None and self._reader is not None and not self._reader.is_whole:
            try:
                if isinstance(error, OSError):
                    self._error = error
                else:
                    self._reader.end()
            except Truncated as truncated:
                self._error = truncated
        self._wake()

    async def _wait(self) -> None:
        """Wait until something has changed. Raises what has gone wrong, once all that came before it is read."""
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Connections:
    """The open sockets by place. Who opens it closes it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle: dict[Place, list[Connection]] = {}
        self._open: set[Connection] = set()
        self._tls: ssl.SSLContext | None = None

    @property
    def open(self) -> int:
        """How many sockets there are, idle ones included."""
        return sum(not connection.is_closed for connection in self._open)

    def take(self, place: Place) -> Connection | None:
        """An idle connection, the most recently used first; None when there is none that is fresh enough."""
        idle = self._idle.get(place)
        while idle:
            connection = idle.pop()
            if not connection.is_closed and self._loop.time() - connection.idle_since_s < IDLE_MAX_S:
                return connection
            self.drop(connection)
        return None

    async def connect(self, place: Place) -> Connection:
        """A new connection. Raises OSError."""
        context = self._context() if place.is_tls else None
        _, connection = await self._loop.create_connection(
            Connection,
            place.host,
            place.port,
            ssl=context,
            server_hostname=place.host if context is not None else None,
            happy_eyeballs_delay=HAPPY_EYEBALLS_S,
        )
        self._open.add(connection)
        return connection

    def give_back(self, place: Place, connection: Connection) -> None:
        """The exchange is over: keep the connection for the next one if it can serve again."""
        idle = self._idle.setdefault(place, [])
        if connection.is_reusable and len(idle) < IDLE_MAX:
            connection.idle_since_s = self._loop.time()
            idle.append(connection)
        else:
            self.drop(connection)

    def drop(self, connection: Connection) -> None:
        """Close a connection."""
        self._open.discard(connection)
        connection.abort()

    def close(self) -> None:
        """Close all sockets."""
        for connection in tuple(self._open):
            self.drop(connection)
        self._idle.clear()

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls
