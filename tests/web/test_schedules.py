"""HTTP for schedules."""

import msgspec

from bus.messages.schedules import (
    CancelSchedule,
    CreateSchedule,
    ListSchedules,
    SchedulePage,
    ScheduleSpec,
    ScheduleView,
)
from bus.messages.tasks import TaskSpec
from tests.web.support import READER, World, bearer, call

TASK = TaskSpec("Water the plants")
VIEW = ScheduleView("s-1", ScheduleSpec(TASK, delay_s=5.0), 7, 0, False)


async def test_a_schedule_is_made_with_its_key_listed_and_cancelled() -> None:
    world = World()
    world.gateway.replies.update({CreateSchedule: VIEW, CancelSchedule: VIEW, ListSchedules: SchedulePage((VIEW,))})
    body = {"task": {"title": TASK.title}, "cron": "0 8 * * *", "zone": "Europe/Berlin", "missed": "skip"}
    headers = {**bearer(), "idempotency-key": "k"}
    made = await call(world.app, "POST", "/api/schedules", headers=headers, body=msgspec.json.encode(body))
    assert made.status == 201
    spec = ScheduleSpec(TASK, cron="0 8 * * *", zone="Europe/Berlin", missed="skip")
    assert world.gateway.asked[-1][1] == CreateSchedule(spec, "k")
    assert (await call(world.app, "GET", "/api/schedules")).status == 200
    assert (await call(world.app, "POST", "/api/schedules/s-1/cancel", headers=bearer())).status == 200
    assert CancelSchedule("s-1") in [request for _, request in world.gateway.asked]


async def test_a_time_is_given_as_people_write_it() -> None:
    world = World()
    world.gateway.replies[CreateSchedule] = VIEW
    body = msgspec.json.encode({"task": {"title": TASK.title}, "at": "2027-01-01T00:00:00Z"})
    assert (await call(world.app, "POST", "/api/schedules", headers=bearer(), body=body)).status == 201
    assert world.gateway.asked[-1][1] == CreateSchedule(ScheduleSpec(TASK, at_us=1_798_761_600_000_000))
    wrong = msgspec.json.encode({"task": {"title": TASK.title}, "at": "tomorrow"})
    assert (await call(world.app, "POST", "/api/schedules", headers=bearer(), body=wrong)).status == 422


async def test_whoever_only_reads_makes_no_schedule() -> None:
    assert (await call(World().app, "POST", "/api/schedules", headers=bearer(READER), body=b"{}")).status == 403
