"""One small HTTP client for all providers, over the connections of `actors.providers.pool`.

Rules: a reply has a size cap and a call one limit for all of it. Whatever goes wrong on the way becomes a
`ProviderFault` of one class. Whoever cancels a call closes its socket. A stream has three limits: until its first
bytes, between any two, and for all of it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import aiohttp
import msgspec

from actors.providers.dialect import HttpReply, HttpRequest, ProviderFault, shorten
from actors.providers.pool import ConnectTimeout, NotHttp, Pool, Reply
from actors.rules.cascade import ErrorClass

REPLY_BYTES_MAX = 8 * 1024 * 1024
"""Some two million tokens: no honest completion is longer."""


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

    def __init__(self, reply: Reply, clock: "_Clock") -> None:
        self._reply = reply
        self._clock = clock
        self._size = 0
        self.status = reply.status
        self.headers = reply.headers

    async def next(self) -> bytes:
        """What has come since, waiting for some; empty at the end. Raises ProviderFault through the stream."""
        body = await self._reply.next()
        self._size += len(body)
        if self._size > REPLY_BYTES_MAX:
            raise _too_large()
        self._clock.note_bytes()
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
        self._is_open = False
        self._pool: Pool | None = None

    async def __aenter__(self) -> Self:
        """Take calls from now on; the connection pool is opened by the first."""
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        self._is_open = False
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

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
            async with asyncio.timeout_at(clock.begin()) as scope:
                reply = await self._opened().ask("POST", request, limits.connect_s)
                clock.keep(scope)
                try:
                    yield Streamed(reply, clock)
                finally:
                    reply.end()
        except (aiohttp.ClientError, OSError) as error:
            raise _fault_of(error, clock) from error

    async def _whole(self, method: str, request: HttpRequest, limits: Limits) -> HttpReply:
        alarm = _Alarm(limits.total_s)
        try:
            reply = await self._opened().ask(method, request, limits.connect_s)
            try:
                return HttpReply(reply.status, reply.headers, await _read(reply))
            finally:
                reply.end()
        except asyncio.CancelledError as error:
            if not alarm.has_woken():
                raise
            raise _fault_of(TimeoutError(), _Clock(limits)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise _fault_of(error, _Clock(limits)) from error
        finally:
            alarm.end()

    def _opened(self) -> Pool:
        assert self._is_open, "the transport is open"
        if self._pool is None:
            self._pool = Pool()
        return self._pool


class _Alarm:
    """Cancels what the task does when the time is up: `asyncio.timeout` at half its price, for a block that ends once.

    Whoever takes the cancellation asks whose it was; another's goes on.
    """

    __slots__ = ("_cancelling", "_handle", "_has_rung", "_task")

    def __init__(self, limit_s: float) -> None:
        task = asyncio.current_task()
        assert task is not None, "only a task can be woken"
        self._task = task
        self._cancelling = task.cancelling()
        self._has_rung = False
        self._handle = task.get_loop().call_later(limit_s, self._ring)

    def has_woken(self) -> bool:
        """Whether the cancellation at hand is its own, and nobody else's as well."""
        return self._has_rung and self._task.uncancel() <= self._cancelling

    def end(self) -> None:
        self._handle.cancel()

    def _ring(self) -> None:
        self._has_rung = True
        self._task.cancel()


class _Clock:
    """Which limit is running now."""

    __slots__ = ("_deadline_s", "_limits", "_loop", "_phase", "_scope")

    def __init__(self, limits: Limits) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._deadline_s = self._loop.time() + limits.total_s
        self._scope: asyncio.Timeout | None = None
        self._phase = ""

    def begin(self) -> float:
        """Until when the first bytes must be there; connecting has a limit of its own."""
        return self._until("first token", self._limits.first_s)

    def keep(self, scope: asyncio.Timeout) -> None:
        """Move this scope's deadline from now on."""
        self._scope = scope

    def note_bytes(self) -> None:
        """Something has come: the next piece has its own limit."""
        if self._scope is not None and (self._limits.between_s or self._limits.first_s):
            self._scope.reschedule(self._until("next token", self._limits.between_s))

    def words(self) -> tuple[ErrorClass, str]:
        """What it means that the time is up."""
        limits = self._limits
        match self._phase:
            case "first token":
                return ErrorClass.TIMEOUT, f"no first token within {limits.first_s:.3g} s"
            case "next token":
                return ErrorClass.STALLED, f"no next token within {limits.between_s:.3g} s"
            case _:
                return ErrorClass.TIMEOUT, f"no whole reply within {limits.total_s:.3g} s"

    def no_connection(self) -> str:
        """What it means that nobody took the connection in time."""
        return f"no connection within {self._limits.connect_s:g} s"

    def _until(self, phase: str, limit_s: float) -> float:
        until_s = self._loop.time() + limit_s if limit_s else self._deadline_s
        self._phase = phase if until_s < self._deadline_s else ""
        return min(until_s, self._deadline_s)


async def _read(reply: Reply) -> bytes:
    if int(reply.headers.get("content-length", 0)) > REPLY_BYTES_MAX:
        raise _too_large()
    chunks: list[bytes] = []
    size = 0
    while chunk := await reply.next():
        chunks.append(chunk)
        size += len(chunk)
        if size > REPLY_BYTES_MAX:
            raise _too_large()
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large() -> ProviderFault:
    return ProviderFault(ErrorClass.TOO_LARGE, f"the reply is longer than {REPLY_BYTES_MAX} bytes")


def _fault_of(error: aiohttp.ClientError | OSError, clock: _Clock) -> ProviderFault:
    kind, reason = _class_of(error, clock)
    return ProviderFault(kind, shorten(reason))


def _class_of(  # noqa: PLR0911  # a table of exceptions, which must be matched: subclasses stand before their bases
    error: aiohttp.ClientError | OSError, clock: _Clock
) -> tuple[ErrorClass, str]:
    match error:
        case ConnectTimeout():
            return ErrorClass.CONNECT, clock.no_connection()
        case TimeoutError():
            return clock.words()
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return ErrorClass.REFUSED, "the connection was refused"
        case aiohttp.ClientConnectorError():
            return ErrorClass.CONNECT, f"no connection: {error.os_error}"
        case aiohttp.ServerDisconnectedError():
            return ErrorClass.TRUNCATED, "the connection was closed without a reply"
        case aiohttp.ClientPayloadError():
            return ErrorClass.TRUNCATED, "the connection was closed in the middle of the reply"
        case NotHttp():
            return ErrorClass.GARBAGE, f"the reply is not HTTP: {error}"
        case OSError():
            return ErrorClass.TRUNCATED, f"the connection broke: {error.strerror}"
        case _:
            return ErrorClass.CONNECT, f"{type(error).__name__}: {error}"
