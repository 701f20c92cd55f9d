"""HTTP for what happened: events, their summary, and transfers as the events that they are.

Rules: newest first, unless `after` asks for what follows a position. `next` continues in the same direction, as
`before` or as `after`, and is null at the end; `scanned` is the last position that was looked at.
Whoever accepts `text/event-stream` or `application/x-ndjson` gets the live feed instead of a page.
"""

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bus.envelope import StoredEvent
from bus.messages.base import Position
from bus.messages.system import (
    JOURNAL,
    EventHistogram,
    EventPage,
    EventSummary,
    PruneEvents,
    PruneReport,
    ReadChain,
    ReadEvents,
    ReadHistogram,
    SearchEvents,
    SummariseEvents,
)
from web.documents import ChainDocument, EventsDocument, StateDocument, TransfersDocument
from web.edge import Edge, json, raw_json, read_body
from web.operation import EVENT_STREAM, JSON, JSON_LINES, SPAN, Limit, Patterns, PositionText, Text, described
from web.parameters import Parameters
from web.stream import StreamResponse, dialect_of, stream_response
from web.wire import decode, encode_chain, encode_page, timestamp

COMMON = ("after", "before", "since", "until", "limit")
BUCKETS_MAX = 1_000
MINUTES_MAX = 7 * 24 * 60.0


PRUNE_TIMEOUT_S = 60.0
"""For files that are made before others can go."""


class PruneBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/events/prune`."""

    upto: Annotated[int, msgspec.Meta(ge=0)] = 0


class HistoryApi:
    """The endpoints for events."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> list[Route]:
        return [
            Route("/api/state", self.show_state, methods=["GET"]),
            Route("/api/events", self.list_events, methods=["GET"]),
            Route("/api/events/summary", self.summarise, methods=["GET"]),
            Route("/api/events/histogram", self.show_histogram, methods=["GET"]),
            Route("/api/events/search", self.search, methods=["GET"]),
            Route("/api/events/prune", self.prune, methods=["POST"]),
            Route("/api/events/{position:int}/chain", self.show_chain, methods=["GET"]),
            Route("/api/tasks/{task}/events", self.list_events_of_task, methods=["GET"]),
            Route("/api/ledger/transfers", self.list_transfers, methods=["GET"]),
        ]

    @described("the whole at a glance, with its position", scope="read", answer=StateDocument)
    async def show_state(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        return raw_json(self._edge.hub.state())

    @described(
        "events, newest 50 first; by `Accept` also a live stream (SSE, JSON Lines), from `after`, `since` or, "
        "alone there, the `last` so many",
        scope="read",
        answer=EventsDocument,
        media_types=(JSON, EVENT_STREAM, JSON_LINES),
        query={"type": Patterns, "source": Text, "task": Text, "agent": Text, "run": Text, "correlation": Text, **SPAN},
    )
    async def list_events(self, request: Request) -> Response | StreamResponse:
        self._edge.authorise(request, "read")
        dialect = dialect_of(request)
        if dialect is not None:
            return await stream_response(self._edge, request, dialect)
        wish = Parameters(request, ("type", "source", "task", "agent", "run", "correlation", *COMMON))
        return await self._events(wish, wish.patterns("type"), wish.text("task"))

    @described(
        "what happened to a task",
        scope="read",
        answer=EventsDocument,
        query={"type": Patterns, "source": Text, "agent": Text, "run": Text, "correlation": Text, **SPAN},
    )
    async def list_events_of_task(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        wish = Parameters(request, ("type", "source", "agent", "run", "correlation", *COMMON))
        return await self._events(wish, wish.patterns("type"), request.path_params["task"])

    @described(
        "events with all words of `text`, newest first; all up to `head` was searched",
        scope="read",
        answer=EventsDocument,
        query={"text": Text, "before": PositionText, "limit": Limit},
    )
    async def search(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        wish = Parameters(request, ("text", "before", "limit"))
        query = SearchEvents(wish.text("text"), wish.position("before"), wish.limit())
        page = (await self._edge.ask(JOURNAL, query)).message
        return raw_json(encode_page(page, self._edge.hub.epoch, _next(page, wish)))

    @described("what led to an event, and what it led to", scope="read", answer=ChainDocument)
    async def show_chain(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        chain = (await self._edge.ask(JOURNAL, ReadChain(Position(request.path_params["position"])))).message
        return raw_json(encode_chain(chain, self._edge.hub.epoch))

    @described(
        "let old events go: up to a position, or as the settings say",
        scope="admin",
        body=PruneBody,
        answer=PruneReport,
    )
    async def prune(self, request: Request) -> Response:
        self._edge.authorise(request, "admin")
        body = await read_body(request, PruneBody)
        command = PruneEvents(Position(body.upto))
        return json((await self._edge.ask(JOURNAL, command, timeout_s=PRUNE_TIMEOUT_S)).message)

    @described(
        "counts by type over `minutes` (60)",
        scope="read",
        answer=EventSummary,
        query={"minutes": Annotated[float, msgspec.Meta(ge=0.01, le=MINUTES_MAX)]},
    )
    async def summarise(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        minutes = Parameters(request, ("minutes",)).number("minutes", 60.0, 0.01, MINUTES_MAX)
        return json((await self._edge.ask(JOURNAL, SummariseEvents(minutes))).message)

    @described(
        "how many events lie where in time, in at most so many spans",
        scope="read",
        answer=EventHistogram,
        query={"buckets": Annotated[int, msgspec.Meta(ge=1, le=BUCKETS_MAX)]},
    )
    async def show_histogram(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        buckets = Parameters(request, ("buckets",)).integer("buckets", 120, 1, BUCKETS_MAX)
        return json((await self._edge.ask(JOURNAL, ReadHistogram(buckets))).message)

    @described(
        "transfers as events, newest first",
        scope="read",
        answer=TransfersDocument,
        query={"after": PositionText, "before": PositionText, "limit": Limit},
    )
    async def list_transfers(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        wish = Parameters(request, ("after", "before", "limit"))
        page = await self._read(wish, ("transfer.*",), "")
        return json(
            {
                "transfers": [_transfer(event) for event in page.events],
                "next": _next(page, wish),
                "head": page.head,
            }
        )

    async def _events(self, wish: Parameters, types: tuple[str, ...], task: str) -> Response:
        page = await self._read(wish, types, task)
        return raw_json(encode_page(page, self._edge.hub.epoch, _next(page, wish)))

    async def _read(self, wish: Parameters, types: tuple[str, ...], task: str) -> EventPage:
        query = ReadEvents(
            types=types,
            source=wish.text("source"),
            task=task,
            agent=wish.text("agent"),
            run=wish.text("run"),
            correlation=wish.text("correlation"),
            after=wish.position("after"),
            before=wish.position("before"),
            since_us=wish.time("since"),
            until_us=wish.time("until"),
            limit=wish.limit(),
            is_newest_first=not wish.has("after"),
        )
        return (await self._edge.ask(JOURNAL, query)).message


def _next(page: EventPage, wish: Parameters) -> Position | None:
    return page.events[-1].position if len(page.events) >= wish.limit() else None


def _transfer(event: StoredEvent) -> dict[str, object]:
    fields = decode(event.data, dict[str, msgspec.Raw])
    return {
        "state": event.type.removeprefix("transfer."),
        "position": event.position,
        "time": timestamp(event.time_us),
        **fields,
    }
