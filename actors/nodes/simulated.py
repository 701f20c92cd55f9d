"""A backend that is none: it writes real BOLT11 texts that nobody can pay, and never settles by itself.

Rules: its invoices are of a private network and signed with a key that everybody knows, so no wallet pays them; their
preimages follow from the invoice, so that a restart needs no memory. Looking at one says that it is open, always.
"""

import hashlib

import anyio.to_thread

from actors.nodes import bolt11_text
from actors.nodes.bolt11_text import BadInvoice, Draft
from actors.nodes.node import Issued, Look, LookState, NodeFault, Wish
from actors.rules.invoices import SIMULATED
from bus.messages.base import Microseconds

NETWORK = "bcrt"
KEY = hashlib.sha256(b"agora: a simulated node; this key is public").hexdigest()


class SimulatedNode:
    """The backend for trying things out."""

    @property
    def name(self) -> str:
        return SIMULATED

    async def issue(self, wish: Wish) -> Issued:
        secret = hashlib.sha256(b"secret of " + preimage_of(wish.invoice, wish.created_us)).hexdigest()
        draft = Draft(
            network=NETWORK,
            amount_msat=wish.amount_msat,
            description=wish.description or f"simulated invoice {wish.invoice}",
            payment_hash=bolt11_text.hash_of(preimage_of(wish.invoice, wish.created_us)),
            payment_secret=secret,
            created_s=wish.created_us // 1_000_000,
            expiry_s=wish.expiry_s,
        )
        try:
            return Issued(await anyio.to_thread.run_sync(bolt11_text.write, draft, KEY))
        except BadInvoice as error:
            raise NodeFault(str(error)) from error

    async def look(self, payment_hash: str) -> Look:
        return Look(LookState.OPEN)

    async def close(self) -> None:
        """It holds nothing."""


def preimage_of(invoice: str, created_us: Microseconds) -> bytes:
    """What proves that a simulated invoice was paid: anybody can tell it, for it is worth nothing."""
    return hashlib.sha256(f"simulated {invoice} {created_us}".encode()).digest()
