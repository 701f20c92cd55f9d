"""The SDK's part for tables, against the real application."""

import pytest

from bus.messages.base import AccountId, TransferId
from bus.messages.ledger import Balance, Balances, ReadBalances, TransferPosted
from tests.web.support import World, served
from web.client import AgoraClient, Unreachable
from web.live_feed import RequestFailed
from web.tables_client import PATHS, Table

BOB, ANN = AccountId("bob"), AccountId("ann")


def scripted() -> World:
    world = World()
    world.gateway.replies[ReadBalances] = Balances((Balance(BOB, "msat", 5, 0, 0, 0, 0, 0, 5, 5),))
    world.record(*(TransferPosted(TransferId(f"p{n}"), ANN, BOB, "msat", n, TransferId(""), "") for n in range(1, 4)))
    return world


async def text(agora: AgoraClient, table: Table, account: str = "") -> str:
    return b"".join([piece async for piece in agora.tables.read(table, account=account)]).decode()


async def test_every_table_comes_whole_with_its_head() -> None:
    async with served(scripted()) as url, AgoraClient(url) as agora:
        heads = {table: (await text(agora, table)).splitlines()[0].split(",")[0] for table in PATHS}
        assert heads == {"balances": "account", "days": "day", "transfers": "position", "decisions": "position"}
        assert (await text(agora, "transfers")).count("\n") == 4
        assert (await text(agora, "days", "bob")).count("\n") == 2


async def test_json_lines_have_no_head() -> None:
    async with served(scripted()) as url, AgoraClient(url) as agora:
        pieces = [piece async for piece in agora.tables.read("balances", "jsonl")]
        assert b"".join(pieces).startswith(b'{"account":"bob"')


async def test_a_refusal_and_a_missing_server_are_raised() -> None:
    world = scripted()
    del world.gateway.replies[ReadBalances]
    async with served(world) as url, AgoraClient(url) as agora:
        with pytest.raises(RequestFailed):
            await text(agora, "balances")
    async with AgoraClient("http://127.0.0.1:1") as nobody:
        with pytest.raises(Unreachable):
            await text(nobody, "balances")
