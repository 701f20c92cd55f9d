"""A node's REST interface, over aiohttp: one connection pool, one deadline an answer, one size cap.

Rules: redirects are not followed, nothing is retried, no proxy is guessed. A node that signed its own certificate is
trusted by that certificate alone. Whatever goes wrong is a `NodeFault` in words that hold no key.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import aiohttp
import anyio.to_thread
import msgspec

from actors.nodes.node import NodeFault
from actors.nodes.options import LightningOptions

T = TypeVar("T")

REPLY_BYTES_MAX = 1_048_576
"""An invoice with its payments takes a few kilobytes."""
WORDS_MAX = 200


class Answer(NamedTuple):
    """What the node said."""

    status: int
    body: bytes


class Rest:
    """The client of one node."""

    def __init__(self, options: LightningOptions, headers: Mapping[str, str]) -> None:
        self._base = options.url.rstrip("/")
        self._certificate = options.tls_cert
        self._headers = dict(headers)
        self._timeout = aiohttp.ClientTimeout(total=options.timeout_s)
        self._http: aiohttp.ClientSession | None = None

    async def post(self, path: str, body: object) -> Answer:
        """Ask for a change. Raises `NodeFault`."""
        return await self._ask("POST", path, msgspec.json.encode(body))

    async def get(self, path: str) -> Answer:
        """Ask what is. Raises `NodeFault`."""
        return await self._ask("GET", path, None)

    async def close(self) -> None:
        """Close all connections."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def _ask(self, method: str, path: str, body: bytes | None) -> Answer:
        session = await self._session()
        headers = {**self._headers, "content-type": "application/json"} if body is not None else self._headers
        try:
            async with session.request(
                method, self._base + path, data=body, headers=headers, allow_redirects=False
            ) as response:
                content = await response.content.read(REPLY_BYTES_MAX + 1)
                while len(content) <= REPLY_BYTES_MAX and (more := await response.content.readany()):
                    content += more
                if len(content) > REPLY_BYTES_MAX:
                    raise NodeFault(f"its answer is longer than {REPLY_BYTES_MAX} bytes")
                return Answer(response.status, content)
        except TimeoutError as error:
            raise NodeFault(f"no answer within {self._timeout.total:g} s") from error
        except aiohttp.ClientError as error:
            raise NodeFault(f"no answer: {type(error).__name__}") from error

    async def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            trust: ssl.SSLContext | bool = True
            if self._certificate:
                trust = await anyio.to_thread.run_sync(_context_of, self._certificate)
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=trust, limit=8),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                trust_env=False,
            )
        return self._http


def parsed(answer: Answer, kind: type[T], *, is_strict: bool = True) -> T:
    """The answer as a type; fields of which nothing is wanted are passed over. Raises `NodeFault`."""
    if not 200 <= answer.status < 300:
        raise NodeFault(refusal(answer))
    try:
        return msgspec.json.decode(answer.body, type=kind, strict=is_strict)
    except msgspec.DecodeError as error:
        raise NodeFault(f"its answer makes no sense: {error}") from error


def refusal(answer: Answer) -> str:
    """What an error says, in a line."""
    try:
        said = msgspec.json.decode(answer.body, type=_Refusal)
    except msgspec.DecodeError:
        said = _Refusal()
    words = " ".join((said.detail or said.message).split())[:WORDS_MAX]
    return f"HTTP {answer.status}" + (f": {words}" if words else "")


class _Refusal(msgspec.Struct):
    """An error: `message` is LND's word for what happened, `detail` LNbits'."""

    message: str = ""
    detail: str = ""


def _context_of(certificate: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=Path(certificate))
    except (OSError, ssl.SSLError) as error:
        raise NodeFault(f"the certificate {certificate} cannot be used") from error
