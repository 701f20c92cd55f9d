"""Whoever fills the gateway keeps the same contract: the script of the tests, and the real actor system."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from actors.runtime import Actor, ActorSystem, ChildSpec
from actors.runtime.simulation import MemoryJournal
from bus.address import Address
from bus.errors import NoSuchActor
from bus.messages.base import Done, TaskId
from bus.messages.tasks import COORDINATOR, ListTasks, ReadTask, TaskPage
from bus.refusals import NotFound
from tests.web.support import ScriptedGateway
from web.gateway import Gateway


class Clerk(Actor):
    """Knows no task."""

    def on_list_tasks(self, query: ListTasks) -> TaskPage:
        return TaskPage((), TaskId(""))

    def on_read_task(self, query: ReadTask) -> Done:
        raise NotFound("task", query.task)


@asynccontextmanager
async def gateway(kind: str) -> AsyncIterator[Gateway]:
    if kind == "scripted":
        scripted = ScriptedGateway()
        scripted.replies[ListTasks] = TaskPage((), TaskId(""))
        scripted.replies[ReadTask] = NotFound("task", "t-9")
        yield scripted
        return
    journal = MemoryJournal()
    async with ActorSystem(log=journal.log, history=journal) as system:
        await system.start(ChildSpec(COORDINATOR, Clerk))
        yield system


@pytest.mark.parametrize("kind", ["scripted", "real"])
async def test_an_answer_carries_the_reply_and_its_position(kind: str) -> None:
    async with gateway(kind) as door:
        answer = await door.exchange(COORDINATOR, ListTasks(), timeout_s=5.0)
        assert (answer.message, answer.position) == (TaskPage((), TaskId("")), 0)


@pytest.mark.parametrize("kind", ["scripted", "real"])
async def test_a_refusal_is_raised(kind: str) -> None:
    async with gateway(kind) as door:
        with pytest.raises(NotFound):
            await door.exchange(COORDINATOR, ReadTask(TaskId("t-9")), timeout_s=5.0)


@pytest.mark.parametrize("kind", ["scripted", "real"])
async def test_nobody_at_an_address_is_raised(kind: str) -> None:
    async with gateway(kind) as door:
        with pytest.raises(NoSuchActor):
            await door.exchange(Address("agents/nobody"), ListTasks() if kind == "real" else Missing(), timeout_s=5.0)


class Missing(ListTasks, frozen=True):
    """A request that the script does not know."""
