"""HTTP for the books: batches, credit, and tables of what moved and what was decided.

Rules: what moves money needs the scope `ledger`; credit needs `admin`. Tables are read page by page and streamed.
"""

from collections.abc import AsyncIterator
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from bus.messages.base import AccountId, Position, TransferId
from bus.messages.ledger import (
    LEDGER,
    Balance,
    CreateTransfers,
    Currency,
    HoldPage,
    HoldTransfer,
    ListHolds,
    MoneyCommand,
    PostTransfer,
    ReadBalances,
    SetCredit,
    Transfer,
    TransferBatch,
    VoidTransfer,
)
from bus.messages.system import JOURNAL, EventPage, ReadEvents
from bus.refusals import InvalidField
from web import statements
from web.edge import Edge, accepted, json, read_body
from web.operation import TABLES, Limit, Text, described
from web.parameters import Parameters
from web.statements import BALANCES, DAYS, DECISIONS, MEDIA_TYPES, POSTED, TRANSFERS, Days, Format

PAGE_EVENTS = 1_000
TRANSFER_TYPES = ("transfer.*",)
DECISION_TYPES = ("auction.closed", "action.executed")


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One transfer of a batch; each kind reads the fields of its own."""

    kind: Literal["transfer", "hold", "post", "void"]
    transfer: str
    debit: str = ""
    credit: str = ""
    currency: Currency = "msat"
    amount: int = 0
    hold: str = ""
    timeout_s: float = 0.0
    reason: str = ""

    @property
    def command(self) -> MoneyCommand:
        """The transfer as the ledger takes it."""
        name, debit, credit, hold = TransferId(self.transfer), AccountId(self.debit), AccountId(self.credit), self.hold
        match self.kind:
            case "transfer":
                return Transfer(name, debit, credit, self.currency, self.amount, self.reason)
            case "hold":
                return HoldTransfer(name, debit, credit, self.currency, self.amount, self.timeout_s, self.reason)
            case "post":
                return PostTransfer(name, TransferId(hold), self.amount, credit, self.reason)
            case "void":
                return VoidTransfer(name, TransferId(hold), self.reason)


class BatchBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/ledger/batches`."""

    transfers: tuple[Item, ...]
    linked: bool = False


class CreditBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/ledger/credit`."""

    account: str
    credit_limit: int
    currency: Currency = "msat"


class MoneyApi:
    """The endpoints for the books beyond single transfers."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> list[Route]:
        return [
            Route("/api/ledger/batches", self.batch, methods=["POST"]),
            Route("/api/ledger/credit", self.set_credit, methods=["POST"]),
            Route("/api/ledger/days", self.days, methods=["GET"]),
            Route("/api/ledger/holds", self.holds, methods=["GET"]),
            Route("/api/ledger/balances", self.balances, methods=["GET"]),
            Route("/api/ledger/export", self.export_transfers, methods=["GET"]),
            Route("/api/market/export", self.export_decisions, methods=["GET"]),
        ]

    @described(
        "up to 1,000 transfers, holds, posts and voids at once; `linked`: all or none",
        scope="ledger",
        body=BatchBody,
        answer=TransferBatch,
        status=201,
        is_positioned=True,
    )
    async def batch(self, request: Request) -> Response:
        self._edge.authorise(request, "ledger")
        body = await read_body(request, BatchBody)
        command = CreateTransfers(tuple(item.command for item in body.transfers), body.linked)
        return accepted(await self._edge.ask(LEDGER, command), 201)

    @described(
        "how far below zero an account may go",
        scope="admin",
        body=CreditBody,
        answer=Balance,
        is_positioned=True,
    )
    async def set_credit(self, request: Request) -> Response:
        self._edge.authorise(request, "admin")
        body = await read_body(request, CreditBody)
        command = SetCredit(AccountId(body.account), body.currency, body.credit_limit)
        return accepted(await self._edge.ask(LEDGER, command), 200)

    @described(
        "what came in and went out by day (UTC) and account, as a table",
        scope="read",
        media_types=TABLES,
        query={"account": Text, "format": Format},
    )
    async def days(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        wish = Parameters(request, ("account", "format"))
        format_ = _format(wish)
        days = Days(wish.text("account"))
        async for page in self._pages(POSTED):
            days.add(page.events)
        content = statements.head(format_, DAYS) + statements.lines(format_, days.rows())
        return Response(content, 200, _headers("days", format_), MEDIA_TYPES[format_])

    @described("what is promised and not yet paid, newest first", scope="read", answer=HoldPage, query={"limit": Limit})
    async def holds(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        query = ListHolds(Parameters(request, ("limit",)).limit())
        return json((await self._edge.ask(LEDGER, query)).message)

    @described(
        "all balances as a table: incoming, outgoing, fees, net, held, available",
        scope="read",
        media_types=TABLES,
        query={"format": Format},
    )
    async def balances(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        format_ = _format(Parameters(request, ("format",)))
        found = (await self._edge.ask(LEDGER, ReadBalances())).message
        rows = statements.balance_rows(found.balances)
        content = statements.head(format_, BALANCES) + statements.lines(format_, rows)
        return Response(content, 200, _headers("balances", format_), MEDIA_TYPES[format_])

    @described(
        "every transfer, hold, release and refusal, as a table",
        scope="read",
        media_types=TABLES,
        query={"format": Format},
    )
    async def export_transfers(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        format_ = _format(Parameters(request, ("format",)))

        async def content(pages: AsyncIterator[EventPage]) -> AsyncIterator[bytes]:
            yield statements.head(format_, TRANSFERS)
            async for page in pages:
                yield statements.lines(format_, statements.transfer_rows(page.events))

        pages = self._pages(TRANSFER_TYPES)
        return StreamingResponse(content(pages), 200, _headers("transfers", format_), MEDIA_TYPES[format_])

    @described(
        "every closed auction and every bid that an agent learned from, with the reasons, as a table",
        scope="read",
        media_types=TABLES,
        query={"format": Format},
    )
    async def export_decisions(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        format_ = _format(Parameters(request, ("format",)))

        async def content(pages: AsyncIterator[EventPage]) -> AsyncIterator[bytes]:
            yield statements.head(format_, DECISIONS)
            async for page in pages:
                yield statements.lines(format_, statements.decision_rows(page.events))

        pages = self._pages(DECISION_TYPES)
        return StreamingResponse(content(pages), 200, _headers("decisions", format_), MEDIA_TYPES[format_])

    async def _pages(self, types: tuple[str, ...]) -> AsyncIterator[EventPage]:
        """All committed events of some types, oldest first, up to the head of when it was asked for."""
        after, head = Position(0), Position(-1)
        while head < 0 or after < head:
            query = ReadEvents(types=types, after=after, limit=PAGE_EVENTS, is_newest_first=False)
            page = (await self._edge.ask(JOURNAL, query)).message
            head = page.head if head < 0 else head
            if not page.events:
                return
            yield page
            after = page.events[-1].position


def _format(wish: Parameters) -> Format:
    match wish.text("format"):
        case "" | "csv":
            return "csv"
        case "jsonl":
            return "jsonl"
        case _:
            raise InvalidField("format", "is neither csv nor jsonl")


def _headers(name: str, format_: Format) -> dict[str, str]:
    return {"cache-control": "no-store", "content-disposition": f'attachment; filename="agora-{name}.{format_}"'}
