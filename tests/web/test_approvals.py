"""HTTP for approvals: who may, on what, and what a conflict looks like."""

import msgspec
import pytest

from bus.errors import Refused
from bus.messages.approvals import (
    Approve,
    ListProposals,
    ProposalContent,
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
from bus.messages.base import Message, Position
from bus.messages.repositories import Branch, BranchPage, FollowOutput, ListBranches, OutputPart
from bus.refusals import IllegalTransition, OwnProposal, StaleDecision
from tests.web.support import READER, World, bearer, call

VIEW = ProposalView(
    ProposalId("p-1"), "spend", "high", "<b>x</b>", "", "", "agents/scout", ProposalState.READY, 2, 1, "f" * 64, 1, 9, 2
)
DECISION = b'{"hash":"' + b"f" * 64 + b'","reason":"looks right","version":2}'
WORDS: list[tuple[str, type[Message]]] = [("approve", Approve), ("reject", Reject), ("rollback", RollBack)]


def world() -> World:
    found = World()
    for kind in (ReadProposal, RequestApproval, ProposeChange, Approve, Reject, RollBack, Withdraw):
        found.gateway.replies[kind] = VIEW
    found.gateway.position = Position(7)
    return found


def last(served: World) -> Message:
    """What was asked for last."""
    return served.gateway.asked[-1][1]


@pytest.mark.parametrize(("word", "kind"), WORDS)
async def test_a_decision_carries_the_hash_the_reason_and_who_the_token_names(word: str, kind: type[Message]) -> None:
    served = world()
    headers = {**bearer(), "idempotency-key": "k1"}
    response = await call(served.app, "POST", f"/api/approvals/p-1/{word}", headers=headers, body=DECISION)
    assert (response.status, response.json()["position"]) == (200, 7)
    (_, asked) = served.gateway.asked[-1]
    assert isinstance(asked, kind)
    assert isinstance(asked, Approve | Reject | RollBack)
    assert (asked.hash, asked.by, asked.reason, asked.idempotency_key) == ("f" * 64, "operator", "looks right", "k1")


@pytest.mark.parametrize("word", ["approve", "reject", "rollback"])
async def test_without_the_scope_or_a_token_nothing_is_decided(word: str) -> None:
    served = world()
    path = f"/api/approvals/p-1/{word}"
    assert (await call(served.app, "POST", path, body=DECISION)).status == 401
    assert (await call(served.app, "POST", path, headers=bearer(READER), body=DECISION)).status == 403
    foreign = {**bearer(), "origin": "https://evil.example"}
    assert (await call(served.app, "POST", path, headers=foreign, body=DECISION)).status == 403
    assert served.gateway.asked == []


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (StaleDecision("p-1", "hash", "a", "b"), 409, "stale_decision"),
        (IllegalTransition("proposal p-1", "applied", "decided on"), 409, "illegal_transition"),
        (OwnProposal("operator proposed p-1"), 403, "own_proposal"),
    ],
)
async def test_a_stale_second_or_own_decision_is_a_conflict_or_forbidden(
    error: Refused, status: int, code: str
) -> None:
    served = world()
    served.gateway.replies[Approve] = error
    response = await call(served.app, "POST", "/api/approvals/p-1/approve", headers=bearer(), body=DECISION)
    assert (response.status, response.json()["code"]) == (status, code)


@pytest.mark.parametrize("body", [b"{}", b'{"hash":"x"}', b'{"hash":"x","reason":"y","by":"someone else"}'])
async def test_a_decision_without_hash_or_reason_or_in_anothers_name_is_refused(body: bytes) -> None:
    served = world()
    assert (await call(served.app, "POST", "/api/approvals/p-1/approve", headers=bearer(), body=body)).status == 422


async def test_a_change_and_a_request_are_proposed_in_the_tokens_name() -> None:
    served = world()
    body = msgspec.json.encode({"title": "t", "repository": "r", "branch": "main", "head": "feature"})
    assert (await call(served.app, "POST", "/api/approvals", headers=bearer(), body=body)).status == 201
    assert last(served) == ProposeChange("r", "main", "t", "operator", head="feature")
    body = msgspec.json.encode({"title": "t", "kind": "spend", "impact": "high"})
    await call(served.app, "POST", "/api/approvals", headers=bearer(), body=body)
    assert last(served) == RequestApproval("spend", "t", "operator", impact="high")


async def test_a_withdrawal_goes_to_the_actor_with_its_reason() -> None:
    served = world()
    body = b'{"reason":"a mistake"}'
    await call(served.app, "POST", "/api/approvals/p-1/withdraw", headers=bearer(), body=body)
    assert last(served) == Withdraw(ProposalId("p-1"), "operator", "a mistake")


async def test_proposals_are_listed_and_shown() -> None:
    served = world()
    served.gateway.replies[ListProposals] = ProposalPage((VIEW,), ProposalId(""), 1)
    response = await call(served.app, "GET", "/api/approvals?state=ready&limit=5")
    assert (response.status, response.json()["pending"]) == (200, 1)
    assert last(served) == ListProposals(ProposalState.READY, 5)
    assert (await call(served.app, "GET", "/api/approvals?state=odd")).status == 422
    assert (await call(served.app, "GET", "/api/approvals/p-1")).json()["hash"] == "f" * 64


@pytest.mark.parametrize("part", ["diff", "output"])
async def test_a_diff_is_plain_text_that_no_browser_runs(part: str) -> None:
    served = world()
    served.gateway.replies[ReadProposalContent] = ProposalContent(ProposalId("p-1"), "<script>")
    response = await call(served.app, "GET", f"/api/approvals/p-1/{part}")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["content-security-policy"].startswith("sandbox")


async def test_running_checks_are_followed_from_where_the_reader_stands() -> None:
    served = world()
    served.gateway.replies[FollowOutput] = OutputPart(ProposalId("p-1"), "<b>ok</b>\n", 20, is_over=False)
    answer = await call(served.app, "GET", "/api/approvals/p-1/checks?after=9")
    assert answer.status == 200
    assert last(served) == FollowOutput(ProposalId("p-1"), 9)
    assert msgspec.json.decode(answer.body, type=OutputPart).next == 20
    refused = await call(served.app, "GET", "/api/approvals/p-1/checks?after=-1")
    assert refused.status == 422


async def test_branches_are_listed_and_are_no_proposal() -> None:
    served = world()
    served.gateway.replies[ListBranches] = BranchPage((Branch("r", ProposalId("p-1"), "c" * 40, "ready"),))
    answer = await call(served.app, "GET", "/api/approvals/branches")
    assert (answer.status, last(served)) == (200, ListBranches())
