"""Listening and serving.

Rules: the socket is bound before anything else starts, so that a taken port is a clear error and nothing was begun.
uvicorn serves without its signal handlers: the process has one owner, and it is not the web server. At the end every
live socket is told, then closed; a client that does not listen is cut off after a moment.
"""

import errno
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import msgspec
import uvicorn
from starlette.types import ASGIApp

from bus.errors import CannotListen
from web.frames import Limits
from web.hub import Hub
from web.live_socket import LiveSocket, OpenSocket
from web.options import WebOptions

logger = logging.getLogger(__name__)

BACKLOG = 512
GRACE_S = 5
"""How long requests that are under way may take when the server stops."""
GOODBYE_S = 2.0
REASONS = {
    errno.EADDRINUSE: "the port is taken; choose another with --port, or stop what listens there",
    errno.EACCES: "not permitted; ports below 1024 need privileges",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


def listen(options: WebOptions) -> socket.socket:
    """A bound socket. Blocking, for a moment: called before the loop is busy. Raises CannotListen."""
    if options.socket_path:
        return _listen_unix(Path(options.socket_path))
    where = f"{options.host}:{options.port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise CannotListen(where, "the host name is not known") from error
    # Named, since asyncio sends at once only what it knows to be TCP: a head would wait 40 ms for its body to follow.
    with _unless_it_fails(socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP), where) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    return listener


def url_of(listener: socket.socket, options: WebOptions) -> str:
    """The address under which a browser on this machine finds the server."""
    if options.socket_path:
        return f"unix:{options.socket_path}"
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def bound(listener: socket.socket, options: WebOptions) -> WebOptions:
    """The options with the port that the listener really has."""
    return options if options.socket_path else msgspec.structs.replace(options, port=listener.getsockname()[1])


@asynccontextmanager
async def serving(app: ASGIApp, hub: Hub, listener: socket.socket, limits: Limits | None = None) -> AsyncIterator[None]:
    """Serve while the block runs, from before its first line; stop in good order at its end."""
    bounds = limits or Limits()
    config = uvicorn.Config(
        app,
        http="h11",  # bounds the head of a request; httptools, which uvicorn prefers where it is there, has no bound
        ws=LiveSocket,
        ws_max_size=bounds.frame_bytes,
        ws_per_message_deflate=False,  # a deflate per client and frame costs 25 µs; it is done once per batch instead
        ws_ping_interval=None,  # a timer per connection; one timer looks after all of them instead
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Server(config)
    lifetime = anyio.CancelScope(shield=True)  # the server ends in its own order, not when its owner is cancelled

    async def run() -> None:
        with lifetime:
            await server.serve([listener])

    async with anyio.create_task_group() as group:
        group.start_soon(hub.run)
        group.start_soon(run)
        try:
            await server.is_up.wait()
            yield
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(GOODBYE_S):
                await hub.say_goodbye()
            server.should_exit = True
            with anyio.CancelScope(shield=True), anyio.move_on_after(GRACE_S + GOODBYE_S):
                await server.is_down.wait()
            lifetime.cancel()
            group.cancel_scope.cancel()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = anyio.Event()
        self.is_down = anyio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().serve(sockets)
        finally:
            for connection in tuple(self.server_state.connections):
                if isinstance(connection, OpenSocket):
                    connection.cut()  # it had its time to read the last words
            self.is_up.set()
            self.is_down.set()


def _listen_unix(path: Path) -> socket.socket:
    where = str(path)
    with _unless_it_fails(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), where) as listener:
        _remove_stale(path)
        listener.bind(where)
        os.chmod(path, 0o600)  # before it listens: nobody can have connected yet
        listener.listen(BACKLOG)
    return listener


@contextmanager
def _unless_it_fails(listener: socket.socket, where: str) -> Iterator[socket.socket]:
    """Close the socket when the block fails; an OSError becomes CannotListen."""
    with ExitStack() as undo:
        undo.callback(listener.close)
        try:
            yield listener
        except OSError as error:
            known = {} if listener.family == socket.AF_UNIX else REASONS
            raise CannotListen(where, known.get(error.errno or 0, error.strerror or "unknown")) from error
        listener.setblocking(False)
        undo.pop_all()


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on. Raises OSError when somebody does, or when it is something else."""
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise OSError(errno.EEXIST, "the path is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, "another process listens there")
