"""The connections to providers, kept open between calls, and one HTTP exchange over each at a time.

Making connections is `actors.providers.dial`'s, what goes over one `actors.providers.connection`'s. Here the head of a
request is built, once for each address, and goes out with the body in one piece; and connections wait here between two
requests.

Rules: how many calls may run at once is the router's rule, so the pool has no limit. A connection whose reply was read
to its end is kept; any other is closed as the exchange ends, however it ends. A stream says that its words are over a
moment before its reply ends: such a connection is kept once the reply has ended, and closed if that takes longer than a
moment. Kept ones are closed when their time is up, if nobody asks any more too. One on which something has come since,
or which its server has closed, is not used again, even if the loop has not seen that yet. No redirect is followed,
nothing is sent twice, no cookie is kept and no proxy guessed.
"""

import asyncio
import math
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from actors.providers.connection import Connection
from actors.providers.dial import Dialler, Place, trust_of_this_machine
from actors.providers.dialect import HttpReply, HttpRequest, ProviderFault
from actors.rules.cascade import ErrorClass

KEEPALIVE_S = 4.0
"""Below the five seconds after which common servers close an idle connection, so that no call meets a closing one."""
HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "user-agent": "agora",
        "accept": "application/json",
        "accept-encoding": "identity",  # a reply is a few kilobytes: unpacking it costs more than it saves
    }
)
LINGER_S = 1.0
"""How soon after its last words a reply must end for its connection to be kept."""
LINGERING_MAX = 64
"""So many at once are waited for; the one that has taken longest is closed for another."""
TARGETS_MAX = 256
"""Addresses whose heads are remembered: some three for each provider."""
_PORTS = {"http": 80, "https": 443}
_PATH_CHARACTERS = "/%:@!$&'()*+,;=~"
"""What stands in a path or a query as it is (RFC 3986); a percent sign is taken to be an escape already."""


class _Target(NamedTuple):
    """Where requests go, and the head that they share; a length and a body follow."""

    place: Place
    head: bytes
    kept: deque[Connection]
    """The connections that wait, longest first; all targets at one server share them."""

    def request(self, body: bytes) -> bytes:
        return b"%b%d\r\n\r\n%b" % (self.head, len(body), body)


class Reply:
    """A reply whose head has come. Whoever has it ends it."""

    __slots__ = ("_connection", "_kept", "_pool", "headers", "status")

    def __init__(self, pool: "Pool", connection: Connection, kept: deque[Connection]) -> None:
        self._pool = pool
        self._connection = connection
        self._kept = kept
        self.status = connection.status
        self.headers: Mapping[str, str] = connection.headers

    async def next(self) -> bytes:
        """What has come since, waiting for some; empty at the end. Raises ProviderFault."""
        return await self._connection.next()

    def end(self) -> None:
        """Give the connection back; one whose reply was not read to its end is closed."""
        self._pool.take_back(self._connection, self._kept)

    def leave(self) -> None:
        """Nothing more of it is wanted: give the connection back as soon as the reply has ended, if that is soon."""
        if self._connection.is_complete:
            self.end()
        else:
            self._pool.linger(self._connection, self._kept)


class Pool:
    """The connections. Made within a running loop."""

    def __init__(
        self,
        *,
        keepalive_s: float = KEEPALIVE_S,
        linger_s: float = LINGER_S,
        trust: Callable[[], ssl.SSLContext] = trust_of_this_machine,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._keepalive_s = keepalive_s
        self._linger_s = linger_s
        self._open: set[Connection] = set()
        """All of them, also those that are in use."""
        self._dialler = Dialler(self._open, trust=trust)
        self._targets: dict[tuple[str, str, tuple[tuple[str, str], ...]], _Target] = {}
        self._kept: dict[Place, deque[Connection]] = {}
        """The connections that wait."""
        self._lingering: dict[Connection, float] = {}
        """Those on which nothing more is wanted but the end, and until when that is waited for, longest first."""
        self._sweep: asyncio.TimerHandle | None = None
        """When the next exchange or connection has to end; one timer for all."""
        self._is_closed = False

    async def close(self) -> None:
        """Close all connections, those too that are being made; calls under way fail, and so does every later one."""
        self._is_closed = True
        await self._dialler.close()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._lingering.clear()
        closing = tuple(self._open)
        for connection in closing:
            connection.drop()
        for connection in closing:
            await connection.lost

    async def ask(self, method: str, request: HttpRequest, connect_s: float) -> Reply:
        """Send a request and wait for the head of its reply. Raises ProviderFault."""
        target = self._target(method, request)
        connection = self._waiting(target.kept) or await self._dialler.connect(target.place, connect_s)
        try:
            connection.ask(target.request(request.body))
            await connection.head()
        except BaseException:
            connection.drop()
            raise
        return Reply(self, connection, target.kept)

    async def fetch(self, method: str, request: HttpRequest, connect_s: float, limit_s: float) -> HttpReply:
        """Send a request and wait for its whole reply, `limit_s` in all. Raises ProviderFault."""
        until_s = self._loop.time() + limit_s
        target = self._target(method, request)
        connection = self._waiting(target.kept) or await self._dialler.connect(target.place, min(connect_s, limit_s))
        try:
            connection.limit_s, connection.until_s = limit_s, until_s
            self._sweep_by(until_s)
            connection.ask(target.request(request.body))
            body = await connection.whole()
        except BaseException:
            connection.drop()
            raise
        reply = HttpReply(connection.status, connection.headers, body)
        self.take_back(connection, target.kept)
        return reply

    def take_back(self, connection: Connection, kept: deque[Connection]) -> None:
        """Keep a connection whose reply has ended; close any other."""
        if not connection.can_be_kept:
            connection.drop()
            return
        connection.until_s = math.inf
        connection.since_s = self._loop.time()
        kept.append(connection)
        self._sweep_by(connection.since_s + self._keepalive_s)

    def linger(self, connection: Connection, kept: deque[Connection]) -> None:
        """Take back a connection once its reply has ended; if it does not end soon, it is closed."""
        if len(self._lingering) == LINGERING_MAX:
            oldest = next(iter(self._lingering))
            del self._lingering[oldest]
            oldest.drop()
        until_s = self._loop.time() + self._linger_s
        self._lingering[connection] = until_s
        connection.on_end = partial(self._settle, connection, kept)
        self._sweep_by(until_s)

    def _waiting(self, kept: deque[Connection]) -> Connection | None:
        """The connection that has waited least, if there is one of use; those that are not are closed."""
        _forget(kept, self._loop.time() - self._keepalive_s)
        while kept:
            connection = kept.pop()
            if not connection.is_spent():
                return connection
            connection.drop()
        return None

    def _settle(self, connection: Connection, kept: deque[Connection]) -> None:
        """A reply of which nothing more is wanted has ended."""
        if self._lingering.pop(connection, None) is not None:
            self.take_back(connection, kept)

    def _sweep_by(self, at_s: float) -> None:
        """See that the timer passes by then; it may pass before, and finds out when it has to pass again."""
        if self._is_closed:
            return  # what is dropped ends by itself
        if self._sweep is None or self._sweep.when() > at_s:
            if self._sweep is not None:
                self._sweep.cancel()
            self._sweep = self._loop.call_at(at_s, self._end_old)

    def _end_old(self) -> None:
        """End the exchanges and the connections whose time is up, and wait for the next one."""
        self._sweep = None
        now_s = self._loop.time()
        for connection in [one for one, until_s in self._lingering.items() if until_s <= now_s]:
            del self._lingering[connection]
            connection.drop()
        for kept in self._kept.values():
            _forget(kept, now_s - self._keepalive_s)
        for connection in self._open:
            if connection.until_s <= now_s:
                connection.until_s = math.inf
                connection.expire()
        due_s = [kept[0].since_s + self._keepalive_s for kept in self._kept.values() if kept]
        next_s = min(
            [*due_s, *self._lingering.values(), *(connection.until_s for connection in self._open)], default=math.inf
        )
        if next_s < math.inf:
            self._sweep_by(next_s)

    def _target(self, method: str, request: HttpRequest) -> _Target:
        name = method, request.url, tuple(request.headers.items())
        target = self._targets.get(name)
        if target is None:
            if len(self._targets) >= TARGETS_MAX:
                self._targets.clear()
            target = self._targets[name] = self._new_target(method, request)
        return target

    def _new_target(self, method: str, request: HttpRequest) -> _Target:
        try:
            url = urlsplit(request.url)
            usual = _PORTS[url.scheme]
            host = (url.hostname or "").encode("ascii" if request.url.isascii() else "idna").decode()
            place = Place(host, url.port or usual, url.scheme == "https")
        except (KeyError, ValueError) as error:
            raise ProviderFault(ErrorClass.CONNECT, "its address is none") from error
        if not host:
            raise ProviderFault(ErrorClass.CONNECT, "its address names no host")
        named = f"[{host}]" if ":" in host else host
        path = quote(url.path or "/", safe=_PATH_CHARACTERS)
        if url.query:
            path += "?" + quote(url.query, safe=_PATH_CHARACTERS + "?")
        headers = {"host": named if place.port == usual else f"{named}:{place.port}", **HEADERS}
        headers |= {name.lower(): value for name, value in request.headers.items()}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        if not all(line.isprintable() for line in lines):  # one would end early, and what follows be a line of its own
            raise ProviderFault(ErrorClass.CONNECT, "its address or its headers hold what no head of a request may")
        head = "".join(f"{line}\r\n" for line in lines).encode() + b"content-length: "
        return _Target(place, head, self._kept.setdefault(place, deque()))


def _forget(kept: deque[Connection], since_s: float) -> None:
    """Close the connections that have waited since before then."""
    while kept and kept[0].since_s <= since_s:
        kept.popleft().drop()
