"""The adapter for LND, against a server that keeps to its public interface."""

import ssl
from pathlib import Path

import pytest

from actors.nodes import LightningOptions, LndNode, LookState, NodeFault, Wish
from actors.nodes.bolt11_text import read
from tests.support.certificates import self_signed
from tests.support.lightning import MACAROON, NOW_S, FakeNode, lnd

WISH = Wish("i-1", 1_234, "for the work", 3_600, NOW_S * 1_000_000)


def opened(server: FakeNode, macaroon: str = MACAROON, tls_cert: str = "") -> LndNode:
    return LndNode(LightningOptions(backend="lnd", url=server.url + "/", tls_cert=tls_cert), macaroon)


async def issued(server: FakeNode, node: LndNode) -> str:
    return read((await node.issue(WISH)).request, "bc").payment_hash


async def test_an_invoice_is_added_as_the_interface_wants_it() -> None:
    async with lnd() as server:
        node = opened(server)
        made = read((await node.issue(WISH)).request, "bc")
        assert (made.amount_msat, made.payment_hash in server.invoices) == (1_234, True)
        assert server.bodies == [{"memo": "for the work", "value_msat": "1234", "expiry": "3600"}]
        await node.close()


async def test_an_invoice_is_open_until_it_is_paid_and_then_proved() -> None:
    async with lnd() as server:
        node = opened(server)
        payment_hash = await issued(server, node)
        assert (await node.look(payment_hash)).state is LookState.OPEN
        server.pay(payment_hash, more_msat=6)
        look = await node.look(payment_hash)
        assert (look.state, look.received_msat) == (LookState.SETTLED, 1_240)
        assert look.preimage == server.invoices[payment_hash].preimage.hex()
        await node.close()


async def test_a_preimage_that_is_told_before_the_payment_is_not_taken_for_one() -> None:
    async with lnd() as server:
        node = opened(server)
        assert (await node.look(await issued(server, node))).preimage == ""
        await node.close()


async def test_cancelled_and_unknown_invoices_are_told_apart() -> None:
    async with lnd() as server:
        node = opened(server)
        payment_hash = await issued(server, node)
        server.invoices[payment_hash].is_cancelled = True
        assert (await node.look(payment_hash)).state is LookState.CANCELLED
        assert (await node.look("00" * 32)).state is LookState.UNKNOWN
        await node.close()


async def test_a_wrong_macaroon_is_a_fault_that_does_not_name_it() -> None:
    async with lnd() as server:
        node = opened(server, "beef")
        with pytest.raises(NodeFault, match="HTTP 401: verification failed") as caught:
            await node.issue(WISH)
        assert "beef" not in str(caught.value)
        await node.close()


async def test_a_certificate_of_the_nodes_own_is_trusted_alone(tmp_path: Path) -> None:
    own, other = self_signed(tmp_path / "own"), self_signed(tmp_path / "other")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(own.certificate, own.key)
    async with lnd(tls=tls) as server:
        node = opened(server, tls_cert=str(own.certificate))
        assert (await node.issue(WISH)).request.startswith("lnbc")
        await node.close()
        for trusted in (str(other.certificate), ""):
            stranger = opened(server, tls_cert=trusted)
            with pytest.raises(NodeFault, match="no answer: ClientConnectorCertificateError"):
                await stranger.issue(WISH)
            await stranger.close()


async def test_a_certificate_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    node = LndNode(LightningOptions(backend="lnd", url="https://127.0.0.1:1", tls_cert=str(tmp_path / "no")), "00")
    with pytest.raises(NodeFault, match="cannot be used"):
        await node.look("00" * 32)
