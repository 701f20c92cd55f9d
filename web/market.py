"""HTTP for programs that work as agents: register, bid, keep the lease alive, report.

Rules: the scope `agent` is needed, and a token for one agent speaks for that one alone. What is said here is what the
socket's methods say (`web.work`). A result may come as text: it is written as an artifact of the agent's first.
"""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bus.messages.agents import AgentAccepted, RetireAgent, agent_address
from bus.messages.artifacts import ARTIFACTS, WriteArtifact
from bus.messages.base import AgentId, Done, TaskId
from bus.messages.quotas import QUOTAS, ReserveQuota
from bus.messages.tasks import LeaseRenewed, TaskAccepted
from bus.refusals import InvalidField, NotPermitted
from web.auth import Principal
from web.edge import Edge, accepted, read_body
from web.operation import described
from web.work import Say, request_of


class RegisterBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/agents`."""

    capabilities: tuple[str, ...]
    agent: str = ""
    concurrency_max: int = 1


class BidBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/tasks/{task}/bids`; a price of 0 declines."""

    price_msat: int = 0
    agent: str = ""


class AttemptBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/tasks/{task}/start` and `/heartbeat`."""

    attempt: int
    agent: str = ""


class CompleteBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/tasks/{task}/complete`."""

    attempt: int
    agent: str = ""
    summary: str = ""
    artifact: str = ""
    """An artifact that is written already."""
    text: str = ""
    """Or the result itself, which becomes one."""


class FailBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/tasks/{task}/fail`."""

    attempt: int
    reason: str
    agent: str = ""
    is_retryable: bool = True


class RetireBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/agents/{agent}/retire`."""

    reason: str = ""


class MarketApi:
    """The endpoints of agents' own programs."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> list[Route]:
        return [
            Route("/api/agents", self.register, methods=["POST"]),
            Route("/api/agents/{agent}/retire", self.retire, methods=["POST"]),
            Route("/api/tasks/{task}/bids", self.bid, methods=["POST"]),
            Route("/api/tasks/{task}/start", self.start, methods=["POST"]),
            Route("/api/tasks/{task}/heartbeat", self.heartbeat, methods=["POST"]),
            Route("/api/tasks/{task}/complete", self.complete, methods=["POST"]),
            Route("/api/tasks/{task}/fail", self.fail, methods=["POST"]),
        ]

    @described(
        "register an agent of a program's own",
        scope="agent",
        body=RegisterBody,
        answer=AgentAccepted,
        status=201,
        is_positioned=True,
    )
    async def register(self, request: Request) -> Response:
        principal = self._edge.authorise(request, "agent")
        body = await read_body(request, RegisterBody)
        say = Say(agent=body.agent, capabilities=body.capabilities, concurrency_max=body.concurrency_max)
        return await self._say("agent.register", say, principal, 201)

    @described(
        "the agent gives back what it holds and leaves for good",
        scope="agent",
        body=RetireBody,
        answer=Done,
        is_positioned=True,
    )
    async def retire(self, request: Request) -> Response:
        principal = self._edge.authorise(request, "agent")
        body = await read_body(request, RetireBody)
        agent = request.path_params["agent"]
        if not principal.may_speak_for(agent):
            raise NotPermitted(f"{principal.name} may not speak for {agent}")
        return accepted(await self._edge.ask(agent_address(AgentId(agent)), RetireAgent(body.reason)), 200)

    @described(
        "bid in the open auction; a price of 0 declines",
        scope="agent",
        body=BidBody,
        answer=TaskAccepted,
        is_positioned=True,
    )
    async def bid(self, request: Request) -> Response:
        principal = self._edge.authorise(request, "agent")
        body = await read_body(request, BidBody)
        say = Say(agent=body.agent, task=request.path_params["task"], price_msat=body.price_msat)
        return await self._say("bid.submit" if body.price_msat else "bid.decline", say, principal)

    @described(
        "the holder of the lease begins",
        scope="agent",
        body=AttemptBody,
        answer=TaskAccepted,
        is_positioned=True,
    )
    async def start(self, request: Request) -> Response:
        return await self._attempt(request, "work.start")

    @described(
        "the lease runs for another period",
        scope="agent",
        body=AttemptBody,
        answer=LeaseRenewed,
        is_positioned=True,
    )
    async def heartbeat(self, request: Request) -> Response:
        return await self._attempt(request, "work.heartbeat")

    @described(
        "deliver the result: `text`, or an `artifact` that is written",
        scope="agent",
        body=CompleteBody,
        answer=TaskAccepted,
        is_positioned=True,
    )
    async def complete(self, request: Request) -> Response:
        principal = self._edge.authorise(request, "agent")
        body = await read_body(request, CompleteBody)
        if body.text and body.artifact:
            raise InvalidField("text", "stands for an artifact; name one or the other")
        task = request.path_params["task"]
        say = Say(agent=body.agent, task=task, attempt=body.attempt, artifact=body.artifact, summary=body.summary)
        if body.text:
            await self._say("work.heartbeat", say, principal)  # refused unless the lease is the agent's
            write = WriteArtifact(
                name=f"result of {task}",
                text=body.text,
                owner=body.agent or principal.agent,
                task=TaskId(task),
                idempotency_key=f"{task}/{body.attempt}/given",
            )
            # The disk is counted as any agent's; a lost answer leaves it counted, and a repeat counts again.
            wish = ReserveQuota(AgentId(write.owner), disk_bytes=len(body.text.encode()))
            await self._edge.ask(QUOTAS, wish)
            written = (await self._edge.ask(ARTIFACTS, write)).message
            say = msgspec.structs.replace(say, artifact=written.artifact)
        return await self._say("work.complete", say, principal)

    @described(
        "give the task back",
        scope="agent",
        body=FailBody,
        answer=TaskAccepted,
        is_positioned=True,
    )
    async def fail(self, request: Request) -> Response:
        principal = self._edge.authorise(request, "agent")
        body = await read_body(request, FailBody)
        say = Say(
            agent=body.agent,
            task=request.path_params["task"],
            attempt=body.attempt,
            reason=body.reason,
            is_retryable=body.is_retryable,
        )
        return await self._say("work.fail", say, principal)

    async def _attempt(self, request: Request, method: str) -> Response:
        principal = self._edge.authorise(request, "agent")
        body = await read_body(request, AttemptBody)
        say = Say(agent=body.agent, task=request.path_params["task"], attempt=body.attempt)
        return await self._say(method, say, principal)

    async def _say(self, method: str, say: Say, principal: Principal, status: int = 200) -> Response:
        to, command = request_of(method, say, principal)
        return accepted(await self._edge.ask(to, command), status)
