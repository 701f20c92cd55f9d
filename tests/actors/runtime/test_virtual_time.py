"""The virtual-time loop: nothing waits for real, a seed is an order, and the outside is an error."""

import asyncio
from collections.abc import AsyncIterator

import anyio
import pytest

from actors.runtime.virtual_time import START_US, LeftBehind, NothingLeftToRun, Simulation, simulate


async def interleaving(simulation: Simulation) -> list[int]:
    done: list[int] = []

    async def work(number: int) -> None:
        await asyncio.sleep(1)
        done.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in range(6):
            tasks.create_task(work(number))
    return done


def test_a_seed_is_an_order_and_repeats_it() -> None:
    orders = [tuple(simulate(seed, interleaving)) for seed in range(20)]
    assert orders == [tuple(simulate(seed, interleaving)) for seed in range(20)]
    assert len(set(orders)) > 10


def test_time_passes_at_once_and_both_clocks_see_it() -> None:
    async def run(simulation: Simulation) -> tuple[float, int]:
        await simulation.pass_time(3_600)
        return simulation.clock.monotonic_s(), simulation.clock.now_us()

    assert simulate(1, run) == (3_600, START_US + 3_600_000_000)


def test_the_wall_clock_can_be_stepped_apart() -> None:
    async def run(simulation: Simulation) -> tuple[float, int]:
        simulation.clock.step_wall(-60)
        return simulation.clock.monotonic_s(), simulation.clock.now_us()

    assert simulate(1, run) == (0.0, START_US - 60_000_000)


def test_deadlines_pass_in_virtual_time() -> None:
    async def run(simulation: Simulation) -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.get_running_loop().create_future()
        return simulation.clock.monotonic_s()

    assert simulate(1, run) == 30


def test_timers_of_different_moments_keep_their_order_and_cancelled_ones_stay_silent() -> None:
    async def run(simulation: Simulation) -> list[str]:
        heard: list[str] = []
        loop = asyncio.get_running_loop()
        loop.call_later(2, heard.append, "second")
        loop.call_later(1, heard.append, "first")
        loop.call_later(1.5, heard.append, "never").cancel()
        await simulation.pass_time(3)
        return heard

    assert simulate(1, run) == ["first", "second"]


def test_a_run_that_nobody_will_go_on_with_is_an_error_that_names_who_waits() -> None:
    async def run(simulation: Simulation) -> None:
        asyncio.current_task().set_name("the one")  # type: ignore[union-attr]  # a running coroutine has a task
        await asyncio.get_running_loop().create_future()

    with pytest.raises(NothingLeftToRun, match="the one"):
        simulate(1, run)


def test_a_task_that_is_left_running_is_an_error_that_names_it() -> None:
    async def run(simulation: Simulation) -> None:
        task = asyncio.create_task(simulation.pass_time(10), name="stray")
        await asyncio.sleep(0)
        assert not task.done()

    with pytest.raises(LeftBehind, match="stray"):
        simulate(1, run)


def test_an_exception_that_nobody_took_is_an_error() -> None:
    async def run(simulation: Simulation) -> None:
        def fail() -> None:
            raise ValueError("unseen")

        asyncio.get_running_loop().call_soon(fail)
        await simulation.pass_time(1)

    with pytest.raises(LeftBehind, match="unseen"):
        simulate(1, run)


def test_the_world_outside_is_an_error() -> None:
    async def run(simulation: Simulation) -> None:
        await asyncio.to_thread(len, "")

    with pytest.raises(NotImplementedError):
        simulate(1, run)


def test_a_failure_carries_its_seed() -> None:
    async def run(simulation: Simulation) -> None:
        raise ValueError("this run fails")

    with pytest.raises(ValueError, match="this run fails") as failure:
        simulate(42, run)
    assert failure.value.__notes__ == ["seed 42: simulate(42, ...) repeats this run"]


def test_an_asynchronous_generator_that_is_dropped_is_closed() -> None:
    closed: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append("closed")

    async def run(simulation: Simulation) -> None:
        async for _ in numbers():
            break
        await simulation.pass_time(1)

    simulate(1, run)
    assert closed == ["closed"]


def test_tasks_that_are_cancelled_together_end_in_the_same_order_in_every_run_of_a_seed() -> None:
    async def run(simulation: Simulation) -> list[int]:
        ended = []

        async def wait(number: int) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                ended.append(number)

        async def wait_in_a_group(number: int) -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(wait, number)
                group.start_soon(wait, number + 1)

        async with anyio.create_task_group() as group:
            for number in range(0, 40, 2):
                group.start_soon(wait_in_a_group, number)
            await simulation.pass_time(1)
            group.cancel_scope.cancel()
        return ended

    runs, kept = [], []
    for size in range(20):
        runs.append(simulate(1, run))
        kept.append([bytearray(50 * size) for _ in range(size)])  # so that the next run finds other places in memory
    assert sorted(runs[0]) == [*range(40)]
    assert all(ended == runs[0] for ended in runs)
