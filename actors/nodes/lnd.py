"""LND, through its REST interface.

The macaroon stands in the header `Grpc-Metadata-macaroon`, in hex. Bytes are base64 in JSON, 64-bit integers are
strings. An invoice's state says whether it was paid; the preimage alone does not, since LND tells it from the start.

Source: LND's API reference, `AddInvoice` (POST /v1/invoices) and `LookupInvoice` (GET /v1/invoice/{r_hash_str}).
"""

import base64
import binascii
from typing import Literal

import msgspec

from actors.nodes.node import Issued, Look, LookState, NodeFault, Wish
from actors.nodes.options import LightningOptions
from actors.nodes.rest import Rest, parsed

NOT_FOUND = 404


class LndNode:
    """A backend that speaks to LND."""

    def __init__(self, options: LightningOptions, macaroon: str) -> None:
        self._rest = Rest(options, {"Grpc-Metadata-macaroon": macaroon})

    @property
    def name(self) -> str:
        return "lnd"

    async def issue(self, wish: Wish) -> Issued:
        body = {
            "memo": wish.description or f"invoice {wish.invoice}",
            "value_msat": str(wish.amount_msat),
            "expiry": str(wish.expiry_s),
        }
        return Issued(parsed(await self._rest.post("/v1/invoices", body), _Added).payment_request)

    async def look(self, payment_hash: str) -> Look:
        answer = await self._rest.get(f"/v1/invoice/{payment_hash}")
        if answer.status == NOT_FOUND:
            return Look(LookState.UNKNOWN)
        invoice = parsed(answer, _Invoice, is_strict=False)  # 64-bit integers come as strings
        match invoice.state:
            case "SETTLED":
                return Look(LookState.SETTLED, _hex(invoice.r_preimage), invoice.amt_paid_msat)
            case "CANCELED":
                return Look(LookState.CANCELLED)
            case "OPEN" | "ACCEPTED":
                return Look(LookState.OPEN)

    async def close(self) -> None:
        await self._rest.close()


class _Added(msgspec.Struct):
    payment_request: str


class _Invoice(msgspec.Struct):
    state: Literal["OPEN", "SETTLED", "CANCELED", "ACCEPTED"] = "OPEN"
    r_preimage: str = ""
    amt_paid_msat: int = 0


def _hex(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).hex()
    except binascii.Error as error:
        raise NodeFault("its preimage is not base64") from error
