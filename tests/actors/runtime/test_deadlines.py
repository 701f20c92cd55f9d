"""The wheel: every deadline passes once, not before its time, and not much after it."""

import asyncio
import math
from functools import partial

import pytest

from actors.runtime.deadlines import TICK_S, Deadline, Deadlines
from actors.runtime.virtual_time import LeftBehind, Simulation, simulate
from tests.support.virtual import in_virtual_time


@in_virtual_time
async def test_a_deadline_passes_at_its_time_or_a_tick_later(simulation: Simulation) -> None:
    deadlines, passed = Deadlines(), dict[float, float]()
    delays = [simulation.dice.uniform(0, 3) for _ in range(200)]

    def set_deadline(delay_s: float) -> None:
        deadlines.after(delay_s, lambda: passed.update({delay_s: simulation.clock.monotonic_s()}))

    for delay_s in delays:
        set_deadline(delay_s)
    await simulation.pass_time(4)
    assert set(passed) == set(delays)
    assert all(0 <= at_s - delay_s <= TICK_S + 1e-6 for delay_s, at_s in passed.items())


@in_virtual_time
async def test_a_nearer_deadline_that_is_set_later_still_passes_first(simulation: Simulation) -> None:
    deadlines, passed = Deadlines(), list[str]()
    deadlines.after(10, lambda: passed.append("late"))
    deadlines.after(1, lambda: passed.append("soon"))
    await simulation.pass_time(2)
    assert passed == ["soon"]
    await simulation.pass_time(9)
    assert passed == ["soon", "late"]


@in_virtual_time
async def test_a_cancelled_deadline_never_passes(simulation: Simulation) -> None:
    deadlines, passed = Deadlines(), list[str]()
    deadlines.after(1, lambda: passed.append("cancelled")).cancel()
    deadlines.after(-1, lambda: passed.append("overdue"))
    await simulation.pass_time(2)
    assert passed == ["overdue"]


@in_virtual_time
async def test_a_deadline_may_set_the_next_one(simulation: Simulation) -> None:
    deadlines, passed = Deadlines(), list[float]()

    def again() -> None:
        passed.append(simulation.clock.monotonic_s())
        if len(passed) < 3:
            deadlines.after(1, again)

    deadlines.after(1, again)
    await simulation.pass_time(5)
    assert [round(at_s) for at_s in passed] == [1, 2, 3]


@in_virtual_time
async def test_a_deadline_is_never_early_by_so_much_as_a_rounding_error(simulation: Simulation) -> None:
    """Whoever is woken a moment too early asks again for no time at all, and so for ever."""
    deadlines, early = Deadlines(), list[float]()

    def note(due_s: float) -> None:
        if simulation.clock.monotonic_s() < due_s:
            early.append(due_s)

    for tick in range(1, 2_000):
        due_s = math.nextafter(tick * TICK_S, math.inf)
        deadlines.after(due_s, partial(note, due_s))
    await simulation.pass_time(20)
    assert early == []


@in_virtual_time
async def test_nothing_passes_after_the_wheel_is_closed(simulation: Simulation) -> None:
    deadlines, passed = Deadlines(), list[str]()
    deadlines.after(1, lambda: passed.append("closed"))
    deadlines.close()
    await simulation.pass_time(2)
    assert passed == []


@in_virtual_time
async def test_a_deadline_that_is_cancelled_is_let_go_of_at_once_and_one_may_cancel_its_neighbour(
    simulation: Simulation,
) -> None:
    deadlines, passed = Deadlines(), list[str]()
    many = [deadlines.after(30, lambda: passed.append("never")) for _ in range(1_000)]
    assert len(deadlines) == 1_000
    for deadline in many:
        deadline.cancel()
    assert len(deadlines) == 0
    neighbours: list[Deadline] = []

    def cancel_neighbours() -> None:
        for one in neighbours:
            one.cancel()

    deadlines.after(1, cancel_neighbours)
    neighbours.append(deadlines.after(1, lambda: passed.append("cancelled")))
    deadlines.after(1, lambda: passed.append("last"))
    await simulation.pass_time(31)
    assert (passed, len(deadlines)) == (["last"], 0)


def test_a_callback_that_raises_costs_the_others_nothing() -> None:
    passed: list[str] = []

    async def run(simulation: Simulation) -> None:
        deadlines = Deadlines()

        def fail() -> None:
            raise ValueError("a bug")

        deadlines.after(1, fail)
        deadlines.after(1, lambda: passed.append("the same moment"))
        deadlines.after(2, lambda: passed.append("later"))
        await asyncio.sleep(3)

    with pytest.raises(LeftBehind, match="a bug"):
        simulate(1, run)
    assert passed == ["the same moment", "later"]
