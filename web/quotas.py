"""HTTP for quotas: what agents have used of what is scarce."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bus.messages.base import AgentId
from bus.messages.quotas import QUOTAS, QuotaPage, ReadQuotas
from web.edge import Edge, json
from web.operation import Text, described
from web.parameters import Parameters


class QuotasApi:
    """The endpoint for quotas."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> list[Route]:
        return [Route("/api/quotas", self.list_quotas, methods=["GET"])]

    @described(
        "what each agent has used of its quotas in the window that ends now",
        scope="read",
        answer=QuotaPage,
        query={"agent": Text},
    )
    async def list_quotas(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        query = ReadQuotas(AgentId(Parameters(request, ("agent",)).text("agent")))
        return json((await self._edge.ask(QUOTAS, query)).message)
