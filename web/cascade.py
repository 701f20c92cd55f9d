"""The endpoints for completions as they were, and for the cascade's settings, health and money.

Rules: what was said is read like everything else; what changes the cascade needs the scope `admin`. What models are
saying at this moment comes as an event stream of its own, which tells the newest state of each some ten times a second.
"""

from collections.abc import AsyncIterator
from typing import Annotated

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from bus.messages.base import CompletionId, Done
from bus.messages.completions import ROUTER, CancelCompletion
from bus.messages.routing import (
    SETTINGS,
    Reconciled,
    ReconcileSpending,
    Reloaded,
    ReloadSettings,
    ResetProvider,
)
from bus.messages.transcripts import (
    COMPLETION_LOG,
    TRANSCRIPTS_LIMIT_MAX,
    ListTranscripts,
    ReadTranscript,
    Transcript,
    TranscriptPage,
)
from bus.refusals import Overloaded
from web.edge import Edge, accepted, json, read_body
from web.operation import EVENT_STREAM, Text, Time, described
from web.parameters import Parameters
from web.wire import encode

WATCHERS_MAX = 32
"""Streams of what is being said that are open at once."""
PACE_S = 0.1
"""Between two states: an eye follows no faster."""
QUIET_S = 10.0
"""After so long without a word a comment tells that the stream lives."""
LIST = ("agent", "task", "before", "limit")


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body without fields."""


class ReconcileBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/router/reconcile`."""

    provider: str = ""
    spent_usd_micros: Annotated[int, msgspec.Meta(ge=0)] = 0
    unspent_usd_micros: Annotated[int, msgspec.Meta(ge=0)] = 0


class CascadeApi:
    """The endpoints."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._watchers = 0

    def routes(self) -> list[Route]:
        return [
            Route("/api/completions", self.list_completions, methods=["GET"]),
            Route("/api/completions/live", self.watch, methods=["GET"]),
            Route("/api/completions/{completion}", self.show_completion, methods=["GET"]),
            Route("/api/completions/{completion}/cancel", self.cancel, methods=["POST"]),
            Route("/api/router/reload", self.reload, methods=["POST"]),
            Route("/api/router/reconcile", self.reconcile, methods=["POST"]),
            Route("/api/router/providers/{provider}/reset", self.reset_provider, methods=["POST"]),
        ]

    @described(
        "completions that the log keeps, newest first",
        scope="read",
        answer=TranscriptPage,
        query={
            "agent": Text,
            "task": Text,
            "before": Time,
            "limit": Annotated[int, msgspec.Meta(ge=1, le=TRANSCRIPTS_LIMIT_MAX)],
        },
    )
    async def list_completions(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        wish = Parameters(request, LIST)
        limit = wish.integer("limit", 50, 1, TRANSCRIPTS_LIMIT_MAX)
        query = ListTranscripts(wish.text("agent"), wish.text("task"), wish.time("before"), limit)
        return json((await self._edge.ask(COMPLETION_LOG, query)).message)

    @described("a completion in full: what was asked, every attempt, the answer", scope="read", answer=Transcript)
    async def show_completion(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        query = ReadTranscript(CompletionId(request.path_params["completion"]))
        return json((await self._edge.ask(COMPLETION_LOG, query)).message)

    @described("what models are saying at this moment", scope="read", media_types=(EVENT_STREAM,))
    async def watch(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        Parameters(request, ())
        if self._watchers >= WATCHERS_MAX:
            raise Overloaded("watching completions", 5.0)
        return StreamingResponse(self._states(), headers={"cache-control": "no-store"}, media_type=EVENT_STREAM)

    @described(
        "end a completion that nobody wants any more", scope="task", body=Nothing, answer=Done, is_positioned=True
    )
    async def cancel(self, request: Request) -> Response:
        self._edge.authorise(request, "task")
        await read_body(request, Nothing)
        command = CancelCompletion(CompletionId(request.path_params["completion"]))
        return accepted(await self._edge.ask(ROUTER, command), 200)

    @described(
        "read the settings again: those of the cascade count at once; what cannot be used changes nothing",
        scope="admin",
        body=Nothing,
        answer=Reloaded,
    )
    async def reload(self, request: Request) -> Response:
        principal = self._edge.authorise(request, "admin")
        await read_body(request, Nothing)
        return json((await self._edge.ask(SETTINGS, ReloadSettings(principal.name))).message)

    @described(
        "say what became of money of which nobody knew whether it was spent",
        scope="admin",
        body=ReconcileBody,
        answer=Reconciled,
    )
    async def reconcile(self, request: Request) -> Response:
        self._edge.authorise(request, "admin")
        body = await read_body(request, ReconcileBody)
        command = ReconcileSpending(body.provider, body.spent_usd_micros, body.unspent_usd_micros)
        return json((await self._edge.ask(ROUTER, command)).message)

    @described(
        "close a provider's breaker and lift its gate", scope="admin", body=Nothing, answer=Done, is_positioned=True
    )
    async def reset_provider(self, request: Request) -> Response:
        self._edge.authorise(request, "admin")
        await read_body(request, Nothing)
        return accepted(await self._edge.ask(ROUTER, ResetProvider(request.path_params["provider"])), 200)

    async def _states(self) -> AsyncIterator[bytes]:
        words = self._edge.hub.words
        self._watchers += 1
        try:
            seen = 0
            yield b": words\n\n"
            while not self._edge.hub.is_closing:
                with anyio.move_on_after(QUIET_S) as quiet:
                    await words.wait(seen)
                if quiet.cancelled_caught:
                    yield b": quiet\n\n"
                    continue
                newer, seen = words.after(seen), words.count
                if newer:
                    yield b"data: " + encode(newer) + b"\n\n"
                await anyio.sleep(PACE_S)
        finally:
            self._watchers -= 1
