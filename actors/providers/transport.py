"""One small HTTP client for all providers.

Rules: one pool for everything; a reply has a size cap and a call one limit for all of it; redirects are not followed,
nothing is retried, no cookie is kept and no proxy guessed. Whatever goes wrong on the way becomes a `ProviderFault` of
one class. Whoever cancels a call closes its socket. A stream has three limits: until its first bytes, between any two,
and for all of it.
"""

import asyncio
import errno
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from types import TracebackType
from typing import Self

import msgspec

from actors.providers.connections import Connection, Connections, Place, place_of
from actors.providers.dialect import HttpReply, HttpRequest, ProviderFault, shorten
from actors.providers.http1 import Head, NotHttp, Truncated, request, request_head
from actors.rules.cascade import ErrorClass

REPLY_BYTES_MAX = 8 * 1024 * 1024
"""Some two million tokens: no honest completion is longer."""
HEADERS = {
    "user-agent": "agora",
    "accept": "application/json",
    "accept-encoding": "identity",  # a reply is a few kilobytes: unpacking it costs more than it saves
}


class Limits(msgspec.Struct, frozen=True):
    """How long each part of a call may take, in seconds. The total spans the others."""

    connect_s: float
    total_s: float
    first_s: float = 0.0
    """Until the first bytes of a stream; 0 leaves it to the total."""
    between_s: float = 0.0
    """Between any two; 0 leaves it to the total."""


class Streamed:
    """A reply that comes in pieces."""

    def __init__(self, connection: Connection, head: Head, stop: "_Clock") -> None:
        self._connection = connection
        self._stop = stop
        self._size = 0
        self.status = head.status
        self.headers = head.headers

    async def next(self) -> bytes:
        """What has come since, waiting for some; empty at the end. Raises ProviderFault through the stream."""
        body = await self._connection.chunk()
        self._size += len(body)
        if self._size > REPLY_BYTES_MAX:
            raise _too_large()
        self._stop.note_bytes()
        return body

    async def rest(self) -> bytes:
        """All that is still to come."""
        parts: list[bytes] = []
        while body := await self.next():
            parts.append(body)
        return b"".join(parts)


class Transport:
    """The client. Open it with `async with`."""

    def __init__(self) -> None:
        self._connections: Connections | None = None

    async def __aenter__(self) -> Self:
        """Open the pool. How many calls may run at once is the router's rule, so the pool has none."""
        self._connections = Connections()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        if self._connections is not None:
            self._connections.close()
            self._connections = None

    async def post(self, request: HttpRequest, *, connect_s: float, limit_s: float) -> HttpReply:
        """Send a request and read its whole reply within `limit_s`.

        Raises:
            ProviderFault: nothing came, not all of it, or too much.
        """
        return await self._whole("POST", request, Limits(connect_s, limit_s))

    async def get(self, url: str, *, limit_s: float) -> HttpReply:
        """Fetch a small reply within `limit_s`. Raises `ProviderFault`."""
        return await self._whole("GET", HttpRequest(url, {}, b""), Limits(limit_s, limit_s))

    @asynccontextmanager
    async def stream(self, request: HttpRequest, limits: Limits) -> AsyncIterator[Streamed]:
        """Send a request and read its reply as it comes. Leaving early closes the socket.

        Raises:
            ProviderFault: from the block too, for whatever goes wrong on the way.
        """
        clock = _Clock(limits)
        try:
            async with clock.timeout:
                place, connection = await self._sent("POST", request, clock)
                try:
                    head = await connection.head()
                    yield Streamed(connection, head, clock)
                except BaseException:
                    self._pool.drop(connection)
                    raise
                self._pool.give_back(place, connection)
        except (OSError, ssl.CertificateError, NotHttp, Truncated) as error:  # TimeoutError is an OSError
            raise _fault_of(error, clock) from error

    @property
    def _pool(self) -> Connections:
        assert self._connections is not None, "the transport is open"
        return self._connections

    async def _whole(self, method: str, request: HttpRequest, limits: Limits) -> HttpReply:
        clock = _Clock(limits)
        try:
            async with clock.timeout:
                place, connection = await self._sent(method, request, clock)
                try:
                    head = await connection.head()
                    body = await _read(connection, head)
                except BaseException:
                    self._pool.drop(connection)
                    raise
                self._pool.give_back(place, connection)
                return HttpReply(head.status, head.headers, body)
        except (OSError, ssl.CertificateError, NotHttp, Truncated) as error:  # TimeoutError is an OSError
            raise _fault_of(error, clock) from error

    async def _sent(self, method: str, asked: HttpRequest, clock: "_Clock") -> tuple[Place, Connection]:
        place, head = _prepared(method, asked.url, tuple(asked.headers.items()))
        connection = self._pool.take(place)
        if connection is None:
            clock.begin_connecting()
            connection = await self._pool.connect(place)
        clock.begin_waiting()
        connection.send(request(head, asked.body))
        return place, connection


class _Clock:
    """Which limit is running now. One timeout serves them all."""

    __slots__ = ("_deadline_s", "_limits", "_loop", "phase", "timeout")

    def __init__(self, limits: Limits) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._deadline_s = self._loop.time() + limits.total_s
        self.phase = ""
        self.timeout = asyncio.timeout_at(self._deadline_s)

    def begin_connecting(self) -> None:
        self._run("connection", self._limits.connect_s)

    def begin_waiting(self) -> None:
        if self._limits.first_s or self.phase:
            self._run("first token", self._limits.first_s)

    def note_bytes(self) -> None:
        if self._limits.between_s or self.phase:
            self._run("next token", self._limits.between_s)

    def words(self) -> tuple[ErrorClass, str]:
        """What it means that the time is up."""
        limits = self._limits
        match self.phase:
            case "connection":
                return ErrorClass.CONNECT, f"no connection within {limits.connect_s:g} s"
            case "first token":
                return ErrorClass.TIMEOUT, f"no first token within {limits.first_s:.3g} s"
            case "next token":
                return ErrorClass.STALLED, f"no next token within {limits.between_s:.3g} s"
            case _:
                return ErrorClass.TIMEOUT, f"no whole reply within {limits.total_s:.3g} s"

    def _run(self, phase: str, limit_s: float) -> None:
        until_s = self._loop.time() + limit_s if limit_s else self._deadline_s
        self.phase = phase if until_s < self._deadline_s else ""
        self.timeout.reschedule(min(until_s, self._deadline_s))


@lru_cache(maxsize=256)
def _prepared(method: str, url: str, headers: tuple[tuple[str, str], ...]) -> tuple[Place, str]:
    """Where a request goes and what it says before its length: the same for every call of a provider."""
    place, target = place_of(url)
    return place, request_head(method, target, place.authority, {**HEADERS, **dict(headers)})


async def _read(connection: Connection, head: Head) -> bytes:
    length = head.headers.get("content-length", "")
    if length.isdigit() and int(length) > REPLY_BYTES_MAX:
        raise _too_large()
    body = await connection.chunk()
    size = len(body)
    parts = [body]
    while body:
        if size > REPLY_BYTES_MAX:
            raise _too_large()
        body = await connection.chunk()
        size += len(body)
        parts.append(body)
    return parts[0] if len(parts) <= 2 else b"".join(parts)


def _too_large() -> ProviderFault:
    return ProviderFault(ErrorClass.TOO_LARGE, f"the reply is longer than {REPLY_BYTES_MAX} bytes")


def _fault_of(error: Exception, clock: _Clock) -> ProviderFault:
    kind, reason = _class_of(error, clock)
    return ProviderFault(kind, shorten(reason))


def _class_of(  # noqa: PLR0911  # a table of exceptions; subclasses stand before their bases
    error: Exception, clock: _Clock
) -> tuple[ErrorClass, str]:
    match error:
        case TimeoutError():
            return clock.words()
        case NotHttp():
            return ErrorClass.GARBAGE, f"the reply is not HTTP: {error}"
        case Truncated():
            return ErrorClass.TRUNCATED, str(error) or "the connection was closed without a reply"
        case ConnectionRefusedError():
            return ErrorClass.REFUSED, "the connection was refused"
        case ConnectionError():
            return ErrorClass.TRUNCATED, f"the connection broke: {error.strerror or type(error).__name__}"
        case OSError() if _is_refused_everywhere(error):
            return ErrorClass.REFUSED, "the connection was refused"
        case OSError():
            return ErrorClass.CONNECT, f"no connection: {error.strerror or error}"
        case _:
            return ErrorClass.CONNECT, f"{type(error).__name__}: {error}"


def _is_refused_everywhere(error: OSError) -> bool:
    """A host with several addresses tells of them all in words alone."""
    words = str(error)
    return error.errno is None and 0 < words.count(f"[Errno {errno.ECONNREFUSED}]") == words.count("[Errno")
