"""The part of the Python SDK for Lightning.

Rules: each call is one request over HTTP, repeated as the client repeats all of them; a refusal raises `RequestFailed`.
"""

import msgspec

from bus.messages.base import AccountId
from bus.messages.ledger import TREASURY
from bus.messages.lightning import InvoicePage, InvoiceView
from web.agent_client import Post
from web.approvals_client import Get


class InvoicesClient:
    """Money from outside. Made by `AgoraClient.invoices`."""

    def __init__(self, get: Get, post: Post) -> None:
        self._get = get
        self._post = post

    async def create(
        self,
        amount_msat: int,
        *,
        account: AccountId = TREASURY,
        description: str = "",
        expiry_s: int = 0,
        key: str = "",
    ) -> InvoiceView:
        """Have an invoice made. The same key with the same fields gives the same invoice."""
        body = {"amount_msat": amount_msat, "account": account, "description": description, "expiry_s": expiry_s}
        return _view(await self._post("/api/ledger/invoices", body, dict[str, msgspec.Raw], key=key))

    async def show(self, invoice: str) -> InvoiceView:
        """One invoice."""
        return await self._get(f"/api/ledger/invoices/{invoice}", InvoiceView)

    async def all(self, *, state: str = "", limit: int = 50) -> InvoicePage:
        """Invoices, newest first."""
        return await self._get("/api/ledger/invoices", InvoicePage, state=state, limit=str(limit))

    async def settle(self, invoice: str, preimage: str = "") -> InvoiceView:
        """Play the payer of a simulated invoice."""
        path = f"/api/ledger/invoices/{invoice}/settle"
        return _view(await self._post(path, {"preimage": preimage}, dict[str, msgspec.Raw]))


def _view(answer: dict[str, msgspec.Raw]) -> InvoiceView:
    answer.pop("position", None)
    return msgspec.json.decode(msgspec.json.encode(answer), type=InvoiceView)
