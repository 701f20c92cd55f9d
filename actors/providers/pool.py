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
from functools import lru_cache
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
TARGETS_MAX = 256
"""Addresses whose heads are remembered: some three for each provider."""


class _Kept(NamedTuple):
    """A connection that waits for its next request."""

    connection: aiohttp.connector.Connection
    since_s: float


class _Target(NamedTuple):
    """Where requests go, and the head that they share; a length and a body follow."""

    request: aiohttp.ClientRequest
    """Only its address counts: the connector makes connections to it."""
    head: bytes
    kept: deque[_Kept]
    """The connections that wait, longest first; all targets at one server share them."""


class Reply:
    """A reply whose head has come. Whoever has it ends it."""

    __slots__ = ("_connection", "_kept", "_payload", "headers", "status")

    def __init__(
        self,
        connection: aiohttp.connector.Connection,
        kept: deque[_Kept],
        message: RawResponseMessage,
        payload: aiohttp.StreamReader,
    ) -> None:
        self._connection = connection
        self._kept = kept
        self._payload = payload
        self.status = message.code
        self.headers: Mapping[str, str] = message.headers

    async def next(self) -> bytes:
        """What has come since, waiting for some; empty at the end. Raises aiohttp.ClientError."""
        return await self._payload.readany()

    def end(self) -> None:
        """Give the connection back; one whose reply was not read to its end is closed."""
        connection = self._connection
        protocol = connection.protocol
        if protocol is None or protocol.should_close or not protocol.is_connected():
            connection.close()
        else:
            self._kept.append(_Kept(connection, asyncio.get_running_loop().time()))


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
        self._kept: dict[object, deque[_Kept]] = {}
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
        try:
            connection = self._waiting(target.kept) or await self._connector.connect(
                target.request, [], _connecting(connect_s)
            )
        except TimeoutError as error:
            raise ConnectTimeout from error
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
        return Reply(connection, target.kept, message, payload)

    def _waiting(self, kept: deque[_Kept]) -> aiohttp.connector.Connection | None:
        """The connection that has waited least, if there is one of use; those that are not are closed."""
        _forget(kept, self._loop.time() - KEEPALIVE_S)
        while kept:
            connection, _ = kept.pop()
            if not _is_spent(connection):
                return connection
            connection.close()
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


def _is_spent(connection: aiohttp.connector.Connection) -> bool:
    """Whether something has come, if only its end, before anything was asked: what is sent there may be lost."""
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None or transport.is_closing() or protocol.should_close:
        return True
    watch = select.poll()
    watch.register(transport.get_extra_info("socket"), select.POLLIN)
    return bool(watch.poll(0))


def _forget(kept: deque[_Kept], since_s: float) -> None:
    """Close the connections that have waited since before then."""
    while kept and kept[0].since_s < since_s:
        kept.popleft().connection.close()


@lru_cache(maxsize=64)
def _connecting(connect_s: float) -> aiohttp.ClientTimeout:
    """The one limit that is aiohttp's to keep."""
    return aiohttp.ClientTimeout(total=None, sock_connect=connect_s)
