"""The SDK over HTTP, against the real application."""

from collections.abc import Callable

import msgspec
import pytest

from bus.messages.artifacts import (
    ArtifactContent,
    ArtifactPage,
    ArtifactView,
    ListArtifacts,
    ReadArtifactContent,
    WriteArtifact,
)
from bus.messages.base import ArtifactId, BlobId, Message, Position, TaskId
from bus.messages.completions import ReadRouter, RouterView
from bus.messages.ledger import Balances, CheckConservation, Conservation, ReadBalances
from bus.messages.system import CheckpointPage, EventSummary, ListCheckpoints, SummariseEvents
from bus.messages.tasks import (
    CancelTask,
    CreateTask,
    ListTasks,
    ReadTask,
    TaskAccepted,
    TaskPage,
    TaskSpec,
    TaskState,
    TaskView,
)
from bus.refusals import InsufficientFunds, Overloaded
from tests.web.support import TOKEN, World, served
from web.client import AgoraClient, Unreachable
from web.live_feed import RequestFailed

VIEW = TaskView(TaskId("t-1"), TaskState.BIDDING, TaskSpec(title="x"), 1, 2)
ARTIFACT = ArtifactView(ArtifactId("a-1"), "n", "text/plain", 5, BlobId("0" * 64), "operator", TaskId(""), 1)
SPEC = TaskSpec(title="Brief it")


def scripted() -> World:
    world = World()
    world.chat(3)
    world.gateway.replies |= {
        CreateTask: TaskAccepted(TaskId("t-1"), TaskState.CREATED),
        CancelTask: TaskAccepted(TaskId("t-1"), TaskState.CANCELLED),
        ReadTask: VIEW,
        ListTasks: TaskPage((VIEW,), TaskId("")),
        WriteArtifact: ARTIFACT,
        ListArtifacts: ArtifactPage((ARTIFACT,), ArtifactId("")),
        ReadArtifactContent: ArtifactContent(ARTIFACT, "héllo"),
        ReadBalances: Balances(()),
        CheckConservation: Conservation(True, {}, 0, 0, ()),
        ReadRouter: RouterView((), 0, 0, 0, 0, 0, False, 0),
        ListCheckpoints: CheckpointPage(()),
        SummariseEvents: EventSummary(60.0, 0, {}, {}, Position(3)),
    }
    return world


async def test_everything_is_typed() -> None:
    async with served(scripted()) as url, AgoraClient(url + "/", token=TOKEN) as client:
        assert (await client.create_task(SPEC, key="k")).task == "t-1"
        assert (await client.cancel_task("t-1", "no need")).state == "cancelled"
        assert await client.task("t-1") == VIEW
        assert (await client.tasks(state="bidding")).tasks == (VIEW,)
        assert await client.write_artifact("n", "text") == ARTIFACT
        assert (await client.artifacts()).artifacts == (ARTIFACT,)
        assert await client.artifact_text("a-1") == "héllo"
        assert (await client.balances()).balances == ()
        assert (await client.check_ledger()).is_conserved
        assert (await client.cascade.show()).queued == 0
        assert (await client.checkpoints.all()).checkpoints == ()
        assert (await client.summary()).minutes == 60.0
        assert msgspec.json.decode(bytes((await client.state())["position"])) == 3
        assert [event.position for event in (await client.events(limit="2")).events] == [3, 2]
        assert (await client.ready()).ready
        assert (await client.session()).principal == "operator"
        assert await client.issue_link()


async def test_a_refusal_is_raised_in_the_servers_words() -> None:
    world = scripted()
    world.gateway.replies[CreateTask] = InsufficientFunds("treasury", 1, 2, "msat")
    async with served(world) as url, AgoraClient(url, token=TOKEN) as client:
        with pytest.raises(RequestFailed, match="treasury has 1 msat available; 2 are needed") as caught:
            await client.create_task(SPEC)
    assert (caught.value.status, caught.value.problem) == (402, "insufficient_funds")


async def test_without_a_token_it_may_not_act() -> None:
    async with served(scripted()) as url, AgoraClient(url) as client:
        with pytest.raises(RequestFailed) as caught:
            await client.create_task(SPEC)
    assert (caught.value.status, caught.value.problem) == (401, "not_authenticated")


async def test_a_busy_server_is_asked_again() -> None:
    world = scripted()
    world.gateway.replies[CreateTask] = busy_for(2)
    async with served(world) as url, AgoraClient(url, token=TOKEN) as client:
        assert (await client.create_task(SPEC)).task == "t-1"
    assert sum(isinstance(message, CreateTask) for _, message in world.gateway.asked) == 3


def busy_for(times: int) -> Callable[[Message], Message]:
    left = times

    def reply(_: Message) -> Message:
        nonlocal left
        left -= 1
        if left >= 0:
            raise Overloaded("the coordinator", 0.1)
        return TaskAccepted(TaskId("t-1"), TaskState.CREATED)

    return reply


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    async with served(scripted()) as url:
        pass
    async with AgoraClient(url, timeout_s=1.0) as client:
        with pytest.raises(Unreachable, match="did not answer"):
            await client.create_task(SPEC)
