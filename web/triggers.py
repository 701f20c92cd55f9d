"""HTTP for triggers: tasks that are posted, and actors that are woken, when something has happened."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bus.messages.triggers import (
    TRIGGERS,
    CancelTrigger,
    CreateTrigger,
    ListTriggers,
    TriggerPage,
    TriggerSpec,
    TriggerView,
)
from bus.refusals import NotPermitted
from web.api import idempotency_key
from web.edge import Edge, accepted, json, read_body
from web.operation import described


class TriggersApi:
    """The endpoints for triggers."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> list[Route]:
        return [
            Route("/api/triggers", self.list_triggers, methods=["GET"]),
            Route("/api/triggers", self.create, methods=["POST"]),
            Route("/api/triggers/{trigger}/cancel", self.cancel, methods=["POST"]),
        ]

    @described("triggers, newest first, with what they have fired for", scope="read", answer=TriggerPage)
    async def list_triggers(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        return json((await self._edge.ask(TRIGGERS, ListTriggers())).message)

    @described(
        "post a task, or wake an actor, for each event that matches, or when a position is reached (`at`)",
        scope="task",
        body=TriggerSpec,
        answer=TriggerView,
        status=201,
        is_positioned=True,
    )
    async def create(self, request: Request) -> Response:
        principal = self._edge.authorise(request, "task")
        spec = await read_body(request, TriggerSpec)
        if spec.wake and not principal.may("admin"):
            raise NotPermitted(f"{principal.name} lacks the scope admin, which waking an actor needs")
        return accepted(await self._edge.ask(TRIGGERS, CreateTrigger(spec, idempotency_key(request))), 201)

    @described("a trigger fires no more", scope="task", answer=TriggerView, is_positioned=True)
    async def cancel(self, request: Request) -> Response:
        self._edge.authorise(request, "task")
        command = CancelTrigger(request.path_params["trigger"])
        return accepted(await self._edge.ask(TRIGGERS, command), 200)
