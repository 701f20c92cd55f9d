"""The live feed over plain HTTP: Server-Sent Events and JSON Lines, twins of the live socket.

Rules: a stream goes on after the position that it is asked to, from storage until it meets the ring, and then with each
tick; without one it begins at the head. The positions that it has scanned are told also when nothing matched, so that
`Last-Event-ID` or `after` resumes it with no gap and no duplicate; what cannot be sent any more is told as a gap. A
position of another epoch is refused. A stream holds a position and one page; a client that takes nothing for `stall_s`
is cut off. Streams count as live sockets.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import anyio
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from bus.errors import AgoraError
from bus.messages.base import Position
from bus.messages.system import JOURNAL, ReadEvents
from bus.refusals import InvalidField, StaleEpoch
from web.auth import Credential
from web.edge import Edge
from web.frames import LAST_MAX, Horizon
from web.gateway import ASK_TIMEOUT_S
from web.hub import Hub
from web.parameters import INTEGER_MAX, Parameters
from web.wire import Filter, encode, encode_event

BEAT_S = 5.0
PAGE_EVENTS = 256
"""Events per page from storage: some 100 KB."""
BATCH_EVENTS = 512
BATCH_BYTES = 256 * 1024
PARAMETERS = ("type", "source", "task", "agent", "run", "correlation", "after", "since", "last")
ENDS = ("before", "until", "limit")
"""What says where a page ends, and a stream has no end."""


class Gap(NamedTuple):
    """Positions that cannot be sent any more."""

    first: Position
    last: Position


class Scanned(NamedTuple):
    """Events that match, with their positions, and the last position that was looked at."""

    events: Sequence[tuple[Position, bytes]]
    last: Position


class Dialect(Protocol):
    """How a stream is written."""

    media_type: str

    def events(self, scanned: Scanned, epoch: int) -> bytes:
        """What was found, and how far it reaches."""
        ...

    def gap(self, gap: Gap, epoch: int) -> bytes:
        """That something is missing."""
        ...

    def beat(self, head: Position) -> bytes:
        """That the stream lives."""
        ...


class EventStream:
    """Server-Sent Events: the id of each is its epoch and position."""

    media_type = "text/event-stream"

    def events(self, scanned: Scanned, epoch: int) -> bytes:
        found = [b"id: %d-%d\ndata: %b\n\n" % (epoch, position, json) for position, json in scanned.events]
        if not scanned.events or scanned.events[-1][0] != scanned.last:
            # An event without data is not dispatched, but its id counts as the last that was seen.
            found.append(b"id: %d-%d\n\n" % (epoch, scanned.last))
        return b"".join(found)

    def gap(self, gap: Gap, epoch: int) -> bytes:
        return b"id: %d-%d\nevent: gap\ndata: %b\n\n" % (epoch, gap.last, _told(gap))

    def beat(self, head: Position) -> bytes:
        return b": head %d\n\n" % head


class JsonLines:
    """One JSON object a line: events have no `t`, notices have one."""

    media_type = "application/x-ndjson"

    def events(self, scanned: Scanned, epoch: int) -> bytes:
        found = [json + b"\n" for _, json in scanned.events]
        if not scanned.events or scanned.events[-1][0] != scanned.last:
            found.append(encode({"t": "scanned", "epoch": epoch, "last": scanned.last}) + b"\n")
        return b"".join(found)

    def gap(self, gap: Gap, epoch: int) -> bytes:
        return _told(gap) + b"\n"

    def beat(self, head: Position) -> bytes:
        return encode({"t": "beat", "head": head}) + b"\n"


DIALECTS: tuple[Dialect, ...] = (EventStream(), JsonLines())


def dialect_of(request: Request) -> Dialect | None:
    """The dialect that the Accept header asks for, if it asks for a stream."""
    accepted = {part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")}
    return next((dialect for dialect in DIALECTS if dialect.media_type in accepted), None)


async def stream_response(edge: Edge, request: Request, dialect: Dialect) -> "StreamResponse":
    """The answer to a request for a stream. Raises InvalidField, StaleEpoch, and what reading the journal raises."""
    for name in ENDS:
        if name in request.query_params:
            raise InvalidField(name, "belongs to a page; a live stream has no end, and takes after, since or last")
    wish = Parameters(request, PARAMETERS)
    wanted = Filter(
        types=wish.patterns("type"),
        source=wish.text("source"),
        task=wish.text("task"),
        agent=wish.text("agent"),
        run=wish.text("run"),
        correlation=wish.text("correlation"),
    )
    return StreamResponse(edge, dialect, wanted, await _start(edge, request, wish), edge.credential(request))


class StreamResponse:
    """A stream that lasts until the client goes, takes nothing, loses its token, or the server stops."""

    def __init__(self, edge: Edge, dialect: Dialect, wanted: Filter, start: Position, credential: Credential) -> None:
        self._edge = edge
        self._hub = edge.hub
        self._dialect = dialect
        self._wanted = wanted
        self._next = start
        self._credential = credential
        self._bell = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve it."""
        with self._hub.client(self._ring_bell):
            headers = [
                (b"content-type", self._dialect.media_type.encode()),
                (b"cache-control", b"no-store"),
                (b"x-accel-buffering", b"no"),
            ]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async with anyio.create_task_group() as group:
                group.start_soon(_until_gone, receive, group.cancel_scope)
                await self._write(send)
                group.cancel_scope.cancel()

    def _ring_bell(self) -> None:
        self._bell.set()

    async def _write(self, send: Send) -> None:
        content = self._dialect.beat(self._hub.horizon.head)
        while True:
            with anyio.move_on_after(self._edge.options.stall_s) as patience:
                await send({"type": "http.response.body", "body": content, "more_body": True})
            if patience.cancelled_caught:
                return  # unfinished: the server closes the connection, and the client knows that it was cut off
            found = await self._wait()
            if found is None:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            content = found

    async def _wait(self) -> bytes | None:
        """What is to be sent next; None at the end."""
        while not self._hub.is_closing and self._edge.keyring.is_good(self._credential):
            self._bell = anyio.Event()
            horizon = self._hub.horizon
            if self._next <= horizon.head:
                try:
                    return await self._read(horizon)
                except AgoraError:
                    return None  # the journal cannot be read now: the client comes again and goes on
            with anyio.move_on_after(BEAT_S) as silence:
                await self._bell.wait()
            if silence.cancelled_caught:
                return self._dialect.beat(horizon.head)
        return None

    async def _read(self, horizon: Horizon) -> bytes:
        if self._next < horizon.oldest:
            gap = Gap(self._next, Position(horizon.oldest - 1))
            self._next = horizon.oldest
            return self._dialect.gap(gap, self._hub.epoch)
        if self._next < horizon.ring_first:
            scanned = await self._read_storage()
        else:
            last = Position(min(horizon.head, self._next + BATCH_EVENTS - 1))
            scanned = Scanned(*self._hub.ring.select(self._wanted, self._next, last, BATCH_BYTES))
        self._next = Position(scanned.last + 1)
        return self._dialect.events(scanned, self._hub.epoch)

    async def _read_storage(self) -> Scanned:
        # Up to the horizon: what a client is told, it can come back with.
        request = self._wanted.from_journal(self._next, self._hub.horizon.head, PAGE_EVENTS)
        page = (await self._edge.gateway.exchange(JOURNAL, request, timeout_s=ASK_TIMEOUT_S)).message
        assert page.scanned >= self._next, "what is committed can be read"
        return Scanned([(event.position, encode_event(event, self._hub.epoch)) for event in page.events], page.scanned)


async def _start(edge: Edge, request: Request, wish: Parameters) -> Position:
    """The first position to scan."""
    head = edge.hub.horizon.head
    seen = request.headers.get("last-event-id", "")
    if seen:
        return _after_id(seen, edge.hub, head)
    if sum(wish.has(name) for name in ("after", "since", "last")) > 1:
        raise InvalidField("after", "only one of after, since and last says where to begin")
    if wish.has("after"):
        return Position(wish.integer("after", 0, 0, head) + 1)
    if wish.has("since"):
        query = ReadEvents(since_us=wish.time("since"), limit=1, is_newest_first=False)
        page = (await edge.ask(JOURNAL, query)).message
        return page.events[0].position if page.events else Position(page.head + 1)
    last = wish.integer("last", 0, 0, LAST_MAX)
    return Position(max(head - last + 1, edge.hub.horizon.oldest, 1))


def _after_id(seen: str, hub: Hub, head: Position) -> Position:
    epoch, _, position = seen.partition("-")
    if not all(part.isascii() and part.isdigit() and len(part) <= 16 for part in (epoch, position)):
        raise InvalidField("Last-Event-ID", "is not the id of an event")
    if int(epoch) != hub.epoch:
        raise StaleEpoch(int(epoch), hub.epoch)
    if int(position) > min(head, INTEGER_MAX):
        raise InvalidField("Last-Event-ID", f"is past the head {head}")
    return Position(int(position) + 1)


async def _until_gone(receive: Receive, stream: anyio.CancelScope) -> None:
    """End the stream when the client goes: nobody else would notice while nothing is sent."""
    while (await receive())["type"] != "http.disconnect":
        pass
    stream.cancel()


def _told(gap: Gap) -> bytes:
    return encode({"t": "gap", "from": gap.first, "to": gap.last, "reason": "pruned"})
