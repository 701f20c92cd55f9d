"""HTTP for the memory: what agents and people remember, looked up by words, corrected and ended.

Rules: a principal reads what is for everyone and what is for itself; whoever holds the scope `admin` is the operator,
who reads and changes all. An agent's token speaks for its agent.
"""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bus.messages.base import TaskId
from bus.messages.memory import (
    MEMORY,
    Audience,
    CorrectFact,
    EndFact,
    FactHistory,
    FactId,
    FactPage,
    FactView,
    ListFacts,
    ReadFact,
    Recall,
    Remember,
    Which,
)
from bus.refusals import InvalidField
from web.api import idempotency_key
from web.edge import Edge, accepted, json, read_body
from web.operation import PAGE, Text, Time, described
from web.parameters import Parameters
from web.wire import parse_time


class RememberBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/memory`."""

    subject: str
    text: str
    audience: Audience = "everyone"
    readers: tuple[str, ...] = ()
    """Where they are named: principals, and agents as `agents/scout`."""
    valid_from: str = ""
    """RFC 3339; empty means from now on."""
    valid_to: str = ""
    task: str = ""


class CorrectBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/memory/{fact}/correct`."""

    text: str
    reason: str = ""
    valid_from: str = ""
    valid_to: str = ""


class EndBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/memory/{fact}/end`."""

    reason: str = ""


class MemoryApi:
    """The endpoints for facts."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> list[Route]:
        return [
            Route("/api/memory", self.list_facts, methods=["GET"]),
            Route("/api/memory", self.remember, methods=["POST"]),
            Route("/api/memory/{fact}", self.show, methods=["GET"]),
            Route("/api/memory/{fact}/correct", self.correct, methods=["POST"]),
            Route("/api/memory/{fact}/end", self.end, methods=["POST"]),
        ]

    @described(
        "what is remembered, newest first, or with `query` the best matches of its words; `which` is `valid` or `all`",
        scope="read",
        answer=FactPage,
        query={"query": Text, "as_of": Time, "which": Which, **PAGE},
    )
    async def list_facts(self, request: Request) -> Response:
        principal = self._edge.authorise(request, "read")
        wish = Parameters(request, ("query", "as_of", "which", "limit", "after"))
        is_operator = principal.may("admin")
        at_us, words = wish.time("as_of"), wish.text("query")
        query: Recall | ListFacts
        if words.strip():
            query = Recall(words, principal.name, wish.limit(), at_us, is_operator)
        else:
            after, which = FactId(wish.text("after")), _which(wish.text("which"))
            query = ListFacts(principal.name, wish.limit(), after, at_us, which, is_operator)
        return json((await self._edge.ask(MEMORY, query)).message)

    @described(
        "remember a fact, for `everyone`, for those `named` in `readers`, or for its `owner` alone",
        scope="agent",
        body=RememberBody,
        answer=FactView,
        status=201,
        is_positioned=True,
    )
    async def remember(self, request: Request) -> Response:
        principal = self._edge.authorise(request, "agent")
        body = await read_body(request, RememberBody)
        command = Remember(
            subject=body.subject,
            text=body.text,
            by=principal.name,
            audience=body.audience,
            readers=body.readers,
            valid_from_us=_time("valid_from", body.valid_from),
            valid_to_us=_time("valid_to", body.valid_to),
            task=TaskId(body.task),
            idempotency_key=idempotency_key(request),
        )
        return accepted(await self._edge.ask(MEMORY, command), 201)

    @described("every version of a fact, newest first", scope="read", answer=FactHistory)
    async def show(self, request: Request) -> Response:
        principal = self._edge.authorise(request, "read")
        query = ReadFact(FactId(request.path_params["fact"]), principal.name, principal.may("admin"))
        return json((await self._edge.ask(MEMORY, query)).message)

    @described(
        "put a text in the place of a fact of one's own; the old one stays to be read",
        scope="agent",
        body=CorrectBody,
        answer=FactView,
        is_positioned=True,
    )
    async def correct(self, request: Request) -> Response:
        principal = self._edge.authorise(request, "agent")
        body = await read_body(request, CorrectBody)
        command = CorrectFact(
            fact=FactId(request.path_params["fact"]),
            text=body.text,
            by=principal.name,
            reason=body.reason,
            valid_from_us=_time("valid_from", body.valid_from),
            valid_to_us=_time("valid_to", body.valid_to),
            is_operator=principal.may("admin"),
            idempotency_key=idempotency_key(request),
        )
        return accepted(await self._edge.ask(MEMORY, command), 200)

    @described(
        "say that a fact of one's own is no longer so", scope="agent", body=EndBody, answer=FactView, is_positioned=True
    )
    async def end(self, request: Request) -> Response:
        principal = self._edge.authorise(request, "agent")
        body = await read_body(request, EndBody)
        fact = FactId(request.path_params["fact"])
        command = EndFact(fact, principal.name, body.reason, principal.may("admin"))
        return accepted(await self._edge.ask(MEMORY, command), 200)


def _time(path: str, text: str) -> int:
    return parse_time(path, text) if text else 0


def _which(text: str) -> Which:
    match text or "valid":
        case "valid":
            return "valid"
        case "all":
            return "all"
        case _:
            raise InvalidField("which", "is neither valid nor all")
