"""The backend that is none."""

import hashlib

from actors.nodes import LookState, SimulatedNode, Wish
from actors.nodes.bolt11_text import read
from actors.nodes.simulated import NETWORK, preimage_of

NOW_US = 1_800_000_000_000_000
WISH = Wish("i-1", 1_234, "for the work", 3_600, NOW_US)


async def test_its_invoices_are_real_texts_of_a_network_that_no_wallet_pays_on() -> None:
    issued = await SimulatedNode().issue(WISH)
    assert issued.request.startswith("lnbcrt")
    made = read(issued.request, NETWORK)
    assert (made.amount_msat, made.expires_us) == (1_234, NOW_US + 3_600_000_000)
    assert made.payment_hash == hashlib.sha256(preimage_of("i-1", NOW_US)).hexdigest()


async def test_it_never_settles_by_itself() -> None:
    node = SimulatedNode()
    made = read((await node.issue(WISH)).request, NETWORK)
    assert [(await node.look(made.payment_hash)).state for _ in range(3)] == [LookState.OPEN] * 3
    await node.close()


async def test_the_same_wish_gives_the_same_invoice_after_a_restart_too() -> None:
    assert await SimulatedNode().issue(WISH) == await SimulatedNode().issue(WISH)


async def test_an_invoice_without_a_description_says_what_it_is() -> None:
    issued = await SimulatedNode().issue(Wish("i-2", 1, "", 60, NOW_US))
    assert read(issued.request, NETWORK).amount_msat == 1
