"""Every task is known by name, waited for, and never fails unseen."""

import asyncio

from actors.runtime.tasks import END_MAX_S, Tasks
from actors.runtime.virtual_time import Simulation
from tests.support.virtual import in_virtual_time


def ignore(error: Exception) -> None:
    raise AssertionError(f"nothing was to fail: {error!r}")


@in_virtual_time
async def test_a_task_is_known_by_name_while_it_runs(simulation: Simulation) -> None:
    tasks = Tasks(ignore)
    tasks.spawn(lambda: asyncio.sleep(1), "sleeper")
    assert list(tasks.names) == ["sleeper"]
    await simulation.pass_time(2)
    assert list(tasks.names) == []


@in_virtual_time
async def test_a_task_that_is_cancelled_before_its_first_step_never_begins_and_is_forgotten(
    simulation: Simulation,
) -> None:
    tasks, begun = Tasks(ignore), list[str]()

    async def work() -> None:
        begun.append("begun")

    tasks.spawn(work, "early").cancel()
    await simulation.pass_time(1)
    assert (tasks.names, begun) == ((), [])


@in_virtual_time
async def test_what_nobody_took_is_reported(simulation: Simulation) -> None:
    crashes: list[Exception] = []
    tasks = Tasks(crashes.append)

    async def fail() -> None:
        raise ValueError("a bug")

    tasks.spawn(fail, "failing")
    await simulation.pass_time(1)
    assert [str(crash) for crash in crashes] == ["a bug"]


@in_virtual_time
async def test_the_end_cancels_what_runs_and_does_not_wait_for_what_will_not_end(simulation: Simulation) -> None:
    tasks, released = Tasks(ignore), asyncio.Event()

    async def stubborn() -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    tasks.spawn(lambda: asyncio.sleep(1_000), "sleeper")
    tasks.spawn(stubborn, "stubborn")
    await simulation.pass_time(1)
    await tasks.end()
    assert tasks.names == ("stubborn",)
    assert simulation.clock.monotonic_s() == 1 + END_MAX_S
    released.set()
    await simulation.pass_time(1)
