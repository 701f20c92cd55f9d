"""HTTP for the books."""

import msgspec
import pytest

from bus.messages.base import AccountId, Event, TransferId
from bus.messages.ledger import (
    Balance,
    Balances,
    CreateTransfers,
    HoldPage,
    HoldTransfer,
    ListHolds,
    PostTransfer,
    ReadBalances,
    SetCredit,
    Transfer,
    TransferBatch,
    TransferPosted,
    TransferState,
    TransferView,
    VoidTransfer,
)
from tests.web.support import READER, World, bearer, call

BOB, ANN = AccountId("bob"), AccountId("ann")


def posted(number: int) -> Event:
    return TransferPosted(TransferId(f"p{number}"), BOB, ANN, "msat", number, TransferId(""), "work")


async def test_a_batch_is_one_command_with_each_kind_of_transfer() -> None:
    world = World()
    world.gateway.replies[CreateTransfers] = TransferBatch(())
    body = {
        "linked": True,
        "transfers": [
            {"kind": "transfer", "transfer": "a", "debit": "bob", "credit": "ann", "amount": 1},
            {"kind": "hold", "transfer": "h", "debit": "bob", "credit": "ann", "amount": 2, "timeout_s": 3},
            {"kind": "post", "transfer": "p", "hold": "h"},
            {"kind": "void", "transfer": "v", "hold": "g", "reason": "no"},
        ],
    }
    response = await call(world.app, "POST", "/api/ledger/batches", headers=bearer(), body=msgspec.json.encode(body))
    assert response.status == 201
    assert world.gateway.asked[-1][1] == CreateTransfers(
        (
            Transfer(TransferId("a"), BOB, ANN, "msat", 1),
            HoldTransfer(TransferId("h"), BOB, ANN, "msat", 2, 3.0),
            PostTransfer(TransferId("p"), TransferId("h")),
            VoidTransfer(TransferId("v"), TransferId("g"), "no"),
        ),
        True,
    )


async def test_credit_is_for_operators() -> None:
    world = World()
    world.gateway.replies[SetCredit] = Balance(BOB, "msat", 0, 0, 0, 0, 0, 500, 0, 500)
    body = msgspec.json.encode({"account": "bob", "credit_limit": 500})
    assert (await call(world.app, "POST", "/api/ledger/credit", headers=bearer(), body=body)).status == 200
    assert world.gateway.asked[-1][1] == SetCredit(BOB, "msat", 500)
    assert (await call(world.app, "POST", "/api/ledger/credit", headers=bearer(READER), body=body)).status == 403


@pytest.mark.parametrize(
    "path", ["/api/ledger/balances", "/api/ledger/export", "/api/market/export", "/api/ledger/days"]
)
async def test_a_table_comes_as_csv_or_as_json_lines_and_as_nothing_else(path: str) -> None:
    world = World()
    world.record(posted(1), posted(2))
    world.gateway.replies[ReadBalances] = Balances((Balance(BOB, "msat", 1, 0, 0, 0, 0, 0, 1, 1),))
    csv = await call(world.app, "GET", path)
    assert (csv.status, csv.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    jsonl = await call(world.app, "GET", f"{path}?format=jsonl")
    assert jsonl.headers["content-type"] == "application/x-ndjson"
    assert (await call(world.app, "GET", f"{path}?format=xml")).status == 422


async def test_an_export_holds_every_transfer_however_many_pages_they_fill() -> None:
    world = World()
    world.record(*(posted(number) for number in range(1, 2_501)))
    response = await call(world.app, "GET", "/api/ledger/export")
    assert response.body.count(b"\r\n") == 2_501
    days = await call(world.app, "GET", "/api/ledger/days?account=ann")
    assert days.body.splitlines()[1].endswith(b",ann,msat,3126250,0,0,3126250")


async def test_open_holds_are_listed() -> None:
    world = World()
    held = TransferView(TransferId("hold/t-1"), TransferState.HELD, BOB, ANN, "msat", 5)
    world.gateway.replies[ListHolds] = HoldPage((held,), 3)
    response = await call(world.app, "GET", "/api/ledger/holds?limit=1")
    assert (response.status, response.json()["total"]) == (200, 3)
    assert world.gateway.asked[-1][1] == ListHolds(1)
