"""uvicorn's WebSocket, and what is left of it once a session has begun.

Rules: the upgrade goes through uvicorn and the application's routing like any other. Then the application takes the
socket over: `OpenSocket` becomes the transport's protocol, the ASGI call returns, and request, scope, queue and tasks
are gone. Frames that are made already are written to the transport as they are, between whole frames of the protocol's
own. Each side of a compressed connection begins each message anew, so that an idle one holds no window.

A peer that is silent is asked for a sign of life, and given up when it gives none. One that breaks the framing hears
why; one that does not read its last words is cut off after a moment.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from uvicorn import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import InvalidState
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from web.door import EXTENSION, Listener, LiveDoor
from web.framing import WINDOW_BITS, ReadyFrame

PING_S = 20.0
"""After so long a silence the peer is asked for a sign of life, and after as long again it is given up."""
LINGER_S = 10.0
"""How long a peer may take to read its last words and to say its own."""
GOODBYE_S = 1.0
"""How long it may take when the server stops."""
BROKEN_S = 0.5
"""How long a peer that broke the framing may take to hear so."""
GOING_AWAY = 1012
INVALID_DATA = 1007
NO_ANSWER = 1011
PROTOCOL_ERROR = 1002


class LiveSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket until the application has answered the upgrade: it takes the socket over, or refuses it."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        deflate = ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)
        self.conn = ServerProtocol(extensions=[deflate], max_size=config.ws_max_size, logger=self.conn.logger)
        self._server_state = server_state
        self._early: list[Frame] = []
        """Frames that came with the upgrade."""

    def data_received(self, data: bytes) -> None:
        """Take the upgrade; what comes after it waits for the answer."""
        self.conn.receive_data(data)
        self.handle_events()
        if self.handshake_initiated and not self.transport.is_closing():
            self.transport.pause_reading()

    def handle_events(self) -> None:
        for event in self.conn.events_received():
            if isinstance(event, Frame):
                self._early.append(event)
            elif isinstance(event, Request):
                self.handle_connect(event)

    async def run_asgi(self) -> None:
        self.scope["extensions"] = {**(self.scope.get("extensions") or {}), EXTENSION: {"socket": self}}
        await super().run_asgi()

    def hand_over(self, answer: Callable[[LiveDoor], Listener]) -> None:
        """Give the connection away. What this one does to its transport at the end of the call is for nobody."""
        transport, self.transport = self.transport, _Nowhere()
        self.handshake_complete = True  # also where the server has begun to stop: that is nothing for the log
        self.connections.discard(self)
        heir = OpenSocket(self.conn, transport, self._server_state, is_writable=self.writable.is_set())
        listener = answer(heir)
        if transport.is_closing():
            listener.lost()
            return
        transport.set_protocol(heir)
        transport.resume_reading()
        heir.begin(listener, self._early)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self.connections:  # what was given away is somebody else's loss
            super().connection_lost(exc)


class OpenSocket(asyncio.Protocol):
    """A connection that is open: the framing, and a door for its listener. A thousand of them idle at a time."""

    __slots__ = (
        "_conn",
        "_heard_s",
        "_is_asked",
        "_is_broken",
        "_is_choked",
        "_is_deflating",
        "_is_heard",
        "_is_held",
        "_is_text",
        "_listener",
        "_pieces",
        "_server_state",
        "_timer",
        "_transport",
        "is_writable",
    )

    def __init__(
        self, conn: ServerProtocol, transport: asyncio.Transport, server_state: ServerState, *, is_writable: bool
    ) -> None:
        self._conn = conn
        self._transport = transport
        self._server_state = server_state
        self._listener: Listener | None = None
        """None once it has been told that the peer has gone, or has said goodbye itself."""
        self._is_deflating = any(
            isinstance(extension, PerMessageDeflate) and extension.local_max_window_bits == WINDOW_BITS
            for extension in conn.extensions
        )
        self._pieces: list[bytes] = []
        """Of a message that is not complete."""
        self._is_text = False
        self._is_held = False
        """Whether the listener wants the peer's messages to wait."""
        self._is_choked = False
        """Whether they wait because the peer does not take the answers to its pings."""
        self._is_broken = False
        """Whether the peer has broken the framing: what else it sends is not looked at."""
        self._is_heard = True
        self._is_asked = False
        self._heard_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.is_writable = is_writable
        """Whether a frame may be written now."""

    def begin(self, listener: Listener, early: Sequence[Frame]) -> None:
        """Begin, with the frames that came with the upgrade."""
        self._server_state.connections.add(self)  # type: ignore[arg-type]  # uvicorn asks it to shut down, and nothing else
        self._listener = listener
        self._take(early)

    # What the transport says.

    def data_received(self, data: bytes) -> None:
        if self._is_broken:
            return
        self._is_heard = True
        self._conn.receive_data(data)
        self._take(self._conn.events_received())

    def pause_writing(self) -> None:
        self.is_writable = False

    def resume_writing(self) -> None:
        if self._listener is None:
            return
        self.is_writable = True
        if self._is_choked:
            self._is_choked = False
            self._read_on()
        self._listener.resumed()

    def eof_received(self) -> None:
        """The transport closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._server_state.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        self._tell_lost()

    def shutdown(self) -> None:
        """The server stops: the peer has been told, or is now, and its own close ends it; it has a moment for that."""
        if self._listener is not None:
            self._send_close(GOING_AWAY)
            self._tell_lost()
        self._end_in(GOODBYE_S)

    def cut(self) -> None:
        """Be gone, whatever the peer has not read."""
        self._transport.abort()

    # The door.

    @property
    def waiting_bytes(self) -> int:
        """What the peer has not taken yet."""
        return self._transport.get_write_buffer_size()

    def write(self, frame: ReadyFrame) -> None:
        """Write a frame in the form that the peer has agreed to. What comes after the end is dropped."""
        if self._listener is not None:
            self._transport.write(frame.deflated if self._is_deflating else frame.plain)

    def hold(self, *, is_held: bool) -> None:
        """Let the peer's messages wait, or no longer."""
        if is_held is not self._is_held and self._listener is not None:
            self._is_held = is_held
            if is_held:
                self._transport.pause_reading()
            else:
                self._read_on()

    def look(self, now_s: float) -> None:
        """Ask a silent peer for a sign of life; give up one that does not give it."""
        if self._is_heard:
            self._is_heard = self._is_asked = False
            self._heard_s = now_s
        elif now_s - self._heard_s >= PING_S and not self._is_held and self.is_writable:
            if self._is_asked:
                self._send_close(NO_ANSWER, "no sign of life")
                self._tell_lost()
                self._transport.abort()
                return
            self._is_asked = True
            self._heard_s = now_s
            self._conn.send_ping(b"")
            self._send()

    def farewell(self, frames: Sequence[ReadyFrame], code: int, reason: str) -> None:
        """Write frames and the close past the peer's backpressure: a few hundred bytes, then nothing more."""
        for frame in frames:
            self.write(frame)
        self._send_close(code, reason)
        self._tell_lost()
        if self._is_held or self._is_choked:
            self._is_held = self._is_choked = False
            self._read_on()
        self._end_in(LINGER_S)

    # The framing.

    def _take(self, events: Sequence[object]) -> None:
        for event in events:
            if isinstance(event, Frame) and not self._is_broken:
                self._take_frame(event)
        if self._conn.parser_exc is not None:
            self._break_off()
        else:
            self._send()
        if not self.is_writable and self._listener is not None and not self._is_choked:
            self._is_choked = True
            self._transport.pause_reading()

    def _take_frame(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.TEXT | Opcode.BINARY:
                self._is_text = frame.opcode is Opcode.TEXT
                self._take_piece(frame)
            case Opcode.CONT:
                self._take_piece(frame)
            case Opcode.CLOSE:
                self._send()
                self._tell_lost()
                self._transport.close()
            case _:
                pass  # a ping is answered by the protocol; a pong shows that the peer lives

    def _take_piece(self, frame: Frame) -> None:
        self._pieces.append(bytes(frame.data))
        if not frame.fin:
            return
        whole, self._pieces = b"".join(self._pieces), []
        text: str | None = None
        if self._is_text:
            try:
                text = whole.decode()
            except UnicodeDecodeError:
                self._send_close(INVALID_DATA)
                self._break_off()
                return
        if self._listener is not None:
            self._listener.received(text)

    def _send_close(self, code: int, reason: str = "") -> None:
        with suppress(InvalidState):  # the peer was quicker
            self._conn.send_close(code, reason)
        self._send()

    def _send(self) -> None:
        """Write what the protocol wants to say."""
        said = b"".join(self._conn.data_to_send())
        if said:
            self._transport.write(said)

    def _break_off(self) -> None:
        """Say why, and go on reading for a moment: closing over unread bytes would take the close frame back."""
        self._is_broken = True
        if self._conn.close_sent is None:
            self._send_close(PROTOCOL_ERROR)
        self._send()
        self._tell_lost()
        self._is_held = self._is_choked = False
        self._read_on()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._end_in(BROKEN_S)

    def _tell_lost(self) -> None:
        listener, self._listener = self._listener, None
        self.is_writable = False
        if listener is not None:
            listener.lost()

    def _read_on(self) -> None:
        if not (self._is_held or self._is_choked or self._transport.is_closing()):
            self._transport.resume_reading()

    def _end_in(self, wait_s: float) -> None:
        """Cut the peer off after a while, whatever it has not read."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._transport.abort)


class _Nowhere(asyncio.Transport):
    """Where a protocol writes that has given its connection away."""

    def close(self) -> None:
        """It is not its own any more."""

    def write(self, data: object) -> None:
        """Nobody reads it."""

    def is_closing(self) -> bool:
        return True
