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

import msgspec

from actors.providers.dialect import HttpReply, HttpRequest, ProviderFault
from actors.providers.pool import Pool, Reply
from actors.rules.cascade import ErrorClass


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
        self.status = reply.status
        self.headers = reply.headers
        self.is_ending = False
        """Whether the time for what is still to come has been cut."""
        self.is_left = False
        """Whether nothing more of it is wanted."""

    async def next(self) -> bytes:
        """What has come since, waiting for some; empty at the end. Raises ProviderFault through the stream."""
        body = await self._reply.next()
        self._clock.note_bytes()
        return body

    def end_within(self, limit_s: float) -> None:
        """Give what is still to come so much time in all."""
        self.is_ending = True
        self._clock.end_within(limit_s)

    def leave(self) -> None:
        """Nothing more of it is wanted; its connection is used again if the reply ends about now."""
        self.is_left = True

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
        return await self._opened().fetch("POST", request, connect_s, limit_s)

    async def get(self, url: str, *, limit_s: float) -> HttpReply:
        """Fetch a small reply within `limit_s`. Raises `ProviderFault`."""
        return await self._opened().fetch("GET", HttpRequest(url, {}, b""), limit_s, limit_s)

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
                streamed = Streamed(reply, clock)
                try:
                    yield streamed
                finally:
                    if streamed.is_left:
                        reply.leave()
                    else:
                        reply.end()
        except TimeoutError as error:
            raise clock.fault() from error

    def _opened(self) -> Pool:
        assert self._is_open, "the transport is open"
        if self._pool is None:
            self._pool = Pool()
        return self._pool


class _Clock:
    """Which limit is running now."""

    __slots__ = ("_deadline_s", "_last_s", "_limits", "_loop", "_phase", "_scope")

    def __init__(self, limits: Limits) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._last_s = self._deadline_s = self._loop.time() + limits.total_s
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

    def end_within(self, limit_s: float) -> None:
        """From now on this limit spans all that is still to come; never later than the first deadline."""
        if self._scope is not None:
            self._deadline_s = min(self._last_s, self._loop.time() + limit_s)
            self._scope.reschedule(self._deadline_s)

    def fault(self) -> ProviderFault:
        """What it means that the time is up."""
        limits = self._limits
        match self._phase:
            case "first token":
                return ProviderFault(ErrorClass.TIMEOUT, f"no first token within {limits.first_s:.3g} s")
            case "next token":
                return ProviderFault(ErrorClass.STALLED, f"no next token within {limits.between_s:.3g} s")
            case _:
                return ProviderFault(ErrorClass.TIMEOUT, f"no whole reply within {limits.total_s:.3g} s")

    def _until(self, phase: str, limit_s: float) -> float:
        until_s = self._loop.time() + limit_s if limit_s else self._deadline_s
        self._phase = phase if until_s < self._deadline_s else ""
        return min(until_s, self._deadline_s)
