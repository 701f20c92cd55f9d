"""The route table, and the boundary at which every fault ends.

Rules: a refusal becomes a problem document; a fault is logged here, once, and becomes one without what it said. Behind
the boundary stands the guard, then the routes; the page's files are served as they are, checked for changes each time.
"""

import logging
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bus.errors import AgoraError
from web.api import WorkApi
from web.approvals import ApprovalsApi
from web.cascade import CascadeApi
from web.checkpoints import CheckpointsApi
from web.completions import CompletionsApi
from web.edge import Edge
from web.embeddings import EmbeddingsApi
from web.feed import Feed
from web.files import PageFiles
from web.frames import Limits
from web.guard import Guard
from web.history import HistoryApi
from web.invoices import InvoicesApi
from web.market import MarketApi
from web.memory import MemoryApi
from web.messages import MessagesApi
from web.money import MoneyApi
from web.openapi import Documents
from web.operations import OperationsApi
from web.problems import Problem, problem_response
from web.quotas import QuotasApi
from web.schedules import SchedulesApi
from web.session import Sessions
from web.tokens import Tokens, TokensApi
from web.triggers import TriggersApi

logger = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
INTERNAL_ERROR = 1011


def build_app(
    edge: Edge, *, tokens: Tokens | None = None, limits: Limits | None = None, static: Path = STATIC
) -> ASGIApp:
    """The whole application over its parts."""
    feed = Feed(edge, limits)
    files = PageFiles(static)

    async def index(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    application = Starlette(
        routes=[
            Route("/", index, methods=["GET"]),
            *endpoints(edge, feed, tokens),
            WebSocketRoute("/ws", feed.__call__),
            Mount("/static", files),
        ],
        exception_handlers={AgoraError: _refused, HTTPException: _not_served, Exception: _failed},
    )
    return Boundary(Guard(application, edge.options))


def endpoints(edge: Edge, feed: Feed, tokens: Tokens | None = None) -> list[Route]:
    """All that is asked over HTTP, with the documents that describe it."""
    routes = [
        *Sessions(edge).routes(),
        *HistoryApi(edge).routes(),
        *WorkApi(edge).routes(),
        *MarketApi(edge).routes(),
        *ApprovalsApi(edge).routes(),
        *MoneyApi(edge).routes(),
        *InvoicesApi(edge).routes(),
        *QuotasApi(edge).routes(),
        *MemoryApi(edge).routes(),
        *SchedulesApi(edge).routes(),
        *TriggersApi(edge).routes(),
        *CheckpointsApi(edge).routes(),
        *OperationsApi(edge, feed).routes(),
        *CompletionsApi(edge).routes(),
        *CascadeApi(edge).routes(),
        *MessagesApi(edge).routes(),
        *EmbeddingsApi(edge).routes(),
        *(TokensApi(edge, tokens).routes() if tokens is not None else ()),
    ]
    return [*routes, *Documents(routes).routes()]


class Boundary:
    """The outermost ASGI layer: nothing passes it but CancelledError."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; whatever comes back as an exception ends here."""
        is_started = False

        async def noting(message: Message) -> None:
            nonlocal is_started
            is_started = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:  # the ASGI boundary: a fault of ours must reach the log and never the client
            logger.exception("a request failed", extra={"path": scope.get("path", ""), "kind": scope["type"]})
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": INTERNAL_ERROR})
            elif not is_started:
                await problem_response(AgoraError())(scope, receive, send)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, AgoraError)
    return problem_response(error)


async def _not_served(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, detail = {
        404: ("not_found", "nothing is at this path"),
        405: ("method_not_allowed", "the path does not take this method"),
    }.get(error.status_code, ("http_error", str(error.detail)))
    response = problem_response(Problem(error.status_code, code, detail))
    response.headers.update(error.headers or {})
    if error.status_code == 405:
        response.headers["allow"] = ", ".join(_methods_at(request))
    return response


def _methods_at(request: Request) -> list[str]:
    """What the path takes: each method may have a route of its own."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    here = next(route.path for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    return sorted({method for route in routes if route.path == here for method in route.methods or ()})


async def _failed(request: Request, error: Exception) -> Response:
    return problem_response(AgoraError())
