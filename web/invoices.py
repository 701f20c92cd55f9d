"""HTTP for Lightning: invoices, their QR codes, and what backends report.

Rules: making an invoice and playing the payer of a simulated one needs the scope `ledger`. A webhook needs no token,
since LNbits can send none: nothing that it says is believed, it makes us ask the backend, and it is counted against its
sender's rate like anything that acts. Every answer says which backend is meant, and whether it is simulated.
"""

import io

import msgspec
import segno
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bus.messages.base import AccountId, Done
from bus.messages.ledger import TREASURY
from bus.messages.lightning import (
    LIGHTNING,
    CreateInvoice,
    InvoiceId,
    InvoicePage,
    InvoiceState,
    InvoiceView,
    ListInvoices,
    LookAtInvoice,
    ReadInvoice,
    SimulatePayment,
)
from bus.refusals import IllegalTransition, InvalidField, Malformed
from web.api import idempotency_key
from web.edge import Edge, accepted, json, read_body
from web.operation import Limit, Text, described
from web.parameters import Parameters
from web.wire import decode

CREATE_TIMEOUT_S = 15.0
"""A backend is given nine seconds at most, and the disk its own."""
HASH_CHARS = 64
QR_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "sandbox; default-src 'none'; style-src 'none'; frame-ancestors 'none'",
}


class InvoiceBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/ledger/invoices`."""

    amount_msat: int
    account: str = TREASURY
    description: str = ""
    expiry_s: int = 0


class SettleBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/ledger/invoices/{invoice}/settle`."""

    preimage: str = ""


class _Report(msgspec.Struct, frozen=True):
    """What a webhook is read for."""

    payment_hash: str = ""


class InvoicesApi:
    """The endpoints for money from outside."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> list[Route]:
        return [
            Route("/api/ledger/invoices", self.list_invoices, methods=["GET"]),
            Route("/api/ledger/invoices", self.create, methods=["POST"]),
            Route("/api/ledger/invoices/{invoice}", self.show, methods=["GET"]),
            Route("/api/ledger/invoices/{invoice}/qr", self.show_code, methods=["GET"]),
            Route("/api/ledger/invoices/{invoice}/settle", self.settle, methods=["POST"]),
            Route("/api/ledger/webhooks/{backend}", self.report, methods=["POST"]),
        ]

    @described(
        "invoices, newest first, and which backend makes new ones",
        scope="read",
        answer=InvoicePage,
        query={"state": Text, "limit": Limit},
    )
    async def list_invoices(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        wish = Parameters(request, ("state", "limit"))
        query = ListInvoices(_state(wish.text("state")), wish.limit())
        return json((await self._edge.ask(LIGHTNING, query)).message)

    @described(
        "have an invoice made that brings `account` so much once it is paid",
        scope="ledger",
        body=InvoiceBody,
        answer=InvoiceView,
        status=201,
        is_positioned=True,
    )
    async def create(self, request: Request) -> Response:
        self._edge.authorise(request, "ledger")
        body = await read_body(request, InvoiceBody)
        command = CreateInvoice(
            body.amount_msat, AccountId(body.account), body.description, body.expiry_s, idempotency_key(request)
        )
        return accepted(await self._edge.ask(LIGHTNING, command, timeout_s=CREATE_TIMEOUT_S), 201)

    @described("one invoice", scope="read", answer=InvoiceView)
    async def show(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        return json(await self._invoice(request))

    @described("its text as a QR code", scope="read", media_types=("image/svg+xml",))
    async def show_code(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        invoice = await self._invoice(request)
        if not invoice.request:
            raise IllegalTransition(f"invoice {invoice.invoice}", "without a text", "shown as a code")
        return Response(code_of(invoice.request), 200, QR_HEADERS, "image/svg+xml")

    @described(
        "play the payer of a simulated invoice, with a `preimage` or the right one; refused for a real one",
        scope="ledger",
        body=SettleBody,
        answer=InvoiceView,
        is_positioned=True,
    )
    async def settle(self, request: Request) -> Response:
        self._edge.authorise(request, "ledger")
        body = await read_body(request, SettleBody)
        command = SimulatePayment(InvoiceId(request.path_params["invoice"]), body.preimage)
        return accepted(await self._edge.ask(LIGHTNING, command), 200)

    @described(
        "a backend's hint that something was paid; it is asked, and nothing said here counts",
        scope="",
        answer=Done,
        status=202,
    )
    async def report(self, request: Request) -> Response:
        self._edge.throttle(request)
        try:
            report = decode(await request.body() or b"{}", _Report)
        except (InvalidField, Malformed):
            report = _Report()
        payment_hash = report.payment_hash if len(report.payment_hash) == HASH_CHARS else ""
        command = LookAtInvoice(request.path_params["backend"], payment_hash)
        return json((await self._edge.ask(LIGHTNING, command)).message, 202)

    async def _invoice(self, request: Request) -> InvoiceView:
        query = ReadInvoice(InvoiceId(request.path_params["invoice"]))
        return (await self._edge.ask(LIGHTNING, query)).message


def code_of(text: str) -> bytes:
    """A text as a QR code: SVG without styles. Capital letters make it smaller, and BOLT11 means the same in them."""
    image = io.BytesIO()
    code = segno.make(text.upper(), error="l", micro=False)
    code.save(image, kind="svg", border=4, dark="#000", light="#fff", omitsize=True, xmldecl=False, nl=False)
    return image.getvalue()


def _state(name: str) -> InvoiceState | None:
    try:
        return InvoiceState(name) if name else None
    except ValueError as error:
        raise InvalidField("state", f"must be one of {', '.join(InvoiceState)}") from error
