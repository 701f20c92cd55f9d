"""HTTP for tasks, agents and artifacts."""

import msgspec
import pytest

from bus.messages.agents import AgentStatusName, AgentView, PauseAgent, Persona, ReadAgent
from bus.messages.artifacts import (
    ArtifactContent,
    ArtifactPage,
    ArtifactView,
    ListArtifacts,
    ReadArtifact,
    ReadArtifactContent,
    WriteArtifact,
)
from bus.messages.base import AgentId, ArtifactId, BlobId, Done, Position, TaskId
from bus.messages.tasks import (
    CancelTask,
    CreateTask,
    Lease,
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
from bus.refusals import IllegalTransition, InsufficientFunds, NotFound
from tests.web.support import READER, World, bearer, call

VIEW = TaskView(TaskId("t-1"), TaskState.BIDDING, TaskSpec(title="<b>x</b>"), 1, 2)
ARTIFACT = ArtifactView(ArtifactId("a-1"), "n", "text/html", 5, BlobId("0" * 64), "operator", TaskId(""), 1)


async def test_a_task_is_created_with_its_key_and_position() -> None:
    world = World()
    world.gateway.replies[CreateTask] = TaskAccepted(TaskId("t-1"), TaskState.CREATED)
    world.gateway.position = Position(12)
    body = msgspec.json.encode({"title": "Brief anyio", "reward_msat": 900})
    response = await call(world.app, "POST", "/api/tasks", headers={**bearer(), "idempotency-key": "k1"}, body=body)
    assert response.status == 201
    assert response.json() == {"task": "t-1", "state": "created", "position": 12}
    (_, asked) = world.gateway.asked[-1]
    assert asked == CreateTask(TaskSpec(title="Brief anyio", reward_msat=900), "k1")


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        (b"{", 400, None),
        (b"\xff\xfe", 400, None),
        (b"[]", 422, "the body"),
        (b"{}", 422, "title"),
        (b'{"title":"x","colour":"red"}', 422, "colour"),
        (b'{"title":"x","reward_msat":"lots"}', 422, "reward_msat"),
        (b'{"title":"x","reward_msat":1e999}', 422, "reward_msat"),
    ],
)
async def test_a_body_that_is_wrong_is_refused_where_it_is_wrong(body: bytes, status: int, path: str | None) -> None:
    world = World()
    response = await call(world.app, "POST", "/api/tasks", headers=bearer(), body=body)
    assert (response.status, response.json().get("path")) == (status, path)
    assert world.gateway.asked == []


async def test_acting_without_a_token_or_scope_asks_nobody() -> None:
    world = World()
    assert (await call(world.app, "POST", "/api/tasks", body=b'{"title":"x"}')).status == 401
    assert (await call(world.app, "POST", "/api/tasks", headers=bearer(READER), body=b'{"title":"x"}')).status == 403
    assert (await call(world.app, "POST", "/api/agents/scout/pause", headers=bearer(READER))).status == 403
    assert world.gateway.asked == []


async def test_refusals_have_their_status() -> None:
    world = World()
    world.gateway.replies[CreateTask] = InsufficientFunds("treasury", 1, 2, "msat")
    assert (await call(world.app, "POST", "/api/tasks", headers=bearer(), body=b'{"title":"x"}')).status == 402
    world.gateway.replies[CancelTask] = IllegalTransition("task t-1", "completed", "cancelled")
    refused = await call(world.app, "POST", "/api/tasks/t-1/cancel", headers=bearer())
    assert (refused.status, refused.json()["detail"]) == (409, "task t-1 is completed; it cannot be cancelled")


async def test_tasks_are_listed_and_shown() -> None:
    world = World()
    world.gateway.replies[ListTasks] = TaskPage((VIEW,), TaskId("t-1"))
    world.gateway.replies[ReadTask] = VIEW
    listed = (await call(world.app, "GET", "/api/tasks?state=bidding&limit=1&after=t-2")).json()
    assert listed["next"] == "t-1"
    assert world.gateway.asked[-1][1] == ListTasks(TaskState.BIDDING, 1, TaskId("t-2"))
    shown = await call(world.app, "GET", "/api/tasks/t-1")
    assert shown.headers["content-type"] == "application/json"
    assert shown.headers["cache-control"] == "no-store"
    wrong = await call(world.app, "GET", "/api/tasks?state=happy")
    assert (wrong.status, wrong.json()["path"]) == (422, "state")


async def test_leases_are_shown_with_their_ends() -> None:
    world = World()
    world.gateway.replies[ReadLeases] = Leases((Lease(TaskId("t-1"), AgentId("scout"), 2, 60.0, 7),), 1)
    shown = (await call(world.app, "GET", "/api/leases")).json()
    assert shown == {
        "leases": [{"task": "t-1", "agent": "scout", "attempt": 2, "lease_s": 60.0, "until_us": 7}],
        "count": 1,
    }


async def test_a_task_that_is_not_there_is_404() -> None:
    world = World()
    world.gateway.replies[ReadTask] = NotFound("task", "t-9")
    response = await call(world.app, "GET", "/api/tasks/t-9")
    assert (response.status, response.json()["type"]) == (404, "urn:agora:problem:not_found")


async def test_a_task_is_cancelled_with_a_reason() -> None:
    world = World()
    world.gateway.replies[CancelTask] = TaskAccepted(TaskId("t-1"), TaskState.CANCELLED)
    response = await call(world.app, "POST", "/api/tasks/t-1/cancel", headers=bearer(), body=b'{"reason":"no need"}')
    assert response.status == 200
    assert world.gateway.asked[-1][1] == CancelTask(TaskId("t-1"), "no need")


async def test_agents_are_listed_from_the_overview_and_shown_by_themselves() -> None:
    world = World()
    persona = Persona("scout", ("brief",), "", 100)
    world.gateway.replies[ReadAgent] = AgentView(AgentId("scout"), AgentStatusName.IDLE, "", persona, (), {})
    world.gateway.replies[PauseAgent] = Done()
    assert (await call(world.app, "GET", "/api/agents")).json() == {"position": 0, "items": {}}
    assert (await call(world.app, "GET", "/api/agents/scout")).json()["agent"] == "scout"
    assert (await call(world.app, "POST", "/api/agents/scout/pause", headers=bearer())).json() == {"position": 0}
    unknown = await call(world.app, "POST", "/api/agents/nobody/resume", headers=bearer())
    assert (unknown.status, unknown.json()["detail"]) == (404, "no agent is called 'nobody'")


async def test_an_artifact_is_written_in_the_name_of_who_sent_it() -> None:
    world = World()
    world.gateway.replies[WriteArtifact] = ARTIFACT
    body = msgspec.json.encode({"name": "n", "text": "hello", "media_type": "text/html"})
    response = await call(world.app, "POST", "/api/artifacts", headers={**bearer(), "idempotency-key": "k"}, body=body)
    assert (response.status, response.json()["artifact"]) == (201, "a-1")
    assert world.gateway.asked[-1][1] == WriteArtifact("n", "hello", "text/html", "operator", TaskId(""), "k")


async def test_an_unknown_media_type_is_refused() -> None:
    body = msgspec.json.encode({"name": "n", "text": "hello", "media_type": "application/x-evil"})
    response = await call(World().app, "POST", "/api/artifacts", headers=bearer(), body=body)
    assert (response.status, response.json()["path"]) == (422, "media_type")


async def test_content_is_never_a_page() -> None:
    world = World()
    world.gateway.replies[ReadArtifactContent] = ArtifactContent(ARTIFACT, "<script>alert(1)</script> é")
    response = await call(world.app, "GET", "/api/artifacts/a-1/content")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert response.body.decode() == "<script>alert(1)</script> é"


async def test_artifacts_are_listed_and_shown() -> None:
    world = World()
    world.gateway.replies[ListArtifacts] = ArtifactPage((ARTIFACT,), ArtifactId(""))
    world.gateway.replies[ReadArtifact] = ARTIFACT
    assert (await call(world.app, "GET", "/api/artifacts?limit=5")).status == 200
    assert (await call(world.app, "GET", "/api/artifacts/a-1")).json()["size_bytes"] == 5


async def test_a_key_without_end_is_refused() -> None:
    headers = {**bearer(), "idempotency-key": "k" * 257}
    response = await call(World().app, "POST", "/api/tasks", headers=headers, body=b'{"title":"x"}')
    assert (response.status, response.json()["path"]) == (422, "Idempotency-Key")
