"""HTTP for Lightning."""

from xml.etree import ElementTree

import msgspec
import pytest

from bus.messages.base import AccountId, Done
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
from bus.refusals import NodeFailed, WrongPreimage
from tests.web.support import READER, World, bearer, call
from web.invoices import code_of

VIEW = InvoiceView(
    InvoiceId("i-1"), InvoiceState.PENDING, AccountId("treasury"), 5, "", "simulated", True, "lnbcrt50p1abc", "ab" * 32
)
HASH = "cd" * 32


def scripted() -> World:
    world = World()
    world.gateway.replies |= {
        CreateInvoice: VIEW,
        ReadInvoice: VIEW,
        SimulatePayment: VIEW,
        ListInvoices: InvoicePage((VIEW,), "simulated", True),
        LookAtInvoice: Done(),
    }
    return world


async def test_an_invoice_is_asked_for_with_the_scope_ledger_and_a_key() -> None:
    world = scripted()
    body = msgspec.json.encode({"amount_msat": 5, "account": "agents/bob", "description": "work", "expiry_s": 60})
    headers = {**bearer(), "idempotency-key": "k"}
    response = await call(world.app, "POST", "/api/ledger/invoices", headers=headers, body=body)
    assert (response.status, response.json()["is_simulated"]) == (201, True)
    assert world.gateway.asked[-1] == (LIGHTNING, CreateInvoice(5, AccountId("agents/bob"), "work", 60, "k"))
    assert (await call(world.app, "POST", "/api/ledger/invoices", headers=bearer(READER), body=body)).status == 403


async def test_the_list_says_which_backend_there_is_and_that_it_is_simulated() -> None:
    world = scripted()
    response = await call(world.app, "GET", "/api/ledger/invoices?state=settled&limit=7")
    assert (response.json()["backend"], response.json()["is_simulated"]) == ("simulated", True)
    assert world.gateway.asked[-1][1] == ListInvoices(InvoiceState.SETTLED, 7)
    assert (await call(world.app, "GET", "/api/ledger/invoices?state=paid")).status == 422


async def test_one_invoice_is_shown_and_settled_with_a_preimage() -> None:
    world = scripted()
    assert (await call(world.app, "GET", "/api/ledger/invoices/i-1")).json()["backend"] == "simulated"
    path, body = "/api/ledger/invoices/i-1/settle", b'{"preimage":"00"}'
    assert (await call(world.app, "POST", path, headers=bearer(), body=body)).status == 200
    assert world.gateway.asked[-1][1] == SimulatePayment(InvoiceId("i-1"), "00")
    assert (await call(world.app, "POST", path, headers=bearer(READER), body=body)).status == 403


@pytest.mark.parametrize(("error", "status"), [(WrongPreimage("i-1"), 422), (NodeFailed("lnd", "HTTP 500"), 502)])
async def test_a_refusal_has_its_status(error: WrongPreimage | NodeFailed, status: int) -> None:
    world = scripted()
    world.gateway.replies[SimulatePayment] = error
    response = await call(world.app, "POST", "/api/ledger/invoices/i-1/settle", headers=bearer(), body=b"{}")
    assert (response.status, response.json()["code"]) == (status, error.code)


async def test_the_code_is_an_image_without_styles_or_scripts() -> None:
    world = scripted()
    response = await call(world.app, "GET", "/api/ledger/invoices/i-1/qr")
    assert (response.status, response.headers["content-type"]) == (200, "image/svg+xml")
    assert "sandbox" in response.headers["content-security-policy"]
    root = ElementTree.fromstring(response.body)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} == {"svg", "path"}
    assert [element for element in root.iter() if "style" in element.attrib] == []


async def test_an_invoice_without_a_text_has_no_code() -> None:
    world = scripted()
    world.gateway.replies[ReadInvoice] = msgspec.structs.replace(VIEW, request="")
    assert (await call(world.app, "GET", "/api/ledger/invoices/i-1/qr")).status == 409


def test_the_longest_text_that_is_taken_fits_a_code() -> None:
    assert code_of("lnbc" + "q" * 1_500).startswith(b"<svg")


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (msgspec.json.encode({"payment_hash": HASH, "paid": True, "preimage": "00", "amount": 10**9}), HASH),
        (b"{}", ""),
        (b"", ""),
        (b"paid!", ""),
        (b'{"payment_hash": 7}', ""),
        (msgspec.json.encode({"payment_hash": "x" * 10_000}), ""),
    ],
)
async def test_a_webhook_is_a_hint_whatever_it_says_and_needs_no_token(body: bytes, asked: str) -> None:
    world = scripted()
    response = await call(world.app, "POST", "/api/ledger/webhooks/lnbits", body=body)
    assert response.status == 202
    assert world.gateway.asked == [(LIGHTNING, LookAtInvoice("lnbits", asked))]


async def test_webhooks_are_counted_against_their_sender() -> None:
    world = scripted()
    path = "/api/ledger/webhooks/lnbits"
    burst = world.options.commands_burst
    statuses = [(await call(world.app, "POST", path, body=b"{}")).status for _ in range(burst + 20)]
    assert statuses[0] == 202
    assert statuses[-1] == 429
