"""What a Lightning backend is to the actor that uses it.

Rules: a backend is asked for two things, to make an invoice and to say what became of one; both may be asked again
without harm. It never decides that an invoice is settled: it hands over the preimage, and the rules check it. Whatever
goes wrong on the way is one `NodeFault`.
"""

from enum import StrEnum
from typing import Protocol

import msgspec

from bus.messages.base import Microseconds


class NodeFault(Exception):
    """The backend gave no usable answer; the words say why, and never hold a key."""


class Wish(msgspec.Struct, frozen=True):
    """The invoice that is wanted."""

    invoice: str
    amount_msat: int
    description: str
    expiry_s: int
    created_us: Microseconds


class Issued(msgspec.Struct, frozen=True):
    """What the backend made: the BOLT11 text."""

    request: str


class LookState(StrEnum):
    OPEN = "open"
    SETTLED = "settled"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """The backend knows no such invoice."""


class Look(msgspec.Struct, frozen=True):
    """What the backend says of an invoice. The preimage is in hex; it is a claim until it is checked."""

    state: LookState
    preimage: str = ""
    received_msat: int = 0


class Node(Protocol):
    """A backend."""

    @property
    def name(self) -> str:
        """What its invoices are marked with."""

    async def issue(self, wish: Wish) -> Issued:
        """Make an invoice. Raises `NodeFault`."""

    async def look(self, payment_hash: str) -> Look:
        """What became of the invoice with that hash, in hex. Raises `NodeFault`."""

    async def close(self) -> None:
        """Give back what is held."""
