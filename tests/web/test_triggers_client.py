"""The SDK's part for triggers, against the real application."""

from bus.messages.base import Position
from bus.messages.tasks import TaskSpec
from bus.messages.triggers import CancelTrigger, CreateTrigger, ListTriggers, TriggerPage, TriggerSpec, TriggerView
from tests.web.support import TOKEN, World, served
from web.client import AgoraClient

SPEC = TriggerSpec(types=("task.failed",), post=TaskSpec(title="Look after it"))
VIEW = TriggerView("g-1", SPEC, 0, Position(0), False)


async def test_triggers_are_made_listed_and_cancelled() -> None:
    world = World()
    world.gateway.replies |= {CreateTrigger: VIEW, CancelTrigger: VIEW, ListTriggers: TriggerPage((VIEW,))}
    async with served(world) as url, AgoraClient(url, token=TOKEN) as agora:
        assert await agora.triggers.create(SPEC, key="k") == VIEW
        assert (await agora.triggers.all()).triggers == (VIEW,)
        assert await agora.triggers.cancel("g-1") == VIEW
    asked = [request for _, request in world.gateway.asked]
    assert asked == [CreateTrigger(SPEC, "k"), ListTriggers(), CancelTrigger("g-1")]
