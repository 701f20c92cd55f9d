"""The live socket: one reader and one writer per client around a pure session.

Rules: the writer alone sends. It sends answers first, then what is due, from the ring as frames that all clients share,
or from storage for who is older than the ring. A client that takes nothing for `stall_s` is told and closed; whatever
it does costs nobody else anything. What waits to be sent is bounded: the reader stops reading when it is full.

Who is at the head and takes what it is sent is written to straight from the tick, without waking its writer: where the
server offers a door for ready frames (`EXTENSION`), and through the application's own messages elsewhere.
"""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

import anyio
from anyio.abc import TaskGroup
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from bus.errors import AgoraError
from bus.messages.base import Position
from bus.messages.system import JOURNAL, EventPage, ReadEvents
from bus.refusals import NotAuthenticated, Overloaded
from web.auth import Principal
from web.edge import ASK_TIMEOUT_S, Edge, with_position
from web.frames import (
    NORMAL,
    SUBPROTOCOL,
    Ask,
    Close,
    Due,
    Identify,
    Limits,
    Locate,
    Output,
    ReadRing,
    ReadState,
    ReadStorage,
    Send,
    ShowState,
)
from web.framing import ReadyFrame
from web.hub import batch_frame
from web.problems import problem_response
from web.protocol import Session
from web.ring import Batch
from web.wire import encode, encode_event, encode_page

EXTENSION = "agora.live"
"""The scope's extension under which the server offers a `LiveDoor`."""
OUTBOX_MAX = 64
"""Answers that wait for a client that does not read; then its own requests wait."""
CLOSE_S = 1.0
"""How long the closing words to a client may take."""
STORAGE_EVENTS = 256
"""Events per page from storage: some 100 KB."""
TICK_FRAMES = 4
"""Frames that a tick writes to one client; who needs more is served by its writer, in turn with others."""


class LiveDoor(Protocol):
    """A socket that takes frames as they are."""

    @property
    def is_writable(self) -> bool:
        """Whether a frame may be written now."""
        ...

    def write(self, frame: ReadyFrame) -> None:
        """Write a frame; what comes after the end is dropped."""
        ...

    async def drain(self) -> None:
        """Return once a frame may be written. Raises BrokenResourceError when the peer has gone."""
        ...

    def farewell(self, texts: Sequence[str], code: int, reason: str) -> None:
        """The last words and the close, past the peer's backpressure."""
        ...


class Feed:
    """The endpoint."""

    def __init__(self, edge: Edge, limits: Limits | None = None) -> None:
        self._edge = edge
        self.limits = limits or Limits(stall_s=edge.options.stall_s)
        self.stalled = 0
        """Clients that were closed because they took nothing."""

    async def __call__(self, websocket: WebSocket) -> None:
        """Serve one client until it goes or is closed."""
        client = Client(websocket, self._edge, self.limits)
        try:
            if not self._edge.hub.is_ready:
                raise Overloaded("the start", 1.0)
            with self._edge.hub.client(client.ring_bell):
                await client.serve()
        except Overloaded as error:
            await _deny(websocket, problem_response(error))
        finally:
            self.stalled += client.is_stalled


class Client:
    """One live socket."""

    def __init__(self, websocket: WebSocket, edge: Edge, limits: Limits) -> None:
        self._websocket = websocket
        self._edge = edge
        self._hub = edge.hub
        self._limits = limits
        self._session = Session(edge.hub.epoch, limits, edge.clock.monotonic_s())
        self._outbox: deque[Send | Close] = deque()
        self._bell = anyio.Event()
        self._room = anyio.Event()
        self._beat_at_s = edge.clock.monotonic_s() + limits.beat_s
        self._door: LiveDoor | None = websocket.scope.get("extensions", {}).get(EXTENSION, {}).get("socket")
        self._is_idle = False
        """Whether the writer waits for something to send."""
        self.is_stalled = False
        self._is_leaving = False

    def ring_bell(self) -> None:
        """There may be something to send."""
        if not (self._is_idle and self._is_up_to_date()):
            self._bell.set()

    def _is_up_to_date(self) -> bool:
        """Write what is due straight to the socket. False when the writer has to go on."""
        door, horizon = self._door, self._hub.horizon
        if door is None or self._outbox or self._hub.is_closing:
            return False
        for _ in range(TICK_FRAMES):
            if not door.is_writable:
                return False
            due = self._session.due(horizon)
            if due is None:
                return True
            found = self._at_once(due)
            if found is None:
                return False
            door.write(found)
        return False

    async def serve(self) -> None:
        """Accept, then read and write until either side ends it."""
        offered = self._websocket.scope.get("subprotocols", [])
        try:
            await self._websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
            async with anyio.create_task_group() as group:
                group.start_soon(self._read, group)
                await self._write()
                group.cancel_scope.cancel()
        except* (WebSocketDisconnect, anyio.BrokenResourceError):
            pass  # the client has gone; what it was owed is in the journal

    async def _read(self, group: TaskGroup) -> None:
        with anyio.move_on_after(self._limits.hello_s):
            while self._session.is_opening:
                await self._receive(group)
        self._take(self._session.hello_is_late(), group)
        while not self._session.is_closed:
            while len(self._outbox) >= OUTBOX_MAX:
                self._room = anyio.Event()
                await self._room.wait()
            await self._receive(group)

    async def _receive(self, group: TaskGroup) -> None:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", NORMAL))
        text = message.get("text")
        if isinstance(text, str):
            self._take(self._session.receive(text, self._edge.clock.monotonic_s(), self._hub.horizon), group)
        else:
            self._take(self._session.received_binary(), group)

    def _take(self, outputs: Sequence[Output], group: TaskGroup) -> None:
        for output in outputs:
            match output:
                case Send() | Close():
                    self._outbox.append(output)
                case Identify():
                    self._take(self._session.identified(self._identify(output.token), self._hub.horizon), group)
                case Ask():
                    group.start_soon(self._ask, output)
                case Locate():
                    group.start_soon(self._locate, output)
                case ShowState():
                    self._outbox.append(self._session.answered(output.id, self._hub.state()))
        self._bell.set()

    def _identify(self, token: str) -> Principal | None:
        if token:
            return self._edge.keyring.principal_of_token(token)
        try:
            return self._edge.principal(self._websocket)
        except NotAuthenticated:
            return None

    async def _ask(self, ask: Ask) -> None:
        try:
            answer = await self._edge.ask(ask.to, ask.request)
        except AgoraError as error:
            self._outbox.append(self._session.refused(ask.id, error))
        else:
            if isinstance(answer.message, EventPage):
                result = encode_page(answer.message, self._hub.epoch, None)
            else:
                result = with_position(answer)
            self._outbox.append(self._session.answered(ask.id, result))
        self._bell.set()

    async def _locate(self, wish: Locate) -> None:
        request = ReadEvents(since_us=wish.time_us, limit=1, is_newest_first=False)
        try:
            page = (await self._edge.ask(JOURNAL, request)).message
        except AgoraError as error:
            self._outbox.append(self._session.refused(wish.id, error))
        else:
            first = page.events[0].position if page.events else Position(page.head + 1)
            answer = self._session.located(wish.id, first, self._hub.horizon)
            self._outbox.extend((answer,) if answer is not None else ())
        self._bell.set()

    async def _write(self) -> None:
        while True:
            self._bell = anyio.Event()
            if self._hub.is_closing and not self._is_leaving:
                self._is_leaving = True
                self._outbox.extend(_spoken(self._session.restart("the server is stopping")))
            if self._outbox:
                output = self._outbox.popleft()
                self._room.set()
                if isinstance(output, Close):
                    await self._close(output)
                    return
                found: ReadyFrame | None = ReadyFrame(output.text.encode())
            else:
                due = self._session.due(self._hub.horizon)
                if due is None:
                    await self._idle()
                    continue
                found = await self._frame(due)
            if found is not None and not await self._send(found):
                return

    async def _idle(self) -> None:
        wait_s = self._beat_at_s - self._edge.clock.monotonic_s()
        if wait_s <= 0:
            self._beat_at_s = self._edge.clock.monotonic_s() + self._limits.beat_s
            if self._session.principal is not None:
                beat = {"t": "beat", "head": self._hub.horizon.head, "now_us": self._hub.now_us}
                self._outbox.append(Send(encode(beat).decode()))
            return
        self._is_idle = True
        with anyio.move_on_after(wait_s):
            await self._bell.wait()
        self._is_idle = False

    def _at_once(self, due: Due) -> ReadyFrame | None:
        """The frame for what is due; None when it has to be read from storage."""
        match due:
            case Send():
                return ReadyFrame(due.text.encode())
            case ReadRing():
                frame, last = self._hub.batch_frame(due, self._limits.batch_bytes)
            case ReadState():
                frame, last = self._hub.state_frame(due)
            case ReadStorage():
                return None
        self._session.scanned(due.subscription, last)
        return frame

    async def _frame(self, due: Due) -> ReadyFrame | None:
        """The frame for what is due; None when there is none after all."""
        if not isinstance(due, ReadStorage):
            return self._at_once(due)
        try:
            batch = await self._read_storage(due)
        except AgoraError:
            self._outbox.extend(_spoken(self._session.restart("the journal cannot be read now")))
            return None
        if not self._session.is_current(due.subscription):
            return None
        self._session.scanned(due.subscription, batch.last)
        return batch_frame(due.subscription.name, batch)

    async def _read_storage(self, due: ReadStorage) -> Batch:
        wanted = due.wanted
        request = ReadEvents(
            types=wanted.topics or wanted.types,
            source=wanted.source,
            task=wanted.task,
            agent=wanted.agent,
            after=Position(due.first - 1),
            before=Position(self._hub.horizon.head + 1),  # what a client is told, it can come back with
            limit=STORAGE_EVENTS,
            is_newest_first=False,
        )
        answer = await self._edge.gateway.exchange(JOURNAL, request, timeout_s=ASK_TIMEOUT_S)
        page = answer.message
        found: list[bytes] = []
        size = 0
        for event in page.events:
            if not wanted.matches(event.type, event.source, event.task, event.agent):
                continue
            found.append(encode_event(event, self._hub.epoch))
            size += len(found[-1])
            if size >= self._limits.batch_bytes:
                return Batch(due.first, event.position, _list(found), len(found))
        assert page.scanned >= due.first, "what is committed can be read"
        return Batch(due.first, page.scanned, _list(found), len(found))

    async def _send(self, frame: ReadyFrame) -> bool:
        """Send, unless the client takes nothing for too long: then say so and end it."""
        door = self._door
        with anyio.move_on_after(self._limits.stall_s):
            if door is None:
                await self._websocket.send_text(frame.text)
            else:
                await door.drain()
                door.write(frame)
            return True
        self.is_stalled = True
        *words, close = _spoken(self._session.stall())
        assert isinstance(close, Close)
        texts = [word.text for word in words if isinstance(word, Send)]
        if door is not None:
            door.farewell(texts, close.code, close.reason)
        else:
            await self._close(close)
        return False

    async def _close(self, close: Close) -> None:
        """Close, within bounds: nobody waits for a client that does not read."""
        with anyio.move_on_after(CLOSE_S):
            if self._websocket.application_state is WebSocketState.CONNECTED:
                await self._websocket.close(close.code, close.reason)


def _spoken(outputs: Sequence[Output]) -> list[Send | Close]:
    return [output for output in outputs if isinstance(output, Send | Close)]


def _list(events: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(events) + b"]"


async def _deny(websocket: WebSocket, response: Response) -> None:
    """Refuse the upgrade in the words of HTTP."""
    await websocket.send_denial_response(response)
