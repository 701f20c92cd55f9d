"""One small HTTP client for all providers.

Rules: one connection pool for everything; a reply has a size cap and a call one limit for all of it; redirects are not
followed, nothing is retried, no cookie is kept and no proxy guessed. Whatever goes wrong on the way becomes a
`ProviderFault` of one class. Whoever cancels a call closes its socket.
"""

from types import TracebackType
from typing import Self

import aiohttp
import anyio

from actors.providers.dialect import HttpReply, HttpRequest, ProviderFault, shorten
from actors.rules.cascade import ErrorClass

REPLY_BYTES_MAX = 8 * 1024 * 1024
"""Some two million tokens: no honest completion is longer."""
KEEPALIVE_S = 4.0
"""Below the five seconds after which common servers close an idle connection, so that no call meets a closing one."""
HEADERS = {
    "user-agent": "agora",
    "accept": "application/json",
    "accept-encoding": "identity",  # a reply is a few kilobytes: unpacking it costs more than it saves
}


class Transport:
    """The client. Open it with `async with`."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the connection pool. How many calls may run at once is the router's rule, so the pool has none."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=HEADERS,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, request: HttpRequest, *, connect_s: float, limit_s: float) -> HttpReply:
        """Send a request and read its whole reply within `limit_s`.

        Raises:
            ProviderFault: nothing came, not all of it, or too much.
        """
        return await self._call("POST", request, connect_s, limit_s)

    async def get(self, url: str, *, limit_s: float) -> HttpReply:
        """Fetch a small reply within `limit_s`. Raises `ProviderFault`."""
        return await self._call("GET", HttpRequest(url, {}, b""), limit_s, limit_s)

    async def _call(self, method: str, request: HttpRequest, connect_s: float, limit_s: float) -> HttpReply:
        session = self._session
        assert session is not None, "the transport is open"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_s)
        try:
            with anyio.fail_after(limit_s):
                async with session.request(
                    method,
                    request.url,
                    data=request.body or None,
                    headers=request.headers,
                    allow_redirects=False,
                    timeout=timeout,
                ) as response:
                    body = await _read(response)
                    headers = {name.lower(): value for name, value in response.headers.items()}
                    return HttpReply(response.status, headers, body)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _fault_of(error, connect_s, limit_s) from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    if (response.content_length or 0) > REPLY_BYTES_MAX:
        raise _too_large()
    chunks: list[bytes] = []
    size = 0
    while chunk := await response.content.readany():
        chunks.append(chunk)
        size += len(chunk)
        if size > REPLY_BYTES_MAX:
            raise _too_large()
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large() -> ProviderFault:
    return ProviderFault(ErrorClass.TOO_LARGE, f"the reply is longer than {REPLY_BYTES_MAX} bytes")


def _fault_of(error: aiohttp.ClientError | TimeoutError, connect_s: float, limit_s: float) -> ProviderFault:
    kind, reason = _class_of(error, connect_s, limit_s)
    return ProviderFault(kind, shorten(reason))


def _class_of(  # noqa: PLR0911  # a table of exceptions, which must be matched: subclasses stand before their bases
    error: aiohttp.ClientError | TimeoutError, connect_s: float, limit_s: float
) -> tuple[ErrorClass, str]:
    match error:
        case aiohttp.ConnectionTimeoutError():
            return ErrorClass.CONNECT, f"no connection within {connect_s:g} s"
        case TimeoutError():
            return ErrorClass.TIMEOUT, f"no whole reply within {limit_s:.3g} s"
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return ErrorClass.REFUSED, "the connection was refused"
        case aiohttp.ClientConnectorError():
            return ErrorClass.CONNECT, f"no connection: {error.os_error}"
        case aiohttp.ServerDisconnectedError():
            return ErrorClass.TRUNCATED, "the connection was closed without a reply"
        case aiohttp.ClientPayloadError():
            return ErrorClass.TRUNCATED, "the connection was closed in the middle of the reply"
        case aiohttp.ClientResponseError():
            return ErrorClass.GARBAGE, f"the reply is not HTTP: {error.message}"
        case aiohttp.ClientOSError():
            return ErrorClass.TRUNCATED, f"the connection broke: {error.strerror}"
        case _:
            return ErrorClass.CONNECT, f"{type(error).__name__}: {error}"
