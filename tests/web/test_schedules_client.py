"""The SDK's part for schedules, against the real application."""

from bus.messages.schedules import (
    CancelSchedule,
    CreateSchedule,
    ListSchedules,
    SchedulePage,
    ScheduleSpec,
    ScheduleView,
)
from bus.messages.tasks import TaskSpec
from tests.web.support import TOKEN, World, served
from web.client import AgoraClient

SPEC = ScheduleSpec(TaskSpec(title="Look at the moons"), cron="0 9 * * *", zone="Europe/Berlin", missed="skip")
VIEW = ScheduleView("s-1", SPEC, 7, 0, False)


async def test_schedules_are_made_listed_and_cancelled() -> None:
    world = World()
    world.gateway.replies |= {CreateSchedule: VIEW, CancelSchedule: VIEW, ListSchedules: SchedulePage((VIEW,))}
    async with served(world) as url, AgoraClient(url, token=TOKEN) as agora:
        made = await agora.schedules.create(SPEC.task, cron="0 9 * * *", zone="Europe/Berlin", missed="skip", key="k")
        assert made == VIEW
        assert (await agora.schedules.all()).schedules == (VIEW,)
        assert await agora.schedules.cancel("s-1") == VIEW
    asked = [request for _, request in world.gateway.asked]
    assert asked == [CreateSchedule(SPEC, "k"), ListSchedules(), CancelSchedule("s-1")]
