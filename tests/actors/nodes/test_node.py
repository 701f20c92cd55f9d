"""What every backend keeps to, the real ones and the simulated one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from actors.nodes import LightningOptions, LnbitsNode, LndNode, LookState, Node, SimulatedNode, Wish
from actors.nodes.bolt11_text import read
from tests.support.lightning import MACAROON, NOW_S, WALLET_KEY, lnbits, lnd

WISH = Wish("i-1", 5_000, "for the work", 900, NOW_S * 1_000_000)
NAMES = ("simulated", "lnd", "lnbits")


@asynccontextmanager
async def opened(name: str) -> AsyncIterator[Node]:
    if name == "simulated":
        yield SimulatedNode()
    elif name == "lnd":
        async with lnd() as server:
            node = LndNode(LightningOptions(backend="lnd", url=server.url), MACAROON)
            yield node
            await node.close()
    else:
        async with lnbits() as server:
            wallet = LnbitsNode(LightningOptions(backend="lnbits", url=server.url), WALLET_KEY)
            yield wallet
            await wallet.close()


@pytest.mark.parametrize("name", NAMES)
async def test_what_is_made_is_what_was_wished_for_and_is_open(name: str) -> None:
    async with opened(name) as node:
        assert node.name == name
        made = read((await node.issue(WISH)).request, "bcrt" if name == "simulated" else "bc")
        assert made.amount_msat == 5_000
        assert made.expires_us == (NOW_S + 900) * 1_000_000
        assert (await node.look(made.payment_hash)).state is LookState.OPEN


@pytest.mark.parametrize("name", NAMES)
async def test_closing_twice_is_no_harm(name: str) -> None:
    async with opened(name) as node:
        await node.close()
        await node.close()
