"""HTTP for the work: tasks, agents, artifacts.

Rules: every endpoint authorises first. A POST that creates takes an `Idempotency-Key`; its answer carries the position
of the first event that it caused. An artifact's content is never a page: plain text, not to be sniffed, sandboxed.
"""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bus.messages.agents import AgentView, PauseAgent, ReadAgent, ResumeAgent, agent_address
from bus.messages.artifacts import (
    ARTIFACTS,
    ArtifactPage,
    ArtifactView,
    ListArtifacts,
    ReadArtifact,
    ReadArtifactContent,
    WriteArtifact,
)
from bus.messages.base import AgentId, ArtifactId, Command, Done, TaskId
from bus.messages.tasks import (
    COORDINATOR,
    CancelTask,
    CreateTask,
    Leases,
    ListTasks,
    ReadLeases,
    ReadTask,
    TaskAccepted,
    TaskPage,
    TaskSpec,
    TaskState,
    TaskView,
)
from bus.refusals import InvalidField, NotPermitted
from web.documents import Object
from web.edge import Edge, accepted, json, raw_json, read_body
from web.operation import PAGE, TEXT, Text, described
from web.parameters import TEXT_MAX, Parameters
from web.wire import decode

CONTENT_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    "content-disposition": "inline",
}
MEDIA_TYPES = frozenset(("text/plain", "text/markdown", "text/html", "application/json"))
"""What a text may be called. It is always served as plain text."""


class CancelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/tasks/{id}/cancel`."""

    reason: str = ""


class ArtifactBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/artifacts`."""

    name: str
    text: str
    media_type: str = "text/plain"


class AgentsPart(msgspec.Struct, frozen=True):
    """The part of the state that `GET /api/agents` shows."""

    agents: msgspec.Raw


class WorkApi:
    """The endpoints for tasks, agents and artifacts."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> list[Route]:
        return [
            Route("/api/tasks", self.list_tasks, methods=["GET"]),
            Route("/api/tasks", self.create_task, methods=["POST"]),
            Route("/api/tasks/{task}", self.show_task, methods=["GET"]),
            Route("/api/tasks/{task}/cancel", self.cancel_task, methods=["POST"]),
            Route("/api/leases", self.list_leases, methods=["GET"]),
            Route("/api/agents", self.list_agents, methods=["GET"]),
            Route("/api/agents/{agent}", self.show_agent, methods=["GET"]),
            Route("/api/agents/{agent}/pause", self.pause_agent, methods=["POST"]),
            Route("/api/agents/{agent}/resume", self.resume_agent, methods=["POST"]),
            Route("/api/artifacts", self.list_artifacts, methods=["GET"]),
            Route("/api/artifacts", self.write_artifact, methods=["POST"]),
            Route("/api/artifacts/{artifact}", self.show_artifact, methods=["GET"]),
            Route("/api/artifacts/{artifact}/content", self.show_content, methods=["GET"]),
        ]

    @described("tasks, newest first", scope="read", answer=TaskPage, query={"state": Text, **PAGE})
    async def list_tasks(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        wish = Parameters(request, ("state", "limit", "after"))
        query = ListTasks(_state(wish.text("state")), wish.limit(), TaskId(wish.text("after")))
        return json((await self._edge.ask(COORDINATOR, query)).message)

    @described(
        "create a task; `after` names tasks that must be done before it",
        scope="task",
        body=TaskSpec,
        answer=TaskAccepted,
        status=201,
        is_positioned=True,
    )
    async def create_task(self, request: Request) -> Response:
        self._edge.authorise(request, "task")
        spec = await read_body(request, TaskSpec)
        return accepted(await self._edge.ask(COORDINATOR, CreateTask(spec, idempotency_key(request))), 201)

    @described("one task", scope="read", answer=TaskView)
    async def show_task(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        query = ReadTask(TaskId(request.path_params["task"]))
        return json((await self._edge.ask(COORDINATOR, query)).message)

    @described(
        "who has which task, and until when without a heartbeat; the first to end first", scope="read", answer=Leases
    )
    async def list_leases(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        return json((await self._edge.ask(COORDINATOR, ReadLeases())).message)

    @described("withdraw a task", scope="task", body=CancelBody, answer=TaskAccepted, is_positioned=True)
    async def cancel_task(self, request: Request) -> Response:
        self._edge.authorise(request, "task")
        body = await read_body(request, CancelBody)
        command = CancelTask(TaskId(request.path_params["task"]), body.reason)
        return accepted(await self._edge.ask(COORDINATOR, command), 200)

    @described("all agents", scope="read", answer=Object)
    async def list_agents(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        return raw_json(bytes(decode(self._edge.hub.state(), AgentsPart).agents))

    @described("one agent", scope="read", answer=AgentView)
    async def show_agent(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        return json(await self._read_agent(request.path_params["agent"]))

    @described("the agent takes no new work", scope="agent", answer=Done, is_positioned=True)
    async def pause_agent(self, request: Request) -> Response:
        return await self._command_agent(request, PauseAgent())

    @described("the agent takes work again", scope="agent", answer=Done, is_positioned=True)
    async def resume_agent(self, request: Request) -> Response:
        return await self._command_agent(request, ResumeAgent())

    @described("artifacts, newest first", scope="read", answer=ArtifactPage, query=PAGE)
    async def list_artifacts(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        wish = Parameters(request, ("limit", "after"))
        query = ListArtifacts(wish.limit(), ArtifactId(wish.text("after")))
        return json((await self._edge.ask(ARTIFACTS, query)).message)

    @described(
        "write an artifact",
        scope="task",
        body=ArtifactBody,
        answer=ArtifactView,
        status=201,
        is_positioned=True,
    )
    async def write_artifact(self, request: Request) -> Response:
        principal = self._edge.authorise(request, "task")
        body = await read_body(request, ArtifactBody)
        if body.media_type not in MEDIA_TYPES:
            raise InvalidField("media_type", f"is none of {', '.join(sorted(MEDIA_TYPES))}")
        command = WriteArtifact(
            name=body.name,
            text=body.text,
            media_type=body.media_type,
            owner=principal.name,
            idempotency_key=idempotency_key(request),
        )
        return accepted(await self._edge.ask(ARTIFACTS, command), 201)

    @described("what an artifact is", scope="read", answer=ArtifactView)
    async def show_artifact(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        query = ReadArtifact(ArtifactId(request.path_params["artifact"]))
        return json((await self._edge.ask(ARTIFACTS, query)).message)

    @described("an artifact's text", scope="read", media_types=(TEXT,))
    async def show_content(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        query = ReadArtifactContent(ArtifactId(request.path_params["artifact"]))
        content = (await self._edge.ask(ARTIFACTS, query)).message
        return Response(content.text, 200, CONTENT_HEADERS, "text/plain; charset=utf-8")

    async def _read_agent(self, agent: str) -> AgentView:
        return (await self._edge.ask(agent_address(AgentId(agent)), ReadAgent())).message

    async def _command_agent(self, request: Request, command: Command[Done]) -> Response:
        principal = self._edge.authorise(request, "agent")
        agent = request.path_params["agent"]
        if not principal.may_speak_for(agent):
            raise NotPermitted(f"{principal.name} may not speak for {agent}")
        return accepted(await self._edge.ask(agent_address(AgentId(agent)), command), 200)


def idempotency_key(request: Request) -> str:
    """The request's key, or empty. Raises InvalidField when it is too long."""
    key = request.headers.get("idempotency-key", "")
    if len(key) > TEXT_MAX:
        raise InvalidField("Idempotency-Key", f"is longer than {TEXT_MAX} characters")
    return key


def _state(text: str) -> TaskState | None:
    if not text:
        return None
    if text not in tuple(TaskState):
        raise InvalidField("state", f"is none of {', '.join(TaskState)}")
    return TaskState(text)
