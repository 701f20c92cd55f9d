"""LNbits, through its REST interface.

The wallet's invoice key stands in the header `X-Api-Key`. Amounts are asked for in whole satoshi and told in
millisatoshi. A webhook carries nothing that is believed: it makes us ask.

Source: LNbits' API reference, POST /api/v1/payments and GET /api/v1/payments/{payment_hash}.
"""

import msgspec

from actors.nodes.node import Issued, Look, LookState, NodeFault, Wish
from actors.nodes.options import LightningOptions
from actors.nodes.rest import Rest, parsed

NOT_FOUND = 404
MSAT_PER_SAT = 1_000


class LnbitsNode:
    """A backend that speaks to LNbits."""

    def __init__(self, options: LightningOptions, key: str) -> None:
        self._rest = Rest(options, {"X-Api-Key": key})
        self._webhook_url = options.webhook_url

    @property
    def name(self) -> str:
        return "lnbits"

    async def issue(self, wish: Wish) -> Issued:
        if wish.amount_msat % MSAT_PER_SAT:
            raise NodeFault("it makes invoices over whole satoshi only: the amount must be a multiple of 1000 msat")
        body = {
            "out": False,
            "amount": wish.amount_msat // MSAT_PER_SAT,
            "unit": "sat",
            "memo": wish.description or f"invoice {wish.invoice}",
            "expiry": wish.expiry_s,
            **({"webhook": self._webhook_url} if self._webhook_url else {}),
        }
        made = parsed(await self._rest.post("/api/v1/payments", body), _Made)
        if not (made.bolt11 or made.payment_request):
            raise NodeFault("its answer holds no invoice")
        return Issued(made.bolt11 or made.payment_request)

    async def look(self, payment_hash: str) -> Look:
        answer = await self._rest.get(f"/api/v1/payments/{payment_hash}")
        if answer.status == NOT_FOUND:
            return Look(LookState.UNKNOWN)
        payment = parsed(answer, _Payment)
        if payment.paid:
            return Look(LookState.SETTLED, payment.preimage or payment.details.preimage or "", payment.details.amount)
        return Look(LookState.CANCELLED if payment.details.status == "failed" else LookState.OPEN)

    async def close(self) -> None:
        await self._rest.close()


class _Made(msgspec.Struct):
    """Older releases say `payment_request`, newer ones `bolt11`."""

    payment_request: str = ""
    bolt11: str = ""


class _Details(msgspec.Struct):
    preimage: str | None = ""
    amount: int = 0
    status: str = ""


class _Payment(msgspec.Struct):
    paid: bool
    preimage: str | None = ""
    details: _Details = msgspec.field(default_factory=_Details)
