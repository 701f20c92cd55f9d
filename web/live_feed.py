"""Live events for Python programs: a socket that is opened again, and a stream without gap or duplicate.

Rules: every matching event comes once and in order. A lost socket is opened again after a growing wait, and the stream
goes on after the last position that was scanned. When the server says, or the positions show, that events are missing,
`FeedGap` is raised: nobody goes on as if nothing had happened.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from bus.errors import AgoraError
from bus.messages.base import Position
from web.frames import FORBIDDEN, PROTOCOL, STALE, SUBPROTOCOL, UNAUTHENTICATED
from web.wire import WireEvent, encode

WAIT_MAX_S = 5.0
WAIT_MIN_S = 0.1
FRAME_BYTES_MAX = 16 * 1024 * 1024
"""The whole state is one frame."""
SILENCE_S = 15.0
"""The server beats every five seconds: three missed beats are a lost connection."""
FATAL = frozenset((PROTOCOL, UNAUTHENTICATED, FORBIDDEN, STALE))
"""Close codes after which another try cannot help."""


class RequestFailed(AgoraError):
    """The server refused a request; `code` in `problem` is the stable name."""

    code = "request_failed"

    def __init__(self, status: int, problem: str, detail: str, path: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.problem = problem
        self.detail = detail
        self.path = path


class FeedGap(AgoraError):
    """Events between two positions are missing from a feed, both ends included."""

    code = "feed_gap"

    def __init__(self, first: int, last: int, reason: str) -> None:
        super().__init__(f"events {first} to {last} are missing: {reason}")
        self.first = first
        self.last = last
        self.reason = reason


class _ErrorBody(msgspec.Struct, frozen=True):
    code: str
    message: str


class _Frame(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """Any frame of the server; fields that a kind lacks keep their defaults."""

    t: str = ""
    id: int | str | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _ErrorBody | None = None
    first: Position = Position(0)
    last: Position = Position(0)
    events: tuple[WireEvent, ...] = ()
    from_: int = 0
    to: int = 0
    reason: str = ""


class _Welcome(msgspec.Struct, frozen=True):
    epoch: int
    head: Position


class LiveFeed:
    """Live events. Iterate over it; `position` is the last that was scanned."""

    def __init__(
        self,
        url: str,
        *,
        token: str,
        topics: tuple[str, ...],
        after: Position | None,
        last: int | None,
        wanted: Mapping[str, str],
        wait_min_s: float = WAIT_MIN_S,
        wait_max_s: float = WAIT_MAX_S,
    ) -> None:
        """`wait_min_s` is how long it waits after a break; it doubles up to `wait_max_s` while nothing comes of it."""
        self._wait_min_s = wait_min_s
        self._wait_max_s = wait_max_s
        self._url = "ws" + url.removeprefix("http") + "/ws"
        self._token = token
        self._topics = topics
        self._last = last
        self._wanted = wanted
        self.position = after
        """None until the first batch, or the start of a feed from now on, is known."""
        self.epoch: int | None = None
        self.connections = 0
        """How often the socket was opened."""

    async def __aiter__(self) -> AsyncGenerator[WireEvent, None]:
        wait_s = self._wait_min_s
        while True:
            before = self.position
            try:
                async with self._opened() as socket:
                    async for events in self._batches(socket):
                        for event in events:
                            yield event
            except InvalidStatus as error:
                status = error.response.status_code
                if status not in (429, 503):
                    raise RequestFailed(status, "upgrade_refused", "the socket was refused") from error
            except ConnectionClosed as error:
                if error.rcvd is not None and error.rcvd.code in FATAL:
                    raise RequestFailed(0, str(error.rcvd.code), error.rcvd.reason) from error
            except (OSError, InvalidHandshake, TimeoutError):
                pass  # not there now: tried again below
            wait_s = self._wait_min_s if self.position != before else min(wait_s * 2, self._wait_max_s)
            await anyio.sleep(wait_s)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[ClientConnection]:
        async with connect(
            self._url,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            max_size=FRAME_BYTES_MAX,
            open_timeout=10.0,
            close_timeout=2.0,
            compression=None,
        ) as socket:
            self.connections += 1
            yield socket

    async def _batches(self, socket: ClientConnection) -> AsyncIterator[tuple[WireEvent, ...]]:
        await self._begin(socket)
        while True:
            with anyio.fail_after(SILENCE_S):
                text = await socket.recv()
            frame = msgspec.json.decode(text, type=_Frame)
            if frame.t == "batch":
                yield self._scanned(frame)
            elif frame.t == "gap":
                self.position = Position(frame.to)
                raise FeedGap(frame.from_, frame.to, frame.reason)
            elif frame.error is not None:
                raise RequestFailed(0, frame.error.code, frame.error.message)

    async def _begin(self, socket: ClientConnection) -> None:
        hello: dict[str, object] = {"token": self._token}
        if self.epoch is not None and self.position is not None:
            hello["resume"] = {"epoch": self.epoch, "position": self.position}
        welcome = msgspec.json.decode(await _asked(socket, 1, "hello", hello), type=_Welcome)
        self.epoch = welcome.epoch
        start: str | dict[str, int] = "head"
        if self.position is not None:
            start = {"position": self.position, "epoch": welcome.epoch}
        elif self._last is not None:
            start = {"last": self._last}
        wish = {"sub": "feed", "topics": self._topics, "filter": self._wanted, "from": start}
        answer = msgspec.json.decode(await _asked(socket, 2, "subscribe", wish), type=dict[str, int | str])
        if self.position is None:
            following = answer["next"]
            assert isinstance(following, int)
            self.position = Position(following - 1)

    def _scanned(self, frame: _Frame) -> tuple[WireEvent, ...]:
        assert self.position is not None
        if frame.first != self.position + 1:
            raise FeedGap(self.position + 1, frame.first - 1, "the positions do not follow each other")
        self.position = frame.last
        return frame.events


async def _asked(socket: ClientConnection, id_: int, method: str, params: Mapping[str, object]) -> msgspec.Raw:
    """The result of a request; what else comes before it is not awaited yet and cannot come."""
    await socket.send(encode({"id": id_, "method": method, "params": params}).decode())
    while True:
        with anyio.fail_after(SILENCE_S):
            frame = msgspec.json.decode(await socket.recv(), type=_Frame)
        if frame.error is not None and frame.id == id_:
            raise RequestFailed(0, frame.error.code, frame.error.message)
        if frame.id == id_:
            return frame.result
