"""HTTP for programs that work as agents."""

import hashlib

import msgspec
import pytest

from bus.errors import NoSuchActor
from bus.messages.agents import AgentAccepted, RegisterAgent, RetireAgent
from bus.messages.artifacts import ArtifactView, WriteArtifact
from bus.messages.base import AgentId, ArtifactId, BlobId, Done, Message, TaskId
from bus.messages.tasks import (
    CompleteTask,
    DeclineBid,
    FailTask,
    LeaseRenewed,
    RenewLease,
    StartWork,
    SubmitBid,
    TaskAccepted,
    TaskState,
)
from bus.refusals import LeaseNotHeld
from tests.web.support import READER, World, bearer, call
from web.auth import Principal

TOKEN = "agora_a-token-of-the-greeter-that-tests-know-0123"
ME, TASK = AgentId("greeter"), TaskId("t-1")
ARTIFACT = ArtifactView(ArtifactId("a-9"), "n", "text/plain", 5, BlobId("0" * 64), "greeter", TASK, 1)


def world() -> World:
    made = World()
    made.keyring.add_token(TOKEN, "agents/greeter", frozenset(("read", "agent")))
    accepted = TaskAccepted(TASK, TaskState.RUNNING)
    for kind in (SubmitBid, DeclineBid, StartWork, CompleteTask, FailTask):
        made.gateway.replies[kind] = accepted
    made.gateway.replies[RenewLease] = LeaseRenewed(TASK, 60.0)
    made.gateway.replies[WriteArtifact] = ARTIFACT
    return made


async def send(to: World, path: str, token: str = TOKEN, **body: object) -> int:
    return await send_body(to, path, body, token)


async def send_body(to: World, path: str, body: dict[str, object], token: str = TOKEN) -> int:
    return (await call(to.app, "POST", path, headers=bearer(token), body=msgspec.json.encode(body))).status


@pytest.mark.parametrize(
    ("path", "body", "request_"),
    [
        ("bids", {"price_msat": 7}, SubmitBid(TASK, ME, 7)),
        ("bids", {}, DeclineBid(TASK, ME)),
        ("start", {"attempt": 1}, StartWork(TASK, ME, 1)),
        ("heartbeat", {"attempt": 1}, RenewLease(TASK, ME, 1)),
        ("complete", {"attempt": 1, "artifact": "a-1"}, CompleteTask(TASK, ME, 1, ArtifactId("a-1"))),
        ("fail", {"attempt": 1, "reason": "hard"}, FailTask(TASK, ME, 1, "hard")),
    ],
)
async def test_each_path_is_one_request(path: str, body: dict[str, object], request_: Message) -> None:
    here = world()
    assert await send_body(here, f"/api/tasks/t-1/{path}", {"agent": "greeter", **body}) == 200
    assert here.gateway.asked[-1][1] == request_


async def test_a_program_registers_and_retires() -> None:
    here = world()
    here.gateway.replies[RegisterAgent] = AgentAccepted(ME, ("greet",), 1)
    here.gateway.replies[RetireAgent] = Done()
    assert await send(here, "/api/agents", agent="greeter", capabilities=["greet"]) == 201
    assert await send(here, "/api/agents/greeter/retire", reason="done") == 200
    here.gateway.replies[RetireAgent] = NoSuchActor("agents/greeter")
    assert await send(here, "/api/agents/greeter/retire") == 404


async def test_a_result_as_text_becomes_an_artifact_of_the_agents_before_it_is_delivered() -> None:
    here = world()
    assert await send(here, "/api/tasks/t-1/complete", agent="greeter", attempt=1, text="hello") == 200
    asked = [request for _, request in here.gateway.asked]
    assert isinstance(asked[2], WriteArtifact)
    assert (asked[2].text, asked[2].owner, asked[2].task) == ("hello", "greeter", "t-1")
    assert asked[3] == CompleteTask(TASK, ME, 1, ArtifactId("a-9"))


async def test_nothing_is_written_for_whoever_does_not_hold_the_lease() -> None:
    here = world()
    here.gateway.replies[RenewLease] = LeaseNotHeld("greeter", "t-1", 1, "renewed")
    assert await send(here, "/api/tasks/t-1/complete", agent="greeter", attempt=1, text="hello") == 409
    assert not any(isinstance(request, WriteArtifact) for _, request in here.gateway.asked)


async def test_a_token_for_one_agent_acts_for_no_other_and_does_nothing_else() -> None:
    here = world()
    token = "agora_a-token-bound-to-one-agent-0123456789"
    here.keyring.add_digest(_digest(token), Principal("agents/greeter", frozenset(("read", "agent")), "greeter"))
    assert await send(here, "/api/tasks/t-1/bids", token, price_msat=7) == 200
    assert await send(here, "/api/tasks/t-1/bids", token, agent="scout", price_msat=7) == 403
    assert await send(here, "/api/agents", token, agent="scout", capabilities=["x"]) == 403
    for path in ("/api/agents/scout/retire", "/api/agents/scout/pause", "/api/tasks", "/api/ledger/transfers"):
        assert await send(here, path, token) == 403


async def test_whoever_only_reads_may_not_bid() -> None:
    assert await send(world(), "/api/tasks/t-1/bids", READER, agent="greeter", price_msat=7) == 403


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
