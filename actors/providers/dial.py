"""Make a connection to a provider: the look-up of its name, TCP, the greeting of TLS.

Rules: all of it happens within one limit. A name with several addresses is tried at all of them, the later ones a
moment after the earlier (RFC 8305). A name is looked up once at a time, however many wait for it: a look-up takes a
thread and cannot be called back. Certificates are checked against those that the machine trusts.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import anyio.to_thread
from aiohappyeyeballs import start_connection

from actors.providers.connection import Connection
from actors.providers.dialect import ProviderFault, shorten
from actors.rules.cascade import ErrorClass

NEXT_ADDRESS_S = 0.25
"""After so long the next address is tried beside the one before."""
CLOSING = "no connection: all are being closed"
LOOKUPS_MAX = 256
"""Names that are remembered for as long as they are looked up."""

Found = tuple[
    socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
]
"""As `socket.getaddrinfo` says it."""


class Place(NamedTuple):
    """Where a server listens."""

    host: str
    port: int
    is_encrypted: bool


Lookup = Callable[[Place], Sequence[Found]]


def look_up(place: Place, flags: int = 0) -> Sequence[Found]:
    """The addresses of a host. Raises OSError."""
    return socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM, flags=flags)


def trust_of_this_machine() -> ssl.SSLContext:
    """Those certificates count that the machine trusts."""
    trust = ssl.create_default_context()
    trust.set_alpn_protocols(["http/1.1"])
    return trust


class Dialler:
    """Connects. Made within a running loop; whatever it has opened and nobody has closed is one of `all_open`."""

    def __init__(
        self,
        all_open: set[Connection],
        *,
        lookup: Lookup = look_up,
        trust: Callable[[], ssl.SSLContext] = trust_of_this_machine,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._protocol = partial(Connection, all_open)
        self._lookups: dict[Place, asyncio.Future[Sequence[Found] | Exception]] = {}
        self._lookup = lookup
        self._make_trust = trust
        self._trust: ssl.SSLContext | None = None
        """Whose certificates count; made when it is first needed, since that takes tens of milliseconds."""
        self._making: set[asyncio.Timeout] = set()
        """The limits of the connections that are being made."""
        self._all_made: asyncio.Future[None] | None = None
        """Done once none is being made; there once no more are to be."""

    async def connect(self, place: Place, limit_s: float) -> Connection:
        """A new connection within `limit_s`. Raises ProviderFault."""
        if self._all_made is not None:
            raise ProviderFault(ErrorClass.CONNECT, CLOSING)
        try:
            async with asyncio.timeout(limit_s) as scope:
                self._making.add(scope)
                try:
                    return await self._connect(place)
                finally:
                    self._making.discard(scope)
                    self._note_made()
        except TimeoutError as error:
            if self._all_made is not None:
                raise ProviderFault(ErrorClass.CONNECT, CLOSING) from error
            raise ProviderFault(ErrorClass.CONNECT, f"no connection within {limit_s:g} s") from error
        except ConnectionRefusedError as error:
            raise ProviderFault(ErrorClass.REFUSED, "the connection was refused") from error
        except (OSError, UnicodeError) as error:  # a name that no host can have is a UnicodeError
            raise ProviderFault(ErrorClass.CONNECT, shorten(f"no connection: {error}")) from error

    async def close(self) -> None:
        """Make no more connections, and none of those that are being made: their sockets are closed."""
        if self._all_made is None:
            self._all_made = self._loop.create_future()
        for scope in self._making:
            scope.reschedule(self._loop.time())
        self._note_made()
        await self._all_made

    def _note_made(self) -> None:
        if self._all_made is not None and not self._making and not self._all_made.done():
            self._all_made.set_result(None)

    async def _connect(self, place: Place) -> Connection:
        trust = self._trust
        if place.is_encrypted and trust is None:
            trust = self._trust = await anyio.to_thread.run_sync(self._make_trust)
        opened = await start_connection(await self._addresses(place), happy_eyeballs_delay=NEXT_ADDRESS_S)
        if place.is_encrypted:
            made = self._loop.create_connection(self._protocol, sock=opened, ssl=trust, server_hostname=place.host)
        else:
            made = self._loop.create_connection(self._protocol, sock=opened)
        return (await made)[1]

    async def _addresses(self, place: Place) -> Sequence[Found]:
        try:
            return look_up(place, socket.AI_NUMERICHOST)  # which asks nobody
        except socket.gaierror:
            pass
        lookup = self._lookups.get(place)
        if lookup is None or lookup.done():
            if len(self._lookups) >= LOOKUPS_MAX:
                self._lookups = {one: under_way for one, under_way in self._lookups.items() if not under_way.done()}
            lookup = self._lookups[place] = self._loop.run_in_executor(None, self._answer, place)
        found = await asyncio.shield(lookup)
        if isinstance(found, Exception):
            raise found
        return found

    def _answer(self, place: Place) -> Sequence[Found] | Exception:
        """What a look-up has found or why it has not: if nobody waits for it any more, that is no stray error."""
        try:
            return self._lookup(place)
        except (OSError, UnicodeError) as error:
            return error
