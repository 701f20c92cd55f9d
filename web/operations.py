"""HTTP for those who run it: money, the cascade, checkpoints, the journal, health.

Rules: health says the truth from the outside: ready only when nothing is complained of and the journal answers.
"""

from typing import Annotated

import msgspec
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bus.errors import AgoraError
from bus.messages.base import AccountId, Done, TransferId
from bus.messages.completions import ROUTER, DisableProvider, EnableProvider, ReadRouter, RouterView, SetBudget
from bus.messages.ledger import (
    LEDGER,
    Balances,
    CheckConservation,
    Conservation,
    ReadBalances,
    ReadTransfer,
    Transfer,
    TransferView,
)
from bus.messages.monitor import MONITOR, HaltSystem, ReadMonitor, ResumeSystem
from bus.messages.routing import ReorderProviders
from bus.messages.system import (
    JOURNAL,
    CheckpointPage,
    CheckpointsPruned,
    CheckpointView,
    ListCheckpoints,
    PinCheckpoint,
    PruneCheckpoints,
    ReadJournal,
    SaveCheckpoint,
)
from bus.refusals import NotFound
from web import cascade_metrics, metrics
from web.documents import HealthDocument, ReadyDocument, SystemDocument
from web.edge import Edge, accepted, json, read_body
from web.feed import Feed
from web.gateway import CHECKPOINT_TIMEOUT_S
from web.operation import TEXT, described
from web.problems import code_of

HEALTH_TIMEOUT_S = 2.0


class BudgetBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/router/budget`."""

    run_usd_micros: int


class OrderBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/router/order`."""

    providers: tuple[str, ...]


class ProviderBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PATCH /api/router/providers/{name}`."""

    enabled: bool
    reason: str = ""


class CheckpointBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/checkpoints`."""

    label: str = ""


class PinBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PATCH /api/checkpoints/{checkpoint}`."""

    pinned: bool


class PruneBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/checkpoints/prune`."""

    keep: Annotated[int, msgspec.Meta(ge=1)]


class HaltBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/system/halt`."""

    reason: str = ""


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body without fields."""


class OperationsApi:
    """The endpoints for the ledger, the router, checkpoints and the system."""

    def __init__(self, edge: Edge, feed: Feed) -> None:
        self._edge = edge
        self._feed = feed

    def routes(self) -> list[Route]:
        return [
            Route("/api/ledger/accounts", self.list_accounts, methods=["GET"]),
            Route("/api/ledger/accounts/{account:path}", self.show_account, methods=["GET"]),
            Route("/api/ledger/check", self.check_ledger, methods=["GET"]),
            Route("/api/ledger/transfers", self.transfer, methods=["POST"]),
            Route("/api/ledger/transfers/{transfer:path}", self.show_transfer, methods=["GET"]),
            Route("/api/router", self.show_router, methods=["GET"]),
            Route("/api/router/budget", self.set_budget, methods=["POST"]),
            Route("/api/router/order", self.reorder_providers, methods=["POST"]),
            Route("/api/router/providers/{provider}", self.switch_provider, methods=["PATCH"]),
            Route("/api/checkpoints", self.list_checkpoints, methods=["GET"]),
            Route("/api/checkpoints", self.save_checkpoint, methods=["POST"]),
            Route("/api/checkpoints/prune", self.prune_checkpoints, methods=["POST"]),
            Route("/api/checkpoints/{checkpoint}", self.pin_checkpoint, methods=["PATCH"]),
            Route("/api/system", self.show_system, methods=["GET"]),
            Route("/api/system/halt", self.halt, methods=["POST"]),
            Route("/api/system/resume", self.resume, methods=["POST"]),
            Route("/healthz", self.healthz, methods=["GET"]),
            Route("/readyz", self.readyz, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]

    @described("all balances", scope="read", answer=Balances)
    async def list_accounts(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        return json((await self._edge.ask(LEDGER, ReadBalances())).message)

    @described("the balances of one account, such as `agents/scout`", scope="read", answer=Balances)
    async def show_account(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        account = request.path_params["account"]
        found = (await self._edge.ask(LEDGER, ReadBalances(AccountId(account)))).message
        if not found.balances:
            raise NotFound("account", account)
        return json(found)

    @described("the proof that all postings sum to zero", scope="read", answer=Conservation)
    async def check_ledger(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        return json((await self._edge.ask(LEDGER, CheckConservation())).message)

    @described(
        "move money; `transfer` is its id",
        scope="ledger",
        body=Transfer,
        answer=TransferView,
        status=201,
        is_positioned=True,
    )
    async def transfer(self, request: Request) -> Response:
        self._edge.authorise(request, "ledger")
        command = await read_body(request, Transfer)
        return accepted(await self._edge.ask(LEDGER, command), 201)

    @described("what became of a transfer", scope="read", answer=TransferView)
    async def show_transfer(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        query = ReadTransfer(TransferId(request.path_params["transfer"]))
        return json((await self._edge.ask(LEDGER, query)).message)

    @described("the cascade: breakers, windows, latencies, spend", scope="read", answer=RouterView)
    async def show_router(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        return json((await self._edge.ask(ROUTER, ReadRouter())).message)

    @described(
        "the money that the run may spend; 0 lifts the limit",
        scope="admin",
        body=BudgetBody,
        answer=Done,
        is_positioned=True,
    )
    async def set_budget(self, request: Request) -> Response:
        self._edge.authorise(request, "admin")
        body = await read_body(request, BudgetBody)
        return accepted(await self._edge.ask(ROUTER, SetBudget(body.run_usd_micros)), 200)

    @described(
        "those named are asked first, in this order",
        scope="admin",
        body=OrderBody,
        answer=Done,
        is_positioned=True,
    )
    async def reorder_providers(self, request: Request) -> Response:
        self._edge.authorise(request, "admin")
        body = await read_body(request, OrderBody)
        return accepted(await self._edge.ask(ROUTER, ReorderProviders(body.providers)), 200)

    @described(
        "let a provider be asked, or no longer", scope="admin", body=ProviderBody, answer=Done, is_positioned=True
    )
    async def switch_provider(self, request: Request) -> Response:
        self._edge.authorise(request, "admin")
        body = await read_body(request, ProviderBody)
        provider = request.path_params["provider"]
        command = EnableProvider(provider) if body.enabled else DisableProvider(provider, body.reason)
        return accepted(await self._edge.ask(ROUTER, command), 200)

    @described(
        "what checkpoints are kept, and which are damaged as far as their manifests tell; `verify` proves all of one",
        scope="read",
        answer=CheckpointPage,
    )
    async def list_checkpoints(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        return json((await self._edge.ask(JOURNAL, ListCheckpoints())).message)

    @described(
        "save a checkpoint now",
        scope="admin",
        body=CheckpointBody,
        answer=CheckpointView,
        status=201,
        is_positioned=True,
    )
    async def save_checkpoint(self, request: Request) -> Response:
        self._edge.authorise(request, "admin")
        body = await read_body(request, CheckpointBody)
        command = SaveCheckpoint(label=body.label)
        return accepted(await self._edge.ask(JOURNAL, command, timeout_s=CHECKPOINT_TIMEOUT_S), 201)

    @described(
        "let a checkpoint stay, or no longer; by its id, position, `step:N`, label, time, or `newest`",
        scope="admin",
        body=PinBody,
        answer=CheckpointView,
    )
    async def pin_checkpoint(self, request: Request) -> Response:
        self._edge.authorise(request, "admin")
        body = await read_body(request, PinBody)
        command = PinCheckpoint(request.path_params["checkpoint"], body.pinned)
        return json((await self._edge.ask(JOURNAL, command)).message)

    @described(
        "remove all checkpoints but the newest and the pinned ones",
        scope="admin",
        body=PruneBody,
        answer=CheckpointsPruned,
    )
    async def prune_checkpoints(self, request: Request) -> Response:
        self._edge.authorise(request, "admin")
        body = await read_body(request, PruneBody)
        return json((await self._edge.ask(JOURNAL, PruneCheckpoints(body.keep))).message)

    @described(
        "the journal and its watermark, the actor tree, alerts, whether all is halted",
        scope="read",
        answer=SystemDocument,
    )
    async def show_system(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        journal = (await self._edge.ask(JOURNAL, ReadJournal())).message
        hub = self._edge.hub
        feed = {
            "sockets": hub.clients,
            "sockets_max": hub.clients_max,
            "head": hub.head,
            "events_cached": len(hub.ring),
            "bytes_cached": hub.ring.size_bytes,
        }
        watch = (await self._edge.ask(MONITOR, ReadMonitor())).message
        return json(
            {
                "epoch": hub.epoch,
                "journal": journal,
                "feed": feed,
                "complaints": list(self._edge.complaints()),
                "is_halted": watch.is_halted,
                "halted": {"reason": watch.reason, "by": watch.by},
                "alerts": watch.alerts,
                "actors": list(self._edge.actors()),
            }
        )

    @described(
        "stop everything; no new turn, call or assignment begins",
        scope="admin",
        body=HaltBody,
        answer=Done,
        is_positioned=True,
    )
    async def halt(self, request: Request) -> Response:
        """Stop everything: no new turn, call or assignment begins."""
        principal = self._edge.authorise(request, "admin")
        body = await read_body(request, HaltBody)
        return accepted(await self._edge.ask(MONITOR, HaltSystem(body.reason, principal.name)), 200)

    @described("let everything go on where it stood", scope="admin", body=Nothing, answer=Done, is_positioned=True)
    async def resume(self, request: Request) -> Response:
        """Let everything go on where it stood."""
        principal = self._edge.authorise(request, "admin")
        await read_body(request, Nothing)
        return accepted(await self._edge.ask(MONITOR, ResumeSystem(principal.name)), 200)

    @described("the process answers", scope="", answer=HealthDocument)
    async def healthz(self, request: Request) -> Response:
        return json({"ok": True})

    @described(
        "it can work: 503 says that something is in the way", scope="", answer=ReadyDocument, also={503: ReadyDocument}
    )
    async def readyz(self, request: Request) -> Response:
        """503 while anything stands in the way of work. Open to all: it says nothing of what is inside."""
        reasons = list(self._edge.complaints())
        if not self._edge.hub.is_ready:
            reasons.append("the overview has not caught up yet")
        journal = None
        try:
            journal = (await self._edge.ask(JOURNAL, ReadJournal(), timeout_s=HEALTH_TIMEOUT_S)).message
        except AgoraError as error:
            reasons.append(f"the journal does not answer: {code_of(error)}")
        storage: dict[str, object] = {}
        if journal is not None:
            storage = {"watermark": journal.watermark, "watermark_age_ms": journal.watermark_age_ms}
        document = {"ready": not reasons, "reasons": reasons, "storage": storage}
        return json(document, 503 if reasons else 200)

    @described("for Prometheus", scope="read", media_types=(TEXT,))
    async def metrics(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        journal = (await self._edge.ask(JOURNAL, ReadJournal(), timeout_s=HEALTH_TIMEOUT_S)).message
        found = [*metrics.families(self._edge.hub, journal, self._feed.stalled), *await self._cascade()]
        return Response(metrics.exposition(found), 200, {"cache-control": "no-store"}, CONTENT_TYPE_LATEST)

    async def _cascade(self) -> list[Metric]:
        try:
            view = (await self._edge.ask(ROUTER, ReadRouter(), timeout_s=HEALTH_TIMEOUT_S)).message
        except AgoraError:
            return []  # a router that does not answer is told by other metrics, which must come all the same
        return cascade_metrics.families(view)
