"""A small world behind the web: scripted actors, a real overview, a real ring, and a caller that speaks ASGI."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio
import msgspec
from starlette.types import ASGIApp, Message, Scope

from actors.rules.overview import Overview
from bus.address import Address
from bus.clock import Clock, SystemClock, VirtualClock
from bus.codec import Catalogue
from bus.envelope import Answer, Recorded, StoredEvent
from bus.errors import AgoraError, NoSuchActor
from bus.messages.base import MAIN_RUN, Event, Position, R, Request
from bus.messages.base import Message as ActorMessage
from bus.messages.catalogue import EVENTS
from bus.messages.monitor import MonitorView, ReadMonitor
from bus.messages.quotas import QuotaGranted, ReserveQuota
from bus.messages.system import EventPage, JournalView, ReadEvents, ReadJournal, SystemInfo
from bus.topics import matches_any
from tests.support.contract import Checked
from web.app import build_app, endpoints
from web.auth import SCOPES, Keyring
from web.edge import Edge
from web.feed import Feed
from web.frames import Limits
from web.hub import Hub
from web.options import WebOptions
from web.ring import Ring
from web.server import listen, serving, url_of

TOKEN = "agora_a-token-that-only-tests-know-0123456789"
READER = "agora_a-token-that-may-only-read-0123456789"
START_US = 1_750_000_000_000_000
CATALOGUE = Catalogue(EVENTS)

Reply = ActorMessage | AgoraError | Callable[[ActorMessage], ActorMessage]


def stored(position: int, event: Event, *, source: str = "coordinator", correlation: str = "") -> StoredEvent:
    """An event as the journal would hand it out."""
    data, sealed = CATALOGUE.encode(event)
    attributes = CATALOGUE.attributes(event)
    return StoredEvent(
        position=Position(position),
        time_us=START_US + position,
        type=event.wire_name,
        version=event.version,
        source=source,
        subject=attributes.subject,
        task=attributes.task,
        agent=attributes.agent,
        run=attributes.run,
        correlation=correlation,
        cause=Position(max(0, position - 1)),
        cursor=Position(0),
        data=data,
        sealed=sealed,
        hash=b"\0" * 32,
    )


def recorded(position: int, event: Event) -> Recorded:
    """An event as actors see it."""
    return Recorded(event, Position(position), START_US + position, Address("test"), Position(0), "", Position(0))


class ScriptedGateway:
    """Actors that answer from a script; the journal answers from its events."""

    def __init__(self) -> None:
        self.events: list[StoredEvent] = []
        self.replies: dict[type[ActorMessage], Reply] = {}
        self.asked: list[tuple[Address, ActorMessage]] = []
        self.position = Position(0)
        self.watermark_age_ms = 0.0

    async def exchange(self, to: Address, request: Request[R], *, timeout_s: float) -> Answer[R]:
        self.asked.append((to, request))
        await anyio.lowlevel.checkpoint()
        reply = self._reply(to, request)
        if isinstance(reply, AgoraError):
            raise reply
        return Answer(reply, self.position, self.position)  # type: ignore[arg-type]  # the script keeps the contract

    def tell(self, to: Address, message: ActorMessage) -> None:
        self.asked.append((to, message))

    def _reply(self, to: Address, request: ActorMessage) -> ActorMessage | AgoraError:
        scripted = self.replies.get(type(request))
        if scripted is not None:
            return scripted(request) if callable(scripted) and not isinstance(scripted, AgoraError) else scripted
        match request:
            case ReadEvents():
                return self._page(request)
            case ReadJournal():
                return self._journal()
            case ReserveQuota():
                return QuotaGranted(0)
            case ReadMonitor():
                return MonitorView(False, "", "", ())
            case _:
                return NoSuchActor(to)

    def _page(self, query: ReadEvents) -> EventPage:
        head = Position(len(self.events))
        last = min(head, query.before - 1) if query.before else head
        found = [
            event
            for event in self.events[query.after : last]
            if (not query.types or matches_any(query.types, event.type))
            and (not query.task or event.task == query.task)
            and (not query.agent or event.agent == query.agent)
            and (not query.source or event.source == query.source)
            and query.run in ("", event.run or MAIN_RUN)
            and query.correlation in ("", event.correlation)
            and event.time_us >= query.since_us
        ]
        if query.is_newest_first:
            found.reverse()
        page = tuple(found[: query.limit])
        end = Position(query.after + 1) if query.is_newest_first else Position(last)
        scanned = page[-1].position if len(found) > query.limit else end
        return EventPage(page, scanned, head)

    def _journal(self) -> JournalView:
        head = Position(len(self.events))
        return JournalView(
            epoch=1,
            head=head,
            watermark=head,
            oldest=Position(1),
            buffered=0,
            size_bytes=4096,
            commits=int(head),
            commit_p99_ms=1.0,
            watermark_age_ms=self.watermark_age_ms,
            step=0,
        )


class World:
    """Everything behind the web, without a disk."""

    def __init__(
        self,
        options: WebOptions | None = None,
        *,
        limits: Limits | None = None,
        clock: Clock | None = None,
        complaints: Sequence[str] = (),
    ) -> None:
        self.options = options or WebOptions(port=0)
        self.limits = limits or Limits(stall_s=self.options.stall_s)
        self.clock = clock or SystemClock()
        self.gateway = ScriptedGateway()
        self.overview = Overview(providers=("extractive",))
        ring = Ring(1, MAIN_RUN, events_max=self.options.events_cached, bytes_max=self.options.bytes_cached)
        self.hub = Hub(epoch=1, ring=ring, clock=self.clock, clients_max=self.options.sockets_max)
        self.hub.attach(self.overview)
        self.keyring = Keyring(self.clock)
        self.keyring.add_token(TOKEN, "operator", SCOPES)
        self.keyring.add_token(READER, "reader", frozenset(("read",)))
        self.complaints = complaints
        self.edge = Edge(
            gateway=self.gateway,
            hub=self.hub,
            keyring=self.keyring,
            options=self.options,
            clock=self.clock,
            complaints=lambda: self.complaints,
        )
        app = build_app(self.edge, limits=self.limits)
        self.app = Checked(app, endpoints(self.edge, Feed(self.edge)))

    def record(self, *events: Event, correlation: str = "") -> None:
        """Commit events."""
        batch: list[StoredEvent] = []
        for event in events:
            position = len(self.gateway.events) + 1
            batch.append(stored(position, event, correlation=correlation))
            self.gateway.events.append(batch[-1])
            self.overview.apply(recorded(position, event))
        self.hub.commit(batch)

    def chat(self, count: int) -> None:
        """Commit events of no consequence."""
        self.record(*(SystemInfo(f"event {number}") for number in range(count)))


class Response(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, object]:
        return msgspec.json.decode(self.body, type=dict[str, object])


async def call(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    chunks: Sequence[bytes] = (),
    client: str | None = "127.0.0.1",
    host: str = "127.0.0.1:8080",
) -> Response:
    """One HTTP request, straight into the application. `chunks` come without a declared length."""
    name, _, query = path.partition("?")
    sent = {"host": host, **(headers or {})}
    if body:
        sent.setdefault("content-length", str(len(body)))
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": name,
        "raw_path": name.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(key.lower().encode(), value.encode("latin-1")) for key, value in sent.items()],
        "client": (client, 50_000) if client is not None else None,
        "server": ("127.0.0.1", 8080),
    }
    parts = list(chunks) or [body]
    messages: list[Message] = [
        {"type": "http.request", "body": part, "more_body": index < len(parts) - 1} for index, part in enumerate(parts)
    ]
    answers: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        answers.append(message)

    await app(scope, receive, send)
    assert answers[0]["type"] == "http.response.start"
    found = {key.decode(): value.decode("latin-1") for key, value in answers[0]["headers"]}
    return Response(answers[0]["status"], found, b"".join(answer.get("body", b"") for answer in answers[1:]))


def bearer(token: str = TOKEN) -> dict[str, str]:
    """The header that names a principal."""
    return {"authorization": f"Bearer {token}"}


@asynccontextmanager
async def served(world: World) -> AsyncIterator[str]:
    """The application behind a real server on a free port; yields its URL."""
    listener = listen(world.options)
    async with serving(world.app, world.hub, listener, world.limits):
        yield url_of(listener, world.options)
    world.app.raise_broken()


def virtual() -> VirtualClock:
    """A clock that stands still."""
    return VirtualClock(START_US)
