"""What a live session needs of the socket under it, and such a socket over the application's own messages.

Rules: a door never waits and keeps next to nothing. Who writes asks first whether the peer takes what it is sent; the
listener is told when it does again, what came, and when the peer has gone. A server may offer its own sockets for this
(`EXTENSION`): it then keeps neither a task nor a request for a connection that is open. `PlainDoor` does the same with
two tasks, for every other server.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import anyio
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from web.frames import NORMAL
from web.framing import ReadyFrame

EXTENSION = "agora.live"
"""The scope's extension under which the server offers to hand its socket over."""
CLOSE_S = 1.0
"""How long the closing words to a client may take."""


class Listener(Protocol):
    """Who a door belongs to. Its methods return at once."""

    def received(self, text: str | None) -> None:
        """A message came; None is a binary one."""
        ...

    def resumed(self) -> None:
        """The peer takes what it is sent again."""
        ...

    def lost(self) -> None:
        """The peer has gone. Nothing comes after it."""
        ...


class LiveDoor(Protocol):
    """A socket that takes frames as they are."""

    @property
    def is_writable(self) -> bool:
        """Whether a frame may be written now: the peer takes what it is sent, and nobody has said goodbye."""
        ...

    @property
    def waiting_bytes(self) -> int:
        """What the peer has not taken yet."""
        ...

    def write(self, frame: ReadyFrame) -> None:
        """Write a frame; what comes after the end is dropped."""
        ...

    def hold(self, *, is_held: bool) -> None:
        """Let the peer's messages wait, or no longer. Some that were read already may come all the same."""
        ...

    def look(self, now_s: float) -> None:
        """Make sure that the peer is alive; asked now and then."""
        ...

    def farewell(self, frames: Sequence[ReadyFrame], code: int, reason: str) -> None:
        """The last words and the close, past the peer's backpressure."""
        ...


class Offer(Protocol):
    """A server's offer to let go of a socket that the application has accepted."""

    def hand_over(self, answer: Callable[[LiveDoor], Listener]) -> None:
        """Give the door away: from now on its listener is called, and the application's call may return."""
        ...


class PlainDoor:
    """A door over ASGI's messages: one frame is on its way at a time."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._frames: deque[ReadyFrame] = deque()
        self._bell = anyio.Event()
        self._may_read = anyio.Event()
        self._may_read.set()
        self._sending = anyio.CancelScope()
        self._close: tuple[Sequence[ReadyFrame], int, str] | None = None

    @property
    def is_writable(self) -> bool:
        return not self._frames and self._close is None

    @property
    def waiting_bytes(self) -> int:
        return sum(len(frame) for frame in self._frames)

    def write(self, frame: ReadyFrame) -> None:
        if self._close is None:
            self._frames.append(frame)
            self._bell.set()

    def hold(self, *, is_held: bool) -> None:
        if not is_held:
            self._may_read.set()
        elif self._may_read.is_set():
            self._may_read = anyio.Event()

    def look(self, now_s: float) -> None:
        """The server's own pings do that."""

    def farewell(self, frames: Sequence[ReadyFrame], code: int, reason: str) -> None:
        if self._close is None:
            self._close = (frames, code, reason)
            self._sending.cancel()  # a frame that nobody takes is given up
            self._bell.set()

    async def serve(self, listener: Listener) -> None:
        """Carry messages to and fro until either side ends it."""
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._read, listener)
                await self._write(listener)
                group.cancel_scope.cancel()
        except* (WebSocketDisconnect, anyio.BrokenResourceError):
            pass  # the client has gone; what it was owed is in the journal
        finally:
            listener.lost()

    async def _read(self, listener: Listener) -> None:
        while True:
            await self._may_read.wait()
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", NORMAL))
            text = message.get("text")
            listener.received(text if isinstance(text, str) else None)

    async def _write(self, listener: Listener) -> None:
        while self._close is None:
            await self._bell.wait()
            self._bell = anyio.Event()
            with anyio.CancelScope() as self._sending:
                while self._frames and self._close is None:
                    await self._websocket.send_text(self._frames[0].text)
                    self._frames.popleft()
            if self._close is None:
                listener.resumed()
        frames, code, reason = self._close
        with anyio.move_on_after(CLOSE_S):  # nobody waits for a client that does not read
            for frame in frames:
                await self._websocket.send_text(frame.text)
            if self._websocket.application_state is WebSocketState.CONNECTED:
                await self._websocket.close(code, reason)
