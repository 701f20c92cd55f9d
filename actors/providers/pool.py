"""The connections to providers, kept open between calls, and one HTTP exchange over each at a time.

Connecting, names, TLS and reading HTTP are aiohttp's, by its connector and its parser. Its session is left out: it
makes a dozen objects and a task of its own for each request, which costs more than all the rest. Here the head of a
request is built once for each address, by aiohttp too, and goes out with the body in one piece. Between two requests
connections wait here, since the connector would work out anew each time where one belongs.

Rules: how many calls may run at once is the router's rule, so the pool has no limit. A connection whose reply was read
to its end is kept; any other is closed as the exchange ends, however it ends. One on which something has come since,
or which its server has closed, is not used again, even if the loop has not seen that yet. No redirect is followed,
nothing is sent twice, no cookie is kept and no proxy guessed.
"""

import asyncio
import select
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import aiohttp
from aiohttp.http import HttpProcessingError, RawResponseMessage
from yarl import URL

from actors.providers.dialect import HttpRequest

KEEPALIVE_S = 4.0
"""Below the five seconds after which common servers close an idle connection, so that no call meets a closing one."""
HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "user-agent": "agora",
        "accept": "application/json",
        "accept-encoding": "identity",  # a reply is a few kilobytes: unpacking it costs more than it saves
    }
)
_UNLIMITED = aiohttp.ClientTimeout(total=None)
"""To the connector; whoever connects has a limit of its own."""
TARGETS_MAX = 256
"""Addresses whose heads are remembered: some three for each provider."""


class _Line:
    """A connection between two requests, and during one."""

    __slots__ = ("_watch", "connection", "since_s")

    def __init__(self, connection: aiohttp.connector.Connection) -> None:
        self.connection = connection
        self.since_s = 0.0
        """Since when it waits."""
        self._watch: select.poll | None = None

    def is_spent(self) -> bool:
        """Whether something has come, if only its end, before anything was asked: what is sent there may be lost."""
        protocol, transport = self.connection.protocol, self.connection.transport
        if protocol is None or transport is None or transport.is_closing() or protocol.should_close:
            return True
        if self._watch is None:
            self._watch = select.poll()
            self._watch.register(transport.get_extra_info("socket"), select.POLLIN)
        return bool(self._watch.poll(0))


class _Target(NamedTuple):
    """Where requests go, and the head that they share; a length and a body follow."""

    request: aiohttp.ClientRequest
    """Only its address counts: the connector makes connections to it."""
    head: bytes
    kept: deque[_Line]
    """The connections that wait, longest first; all targets at one server share them."""


class Reply:
    """A reply whose head has come. Whoever has it ends it."""

    __slots__ = ("_kept", "_line", "_payload", "headers", "status")

    def __init__(
        self, line: _Line, kept: deque[_Line], message: RawResponseMessage, payload: aiohttp.StreamReader
    ) -> None:
        self._line = line
        self._kept = kept
        self._payload = payload
        self.status = message.code
        self.headers: Mapping[str, str] = message.headers

    async def next(self) -> bytes:
        """What has come since, waiting for some; empty at the end. Raises aiohttp.ClientError."""
        return await self._payload.readany()

    def end(self) -> None:
        """Give the connection back; one whose reply was not read to its end is closed."""
        line, protocol = self._line, self._line.connection.protocol
        if protocol is None or protocol.should_close or not protocol.is_connected():
            line.connection.close()
        else:
            line.since_s = asyncio.get_running_loop().time()
            self._kept.append(line)


class NotHttp(aiohttp.ClientError):
    """What came back was no HTTP."""


class ConnectTimeout(aiohttp.ClientError):
    """Nobody has taken the connection in time."""


class Pool:
    """The connections. Made within a running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S)
        self._targets: dict[tuple[str, str, tuple[tuple[str, str], ...]], _Target] = {}
        self._kept: dict[object, deque[_Line]] = {}
        """The connections that wait, by what the connector tells servers apart by."""

    async def close(self) -> None:
        """Close all connections."""
        for kept in self._kept.values():
            while kept:
                kept.popleft().connection.close()
        await self._connector.close()

    async def ask(self, method: str, request: HttpRequest, connect_s: float) -> Reply:
        """Send a request and wait for the head of its reply. Raises aiohttp.ClientError or OSError."""
        target = self._target(method, request)
        line = self._waiting(target.kept) or _Line(await self._connect(target.request, connect_s))
        connection = line.connection
        protocol, transport = connection.protocol, connection.transport
        try:
            if protocol is None or transport is None:
                raise aiohttp.ServerDisconnectedError
            protocol.set_response_params(read_until_eof=True)
            transport.write(b"%b%d\r\n\r\n%b" % (target.head, len(request.body), request.body))
            message, payload = await protocol.read()
            while message.code < 200 and message.code != 101:  # a word on the way, such as early hints
                message, payload = await protocol.read()
        except HttpProcessingError as error:
            connection.close()
            raise NotHttp(error.message) from error
        except BaseException:
            connection.close()
            raise
        return Reply(line, target.kept, message, payload)

    async def _connect(self, request: aiohttp.ClientRequest, connect_s: float) -> aiohttp.connector.Connection:
        """A new connection: the look-up of its name and the greeting of TLS are part of the wait."""
        try:
            async with asyncio.timeout(connect_s):
                return await self._connector.connect(request, [], _UNLIMITED)
        except TimeoutError as error:
            raise ConnectTimeout from error

    def _waiting(self, kept: deque[_Line]) -> _Line | None:
        """The connection that has waited least, if there is one of use; those that are not are closed."""
        _forget(kept, self._loop.time() - KEEPALIVE_S)
        while kept:
            line = kept.pop()
            if not line.is_spent():
                return line
            line.connection.close()
        return None

    def _target(self, method: str, request: HttpRequest) -> _Target:
        name = method, request.url, tuple(request.headers.items())
        target = self._targets.get(name)
        if target is None:
            if len(self._targets) >= TARGETS_MAX:
                self._targets.clear()
            for kept in self._kept.values():  # of servers that nobody asks any more, too
                _forget(kept, self._loop.time() - KEEPALIVE_S)
            target = self._targets[name] = self._new_target(method, request)
        return target

    def _new_target(self, method: str, request: HttpRequest) -> _Target:
        url = URL(request.url)
        asked = aiohttp.ClientRequest(method, url, headers={**HEADERS, **request.headers}, loop=self._loop)
        for name in ("content-length", "transfer-encoding"):
            asked.headers.pop(name, None)
        lines = [f"{method} {url.raw_path_qs} HTTP/1.1", *(f"{name}: {value}" for name, value in asked.headers.items())]
        assert all(line.isprintable() for line in lines), "no line of a head can end early"
        head = "".join(f"{line}\r\n" for line in lines).encode() + b"content-length: "
        return _Target(asked, head, self._kept.setdefault(asked.connection_key, deque()))


def _forget(kept: deque[_Line], since_s: float) -> None:
    """Close the connections that have waited since before then."""
    while kept and kept[0].since_s < since_s:
        kept.popleft().connection.close()
