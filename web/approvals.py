"""HTTP for approvals: propose, look, decide.

Rules: whoever may post tasks may propose, and agents' own programs may; whoever holds the scope `approve` may decide. A
decision carries the hash of what was read, and a reason; one on anything else, or a second one, is a conflict (409).
Who acts is who the token or the session names, never what the body says. Diffs are plain text, not to be sniffed,
sandboxed.
"""

from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bus.messages.approvals import (
    APPROVALS,
    CHANGE,
    Approve,
    Impact,
    ListProposals,
    ProposalId,
    ProposalPage,
    ProposalState,
    ProposalView,
    ProposeChange,
    ReadProposal,
    ReadProposalContent,
    Reject,
    RequestApproval,
    RollBack,
    Withdraw,
)
from bus.messages.base import Command
from bus.messages.repositories import BranchPage, FollowOutput, ListBranches, OutputPart
from bus.refusals import InvalidField
from web.api import CONTENT_HEADERS, idempotency_key
from web.auth import Principal
from web.edge import Edge, accepted, json, read_body
from web.operation import PAGE, TEXT, PositionText, Text, described
from web.parameters import Parameters

FOLLOW_TIMEOUT_S = 30.0
"""The approvals answer after ten seconds at most, if all is well."""


class ProposalBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/approvals`. Of the kind `change` it names a repository, a branch and a head or a patch."""

    title: str
    kind: str = CHANGE
    detail: str = ""
    impact: Impact = "medium"
    subject: str = ""
    repository: str = ""
    branch: str = ""
    head: str = ""
    patch: str = ""
    paths: tuple[str, ...] = ()


class DecisionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/approvals/{id}/approve|reject|rollback`."""

    hash: str
    reason: str
    version: int = 0


class WithdrawBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/approvals/{id}/withdraw`."""

    reason: str


class ApprovalsApi:
    """The endpoints for approvals."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> list[Route]:
        return [
            Route("/api/approvals", self.list_proposals, methods=["GET"]),
            Route("/api/approvals", self.propose, methods=["POST"]),
            Route("/api/approvals/branches", self.list_branches, methods=["GET"]),
            Route("/api/approvals/{proposal}", self.show, methods=["GET"]),
            Route("/api/approvals/{proposal}/diff", self.show_diff, methods=["GET"]),
            Route("/api/approvals/{proposal}/output", self.show_output, methods=["GET"]),
            Route("/api/approvals/{proposal}/checks", self.follow, methods=["GET"]),
            Route("/api/approvals/{proposal}/approve", self.approve, methods=["POST"]),
            Route("/api/approvals/{proposal}/reject", self.reject, methods=["POST"]),
            Route("/api/approvals/{proposal}/withdraw", self.withdraw, methods=["POST"]),
            Route("/api/approvals/{proposal}/rollback", self.roll_back, methods=["POST"]),
        ]

    @described(
        "what waits for a person's word and what did, newest first; `pending` counts those that wait",
        scope="read",
        answer=ProposalPage,
        query={"state": Text, **PAGE},
    )
    async def list_proposals(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        wish = Parameters(request, ("state", "limit", "after"))
        query = ListProposals(_state(wish.text("state")), wish.limit(), ProposalId(wish.text("after")))
        return json((await self._edge.ask(APPROVALS, query)).message)

    @described(
        "propose something; a change of a git repository names `head`, or a `patch` with `paths`",
        scope="task",
        body=ProposalBody,
        answer=ProposalView,
        status=201,
        is_positioned=True,
    )
    async def propose(self, request: Request) -> Response:
        principal = self._proposer(request)
        body = await read_body(request, ProposalBody)
        return await self._do(_proposal(body, principal, idempotency_key(request)), 201)

    @described("the refs that keep what was proposed, in all repositories", scope="read", answer=BranchPage)
    async def list_branches(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        return json((await self._edge.ask(APPROVALS, ListBranches())).message)

    @described("one proposal, with its votes, checks and history", scope="read", answer=ProposalView)
    async def show(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        return json((await self._edge.ask(APPROVALS, ReadProposal(_id(request)))).message)

    @described("exactly what would change, as plain text", scope="read", media_types=(TEXT,))
    async def show_diff(self, request: Request) -> Response:
        return await self._content(request, "diff")

    @described("what a proposal's checks have said", scope="read", media_types=(TEXT,))
    async def show_output(self, request: Request) -> Response:
        return await self._content(request, "output")

    @described(
        "what running checks say, as they say it: waits for more than `after` bytes, ten seconds at most",
        scope="read",
        answer=OutputPart,
        query={"after": PositionText},
    )
    async def follow(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        after = Parameters(request, ("after",)).position("after")
        query = FollowOutput(_id(request), after)
        return json((await self._edge.ask(APPROVALS, query, timeout_s=FOLLOW_TIMEOUT_S)).message)

    @described(
        "say yes to exactly what `hash` names; 409 when it is no longer that, or is decided",
        scope="approve",
        body=DecisionBody,
        answer=ProposalView,
        is_positioned=True,
    )
    async def approve(self, request: Request) -> Response:
        principal = self._edge.authorise(request, "approve")
        body = await read_body(request, DecisionBody)
        key = idempotency_key(request)
        return await self._do(Approve(_id(request), body.hash, principal.name, body.reason, body.version, key))

    @described("say no", scope="approve", body=DecisionBody, answer=ProposalView, is_positioned=True)
    async def reject(self, request: Request) -> Response:
        principal = self._edge.authorise(request, "approve")
        body = await read_body(request, DecisionBody)
        key = idempotency_key(request)
        return await self._do(Reject(_id(request), body.hash, principal.name, body.reason, body.version, key))

    @described("take one's own proposal back", scope="task", body=WithdrawBody, answer=ProposalView, is_positioned=True)
    async def withdraw(self, request: Request) -> Response:
        principal = self._proposer(request)
        body = await read_body(request, WithdrawBody)
        return await self._do(Withdraw(_id(request), principal.name, body.reason, idempotency_key(request)))

    @described(
        "undo an applied change; files a proposal when the branch has moved on",
        scope="approve",
        body=DecisionBody,
        answer=ProposalView,
        is_positioned=True,
    )
    async def roll_back(self, request: Request) -> Response:
        principal = self._edge.authorise(request, "approve")
        body = await read_body(request, DecisionBody)
        command = RollBack(_id(request), body.hash, principal.name, body.reason, idempotency_key(request))
        return await self._do(command)

    def _proposer(self, request: Request) -> Principal:
        """An agent's own program may propose in its name; everyone else needs what posting a task needs."""
        return self._edge.authorise(request, "agent" if self._edge.principal(request).agent else "task")

    async def _do(self, command: Command[ProposalView], status: int = 200) -> Response:
        return accepted(await self._edge.ask(APPROVALS, command), status)

    async def _content(self, request: Request, part: Literal["diff", "output"]) -> Response:
        self._edge.authorise(request, "read")
        content = (await self._edge.ask(APPROVALS, ReadProposalContent(_id(request), part))).message
        return Response(content.text, 200, CONTENT_HEADERS, "text/plain; charset=utf-8")


def _proposal(body: ProposalBody, principal: Principal, key: str) -> RequestApproval | ProposeChange:
    if body.kind != CHANGE:
        return RequestApproval(
            body.kind, body.title, principal.name, body.detail, body.impact, body.subject, idempotency_key=key
        )
    return ProposeChange(
        body.repository,
        body.branch,
        body.title,
        principal.name,
        body.head,
        body.patch,
        body.paths,
        body.detail,
        body.impact,
        idempotency_key=key,
    )


def _id(request: Request) -> ProposalId:
    return ProposalId(request.path_params["proposal"])


def _state(text: str) -> ProposalState | None:
    if not text:
        return None
    if text not in tuple(ProposalState):
        raise InvalidField("state", f"is none of {', '.join(ProposalState)}")
    return ProposalState(text)
