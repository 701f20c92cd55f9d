"""The SDK's part for Lightning, against the real application."""

import pytest

from bus.messages.base import AccountId, Message
from bus.messages.lightning import CreateInvoice, InvoiceId, ListInvoices, SimulatePayment
from bus.refusals import WrongPreimage
from tests.web.support import TOKEN, World, served
from tests.web.test_invoices import VIEW, scripted
from web.client import AgoraClient
from web.live_feed import RequestFailed


def last(world: World) -> Message:
    """What was asked for last."""
    return world.gateway.asked[-1][1]


async def test_invoices_are_made_shown_listed_and_settled() -> None:
    world = scripted()
    async with served(world) as url, AgoraClient(url, token=TOKEN) as agora:
        assert await agora.invoices.create(5, account=AccountId("agents/bob"), description="work", key="k") == VIEW
        assert last(world) == CreateInvoice(5, AccountId("agents/bob"), "work", 0, "k")
        assert await agora.invoices.show("i-1") == VIEW
        assert (await agora.invoices.all(limit=3)).invoices == (VIEW,)
        assert last(world) == ListInvoices(limit=3)
        assert await agora.invoices.settle("i-1", "00") == VIEW
        assert last(world) == SimulatePayment(InvoiceId("i-1"), "00")


async def test_a_refusal_is_raised_in_the_servers_words() -> None:
    world = scripted()
    world.gateway.replies[SimulatePayment] = WrongPreimage("i-1")
    async with served(world) as url, AgoraClient(url, token=TOKEN) as agora:
        with pytest.raises(RequestFailed, match="its SHA-256 is not the payment hash"):
            await agora.invoices.settle("i-1", "00")
