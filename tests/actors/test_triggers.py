"""The triggers within a society that works: they fire once, also over a restart, and never feed themselves."""

from pathlib import Path

import aiohttp
import anyio
import pytest

from actors.commands.redact import Target, redact
from actors.composition import Running
from actors.runtime import Actor, ChildSpec
from bus.address import Address
from bus.messages.base import Position
from bus.messages.schedules import SCHEDULER, CreateSchedule, ScheduleSpec
from bus.messages.system import JOURNAL, ReadEvents
from bus.messages.tasks import COORDINATOR, CreateTask, ListTasks, TaskSpec, TaskView
from bus.messages.triggers import (
    TRIGGERS,
    CancelTrigger,
    CreateTrigger,
    ListTriggers,
    TriggerSpec,
    TriggerView,
    Woken,
)
from tests.support.inside import serving, shell_at

pytestmark = pytest.mark.slow

PATIENCE_S = 20.0
TASK = TaskSpec("a first task")
AFTER = TaskSpec("what comes after")


class Sleeper(Actor):
    """An actor that is woken."""

    def __init__(self, woken: list[Woken], is_woken: anyio.Event) -> None:
        self._woken = woken
        self._is_woken = is_woken

    def on_woken(self, message: Woken) -> None:
        self._woken.append(message)
        self._is_woken.set()


async def _trigger(society: Running, spec: TriggerSpec) -> TriggerView:
    return await society.system.ask(TRIGGERS, CreateTrigger(spec))


async def _all(society: Running) -> tuple[TriggerView, ...]:
    return (await society.system.ask(TRIGGERS, ListTriggers())).triggers


async def _one(society: Running) -> TriggerView:
    return (await _all(society))[-1]


async def _tasks(society: Running) -> list[TaskView]:
    return list((await society.system.ask(COORDINATOR, ListTasks())).tasks)


async def _until_all_completed(society: Running, count: int) -> None:
    with anyio.fail_after(PATIENCE_S):
        while [task.state for task in await _tasks(society)] != ["completed"] * count:
            pass


async def _settled(society: Running) -> None:
    """Until the triggers have looked at all that has happened: they have found what happened last."""
    last = await _trigger(society, TriggerSpec(types=("schedule.created",), wake=Address("nobody")))
    await society.system.ask(SCHEDULER, CreateSchedule(ScheduleSpec(TASK, delay_s=86_400.0)))
    with anyio.fail_after(PATIENCE_S):
        while not next(one for one in await _all(society) if one.trigger == last.trigger).fired:
            pass
    await society.system.ask(TRIGGERS, CancelTrigger(last.trigger))


async def test_an_event_that_matches_posts_a_task_once_and_what_that_leads_to_posts_no_other(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as society:
        made = await _trigger(society, TriggerSpec(types=("task.completed",), post=AFTER, pause_s=0.1))
        assert (made.fired, made.is_over) == (0, False)
        await society.system.ask(COORDINATOR, CreateTask(TASK))
        await _until_all_completed(society, 2)
        await _settled(society)
        assert sorted(task.spec.title for task in await _tasks(society)) == [TASK.title, AFTER.title]
    async with serving(tmp_path / "data") as society:  # after a restart too nothing is answered for twice
        await _settled(society)
        assert len(await _tasks(society)) == 2
        await society.system.ask(COORDINATOR, CreateTask(TASK))
        await _until_all_completed(society, 4)
        await _settled(society)
        assert len(await _tasks(society)) == 4


async def test_two_triggers_do_not_feed_each_other(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as society:
        for title in ("ping", "pong"):
            await _trigger(society, TriggerSpec(types=("task.completed",), post=TaskSpec(title), pause_s=0.1))
        await society.system.ask(COORDINATOR, CreateTask(TASK))
        # Each answers for the first task, and for the other's answer; what comes of that has both behind it.
        await _until_all_completed(society, 5)
        await _settled(society)
        titles = sorted(task.spec.title for task in await _tasks(society))
        assert titles == sorted([TASK.title, "ping", "pong", "ping", "pong"])


async def test_what_matched_while_nobody_was_there_is_answered_for_after_the_restart(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with serving(data) as society:
        await _trigger(society, TriggerSpec(types=("text.redacted",), post=AFTER))
        await society.system.ask(COORDINATOR, CreateTask(TASK))
        await _until_all_completed(society, 1)
    await redact(shell_at(data), Target(task="t-1"), reason="asked", by="ana")
    async with serving(data) as society:
        await _until_all_completed(society, 2)
        assert (await _one(society)).fired == 1


async def test_a_position_wakes_an_actor_once(tmp_path: Path) -> None:
    woken: list[Woken] = []
    is_woken = anyio.Event()
    async with serving(tmp_path / "data") as society:
        await society.system.start(ChildSpec(Address("sleeper"), lambda: Sleeper(woken, is_woken)))
        at = Position(society.system.log.head + 10)
        made = await _trigger(society, TriggerSpec(at=at, wake=Address("sleeper")))
        assert woken == []
        await society.system.ask(COORDINATOR, CreateTask(TASK))
        await _until_all_completed(society, 1)
        with anyio.fail_after(PATIENCE_S):
            await is_woken.wait()
        assert woken == [Woken(made.trigger, at)]
        assert (await _one(society)).is_over


async def test_a_storm_is_answered_for_together(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as society:
        await _trigger(society, TriggerSpec(types=("task.created",), wake=Address("nobody"), pause_s=3_600.0))
        for number in range(50):
            await society.system.ask(COORDINATOR, CreateTask(TaskSpec(f"task {number}")))
        await _until_all_completed(society, 50)
        await _settled(society)
        fired = await society.system.ask(JOURNAL, ReadEvents(types=("trigger.fired",), limit=100))
        first = [event for event in fired.events if b'"trigger":"g-1"' in event.data]
        assert len(first) == 1


async def test_a_cancelled_trigger_fires_no_more_and_all_are_made_listed_and_ended_over_http(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with serving(data) as society:
        headers = {"authorization": f"Bearer {society.token_path.read_text().strip()}"}
        async with aiohttp.ClientSession(society.url, headers=headers) as http:
            body = {"types": ["task.completed"], "post": {"title": AFTER.title}}
            async with http.post("/api/triggers", json=body) as made:
                assert (made.status, (await made.json())["trigger"]) == (201, "g-1")
            async with http.post("/api/triggers/g-1/cancel") as cancelled:
                assert cancelled.status == 200
            async with http.get("/api/triggers") as listed:
                assert [one["is_over"] for one in (await listed.json())["triggers"]] == [True]
        await society.system.ask(COORDINATOR, CreateTask(TASK))
        await _until_all_completed(society, 1)
        await _settled(society)
        assert len(await _tasks(society)) == 1
