"""Lightning nodes as tests need them: servers that keep to the public interfaces of LND and LNbits, on loopback.

They know what the documents say of them and no more: paths, headers, encodings, states. `pay` is what a payer does.
"""

import asyncio
import base64
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from actors.nodes import bolt11_text
from actors.nodes.bolt11_text import Draft

KEY = "e126f68f7eafcc8b74f54d269fe206be715000f94dac067d1c04a8ca3b2db734"
"""The private key of the specification's own examples."""
NOW_S = 1_800_000_000
MACAROON = "0201036c6e64"
WALLET_KEY = "an-invoice-key"
UNTIL_MAX_S = 30.0


class Hand(msgspec.Struct):
    """One invoice in the node's books."""

    request: str
    preimage: bytes
    amount_msat: int
    paid_msat: int = 0
    is_cancelled: bool = False

    @property
    def payment_hash(self) -> str:
        return hashlib.sha256(self.preimage).hexdigest()


class FakeNode:
    """What both servers have: invoices, and ways to go wrong."""

    def __init__(self, *, network: str = "bc") -> None:
        self.network = network
        self.invoices: dict[str, Hand] = {}
        self.bodies: list[dict[str, object]] = []
        self.looks = 0
        self.refusals = 0
        self._asked = asyncio.Event()
        self.status = 0
        """An answer instead of the right one, while it is not 0."""
        self.amount_factor = 1
        self.lies = ""
        """A preimage that is told instead of the right one."""
        self.url = ""

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until requests have come that make `holds` true."""
        async with asyncio.timeout(UNTIL_MAX_S):
            while not holds():
                self._asked.clear()
                await self._asked.wait()

    def note(self) -> None:
        """A request has come."""
        self._asked.set()

    def make(self, amount_msat: int, description: str, expiry_s: int) -> Hand:
        preimage = hashlib.sha256(f"{len(self.invoices)}".encode()).digest()
        draft = Draft(
            network=self.network,
            amount_msat=amount_msat * self.amount_factor,
            description=description,
            payment_hash=hashlib.sha256(preimage).hexdigest(),
            payment_secret="11" * 32,
            created_s=NOW_S,
            expiry_s=expiry_s,
        )
        hand = Hand(bolt11_text.write(draft, KEY), preimage, amount_msat)
        self.invoices[hand.payment_hash] = hand
        return hand

    def pay(self, payment_hash: str, more_msat: int = 0) -> None:
        """What a payer does."""
        hand = self.invoices[payment_hash]
        hand.paid_msat = hand.amount_msat + more_msat

    def preimage(self, hand: Hand) -> bytes:
        return bytes.fromhex(self.lies) if self.lies else hand.preimage


async def lnd_added(request: web.Request) -> web.Response:
    """`POST /v1/invoices`."""
    node = request.app[NODE]
    body = await _body(request)
    hand = node.make(int(str(body["value_msat"])), str(body["memo"]), int(str(body["expiry"])))
    r_hash = base64.b64encode(bytes.fromhex(hand.payment_hash)).decode()
    return _json({"r_hash": r_hash, "payment_request": hand.request, "add_index": "1", "payment_addr": "EQ=="})


async def lnd_looked_up(request: web.Request) -> web.Response:
    """`GET /v1/invoice/{r_hash_str}`. LND tells the preimage of its own invoices from the start."""
    node = request.app[NODE]
    node.looks += 1
    hand = node.invoices.get(request.match_info["payment_hash"])
    if hand is None:
        return _json({"code": 5, "message": "unable to locate invoice", "details": []}, 404)
    state = "CANCELED" if hand.is_cancelled else "SETTLED" if hand.paid_msat else "OPEN"
    return _json(
        {
            "memo": "",
            "r_preimage": base64.b64encode(node.preimage(hand)).decode(),
            "r_hash": base64.b64encode(bytes.fromhex(hand.payment_hash)).decode(),
            "value_msat": str(hand.amount_msat),
            "settled": bool(hand.paid_msat),
            "payment_request": hand.request,
            "amt_paid_msat": str(hand.paid_msat),
            "state": state,
        }
    )


async def lnbits_created(request: web.Request) -> web.Response:
    """`POST /api/v1/payments`."""
    node = request.app[NODE]
    body = await _body(request)
    assert body["out"] is False
    assert body["unit"] == "sat"
    amount, expiry = body["amount"], body["expiry"]
    assert isinstance(amount, int)
    assert isinstance(expiry, int)
    hand = node.make(amount * 1_000, str(body["memo"]), expiry)
    answer = {"payment_hash": hand.payment_hash, "checking_id": hand.payment_hash, "bolt11": hand.request}
    return _json(answer, 201)


async def lnbits_checked(request: web.Request) -> web.Response:
    """`GET /api/v1/payments/{payment_hash}`."""
    node = request.app[NODE]
    node.looks += 1
    hand = node.invoices.get(request.match_info["payment_hash"])
    if hand is None:
        return _json({"detail": "Payment does not exist."}, 404)
    if not hand.paid_msat:
        status = "failed" if hand.is_cancelled else "pending"
        return _json({"paid": False, "status": status, "details": {"status": status, "preimage": None, "amount": 0}})
    details = {"status": "success", "preimage": node.preimage(hand).hex(), "amount": hand.paid_msat}
    return _json({"paid": True, "preimage": node.preimage(hand).hex(), "details": details})


NODE = web.AppKey("node", FakeNode)


@asynccontextmanager
async def lnd(*, tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeNode]:
    """LND's REST interface."""
    routes = [web.post("/v1/invoices", lnd_added), web.get("/v1/invoice/{payment_hash}", lnd_looked_up)]
    async with _served(FakeNode(), routes, {"Grpc-Metadata-macaroon": MACAROON}, tls) as node:
        yield node


@asynccontextmanager
async def lnbits() -> AsyncIterator[FakeNode]:
    """LNbits' REST interface."""
    routes = [
        web.post("/api/v1/payments", lnbits_created),
        web.get("/api/v1/payments/{payment_hash}", lnbits_checked),
    ]
    async with _served(FakeNode(), routes, {"X-Api-Key": WALLET_KEY}, None) as node:
        yield node


@asynccontextmanager
async def _served(
    node: FakeNode, routes: list[web.RouteDef], key: dict[str, str], tls: ssl.SSLContext | None
) -> AsyncIterator[FakeNode]:
    [(header, secret)] = key.items()

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await answer(request, handler)
        finally:
            node.note()

    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        if node.status:
            node.refusals += 1
            return _json({"message": "the node is unwell", "detail": "the node is unwell"}, node.status)
        if request.headers.get(header) != secret:
            return _json({"code": 2, "message": "verification failed: signature mismatch"}, 401)
        return await handler(request)

    app = web.Application(middlewares=[guard])
    app[NODE] = node
    app.add_routes(routes)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        port = runner.addresses[0][1]
        node.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        yield node
    finally:
        await runner.cleanup()


async def _body(request: web.Request) -> dict[str, object]:
    body = msgspec.json.decode(await request.read(), type=dict[str, object])
    request.app[NODE].bodies.append(body)
    return body


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")
