"""The adapter for LNbits, against a server that keeps to its public interface."""

import msgspec
import pytest

from actors.nodes import LightningOptions, LnbitsNode, LookState, NodeFault, Wish
from actors.nodes.bolt11_text import read
from tests.support.lightning import NOW_S, WALLET_KEY, FakeNode, lnbits

WISH = Wish("i-1", 21_000, "", 600, NOW_S * 1_000_000)
HOOK = "https://agora.example/api/ledger/webhooks/lnbits"


def opened(server: FakeNode, key: str = WALLET_KEY, webhook_url: str = "") -> LnbitsNode:
    return LnbitsNode(LightningOptions(backend="lnbits", url=server.url, webhook_url=webhook_url), key)


async def test_an_invoice_is_created_in_satoshi_with_the_webhook() -> None:
    async with lnbits() as server:
        node = opened(server, webhook_url=HOOK)
        assert read((await node.issue(WISH)).request, "bc").amount_msat == 21_000
        [body] = server.bodies
        assert body == {
            "out": False,
            "amount": 21,
            "unit": "sat",
            "memo": "invoice i-1",
            "expiry": 600,
            "webhook": HOOK,
        }
        await node.close()


async def test_a_part_of_a_satoshi_is_refused_before_anything_is_sent() -> None:
    async with lnbits() as server:
        node = opened(server)
        with pytest.raises(NodeFault, match="whole satoshi"):
            await node.issue(msgspec.structs.replace(WISH, amount_msat=21_001))
        assert server.bodies == []
        await node.close()


async def test_a_payment_is_pending_then_paid_with_its_proof() -> None:
    async with lnbits() as server:
        node = opened(server)
        payment_hash = read((await node.issue(WISH)).request, "bc").payment_hash
        assert (await node.look(payment_hash)).state is LookState.OPEN
        server.pay(payment_hash)
        look = await node.look(payment_hash)
        assert (look.state, look.received_msat) == (LookState.SETTLED, 21_000)
        assert look.preimage == server.invoices[payment_hash].preimage.hex()
        server.invoices[payment_hash] = msgspec.structs.replace(
            server.invoices[payment_hash], paid_msat=0, is_cancelled=True
        )
        assert (await node.look(payment_hash)).state is LookState.CANCELLED
        assert (await node.look("00" * 32)).state is LookState.UNKNOWN
        await node.close()


async def test_a_wrong_key_is_a_fault_that_does_not_name_it() -> None:
    async with lnbits() as server:
        node = opened(server, "an-admin-key-of-somebody")
        with pytest.raises(NodeFault, match="HTTP 401") as caught:
            await node.look("00" * 32)
        assert "admin" not in str(caught.value)
        await node.close()
