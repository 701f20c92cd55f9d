"""Supervision carried out: restarts, strategies, backoff, giving up, escalation, the order of stopping."""

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.runtime import Actor, ChildSpec, Restart, Strategy, SupervisionOptions
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.virtual_time import Simulation, simulate
from bus.address import Address
from bus.errors import ActorFault, NoSuchActor
from bus.messages.base import Done
from tests.support.virtual import Add, Crash, Hang, ReadSum, Recorder, Sum, Tell, child, in_virtual_time, system_in

ONE, TWO = Address("one"), Address("two")
NAMES = ("first", "second", "third", "fourth")


class Noisy(Recorder):
    """Says when it starts and stops."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self._log = log

    async def on_start(self) -> None:
        self._log.append(f"+{self.address}")

    async def on_stop(self) -> None:
        self._log.append(f"-{self.address}")


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Strategy.ONE_FOR_ONE, ["-second", "+second"]),
        (
            Strategy.ONE_FOR_ALL,
            ["-fourth", "-third", "-second", "-first", "+first", "+second", "+third", "+fourth"],
        ),
        (Strategy.REST_FOR_ONE, ["-fourth", "-third", "-second", "+second", "+third", "+fourth"]),
    ],
)
def test_a_failure_restarts_whom_the_strategy_names_stopped_in_reverse_and_started_in_order(
    strategy: Strategy, expected: list[str]
) -> None:
    @in_virtual_time
    async def run(simulation: Simulation) -> None:
        log: list[str] = []
        async with system_in(simulation, supervision=SupervisionOptions(strategy=strategy)) as system:
            await system.start(*(child(name, lambda: Noisy(log)) for name in NAMES))
            log.clear()
            system.tell(Address("second"), Crash())
            await simulation.pass_time(10)
            assert log == expected
            log.clear()
        assert log == [f"-{name}" for name in reversed(NAMES)]

    run()


@in_virtual_time
async def test_two_that_fail_together_are_both_back_whatever_the_strategy(simulation: Simulation) -> None:
    for strategy in Strategy:
        async with system_in(simulation, supervision=SupervisionOptions(strategy=strategy)) as system:
            await system.start(*(child(name, lambda: Noisy([])) for name in NAMES))
            for name in NAMES[1:3]:
                system.tell(Address(name), Crash())
            await simulation.pass_time(10)
            for name in NAMES:
                assert await system.ask(Address(name), ReadSum()) == Sum(0)


@in_virtual_time
async def test_the_mailbox_survives_and_the_message_that_crashed_does_not_come_again(simulation: Simulation) -> None:
    told: list[int] = []
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: Recorder(told)))
        system.tell(ONE, Tell(1))
        system.tell(ONE, Crash())
        system.tell(ONE, Tell(2))
        await simulation.pass_time(10)
        assert (told, system.dead_letters, system.statistics()[0].restarts) == ([1, 2], 1, 1)


@in_virtual_time
async def test_too_many_failures_end_the_system_with_the_cause(simulation: Simulation) -> None:
    async with system_in(simulation, supervision=SupervisionOptions(intensity_max=2, period_s=60)) as system:
        await system.start(child("one", Recorder))
        for _ in range(3):
            with pytest.raises(ActorFault):
                await system.ask(ONE, Crash(), timeout_s=30)
        error = await system.failed()
        assert (type(error), str(error)) == (
            ActorFault,
            "one failed while handling a message: ValueError: a bug",
        )
        assert system.statistics()[0].restarts == 2


@in_virtual_time
async def test_failures_with_peace_between_them_never_end_the_system(simulation: Simulation) -> None:
    async with system_in(simulation, supervision=SupervisionOptions(intensity_max=1, period_s=10)) as system:
        await system.start(child("one", Recorder))
        for _ in range(5):
            system.tell(ONE, Crash())
            await simulation.pass_time(11)
        assert system.statistics()[0].restarts == 5


class Doomed(Actor):
    """Fails at its first starts."""

    def __init__(self, starts: list[float], failures: int) -> None:
        self._starts = starts
        self._failures = failures

    async def on_start(self) -> None:
        self._starts.append(self.monotonic_s)
        if len(self._starts) <= self._failures:
            raise ValueError("not yet")

    def on_crash(self, command: Crash) -> Done:
        raise ValueError("a bug")

    def on_read(self, query: ReadSum) -> Sum:
        return Sum(len(self._starts))


@in_virtual_time
async def test_a_start_that_fails_is_told_to_who_asked_for_it_and_nothing_is_left(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        with pytest.raises(ValueError, match="not yet"):
            await system.start(child("one", lambda: Doomed([], 1)), child("two", Recorder))
        assert system.statistics() == ()
        with pytest.raises(NoSuchActor):
            await system.ask(ONE, ReadSum())
        await system.start(child("one", lambda: Doomed([], 0)))


@in_virtual_time
async def test_a_restart_that_fails_is_tried_again_with_a_longer_wait(simulation: Simulation) -> None:
    starts: list[float] = []
    actors = [0, 3]
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: Doomed(starts, actors.pop(0) if len(actors) > 1 else 3)))
        starts.clear()
        system.tell(ONE, Crash())
        await simulation.pass_time(60)
        assert await system.ask(ONE, ReadSum()) == Sum(4)
        waits = [later - sooner for sooner, later in itertools.pairwise(starts)]
        assert all(2 * 0.5 <= later / sooner <= 2 * 2 for sooner, later in itertools.pairwise(waits))


class Nest(Actor):
    """Spawns children under its own supervision, and asks them."""

    async def on_start(self) -> None:
        for number in range(2):
            self.spawn(ChildSpec(Address(f"nest/{number}"), Recorder))

    def on_add(self, command: Add) -> Sum:
        self.tell(Address("nest/0"), Crash())
        return Sum(command.amount)


@in_virtual_time
async def test_a_child_that_fails_too_often_is_a_failure_of_its_parent(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        await system.start(child("nest", Nest, children=SupervisionOptions(intensity_max=1, period_s=60)))
        await system.ask(Address("nest"), Add(1))
        await simulation.pass_time(5)
        assert [s.restarts for s in system.statistics()] == [0, 1, 0]
        await system.ask(Address("nest"), Add(1))
        await simulation.pass_time(5)
        assert [(s.address, s.restarts, s.state) for s in system.statistics()] == [
            ("nest", 1, Lifecycle.RUNNING),
            ("nest/0", 0, Lifecycle.RUNNING),
            ("nest/1", 0, Lifecycle.RUNNING),
        ]


@in_virtual_time
async def test_a_spawned_child_whose_start_fails_is_started_again(simulation: Simulation) -> None:
    starts: list[float] = []

    class Hopeful(Actor):
        async def on_start(self) -> None:
            self.spawn(ChildSpec(TWO, lambda: Doomed(starts, 2)))

    async with system_in(simulation) as system:
        await system.start(child("one", Hopeful))
        assert await system.ask(TWO, ReadSum(), timeout_s=30) == Sum(3)


@in_virtual_time
async def test_an_escalation_goes_all_the_way_up(simulation: Simulation) -> None:
    strict = SupervisionOptions(intensity_max=0)
    async with system_in(simulation, supervision=strict) as system:
        await system.start(child("nest", Nest, children=strict))
        await system.ask(Address("nest"), Add(1))
        assert "nest/0" in str(await system.failed())


class Stopping(Recorder):
    """Takes its time, fails or hangs while it stops."""

    def __init__(self, stop_s: float) -> None:
        super().__init__()
        self._stop_s = stop_s

    async def on_stop(self) -> None:
        if self._stop_s < 0:
            raise ValueError("cannot stop")
        try:
            await asyncio.sleep(self._stop_s)
        except asyncio.CancelledError:
            await asyncio.sleep(1)


@in_virtual_time
async def test_what_hangs_or_fails_while_it_stops_keeps_nobody_else_from_stopping(simulation: Simulation) -> None:
    log: list[str] = []
    async with system_in(simulation) as system:
        await system.start(
            child("noisy", lambda: Noisy(log)),
            child("failing", lambda: Stopping(-1)),
            child("hanging", lambda: Stopping(1_000), shutdown_s=3.0),
            child("killed", lambda: Stopping(1_000), shutdown_s=0),
        )
        began_s = simulation.clock.monotonic_s()
        await system.stop()
        assert 3 <= simulation.clock.monotonic_s() - began_s < 5
    assert log == ["+noisy", "-noisy"]


@in_virtual_time
async def test_shutdown_while_everything_is_busy_leaves_nothing_running(simulation: Simulation) -> None:
    async with system_in(simulation) as system, asyncio.TaskGroup() as tasks:
        await system.start(*(child(name, lambda: Noisy([])) for name in NAMES))

        async def ask(name: str) -> None:
            with pytest.raises((ActorFault, NoSuchActor, Exception)):
                await system.ask(Address(name), Hang(), timeout_s=1_000)

        for name in NAMES:
            tasks.create_task(ask(name))
            system.tell(Address(name), Tell(1))
            system.tell(Address(name), Crash())
        for _ in range(simulation.dice.index(10)):
            await asyncio.sleep(0)
        await system.stop()
        assert simulation.clock.monotonic_s() < 1


@in_virtual_time
async def test_an_actor_that_waits_for_its_restart_can_be_stopped(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        await system.start(child("one", Recorder))
        system.tell(ONE, Crash())
        await simulation.pass_time(0.01)
        await system.stop_actor(ONE)
        await simulation.pass_time(10)
        assert system.statistics() == ()


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    strategy=st.sampled_from(Strategy),
    kinds=st.lists(st.sampled_from(Restart), min_size=1, max_size=4),
    failures=st.lists(st.tuples(st.integers(0, 3), st.floats(0, 3)), max_size=12),
)
def test_restarts_never_pass_the_intensity_and_the_stop_is_in_reverse(
    seed: int, strategy: Strategy, kinds: list[Restart], failures: list[tuple[int, float]]
) -> None:
    options = SupervisionOptions(strategy=strategy, intensity_max=3, period_s=5)

    async def run(simulation: Simulation) -> None:
        log: list[str] = []
        async with system_in(simulation, supervision=options) as system:
            for number, kind in enumerate(kinds):
                await system.start(child(str(number), lambda: Noisy(log), restart=kind))
            restarts: list[tuple[float, int]] = []
            for number, wait_s in failures:
                system.tell(Address(str(number)), Crash())
                await simulation.pass_time(wait_s)
                now_s = simulation.clock.monotonic_s()
                restarts.append((now_s, max((s.restarts for s in system.statistics()), default=0)))
            for at_s, count in restarts:
                before = [earlier for time_s, earlier in restarts if time_s <= at_s - options.period_s]
                assert count - max(before, default=0) <= 2 * options.intensity_max
            await simulation.pass_time(10)
            alive = [s.address for s in system.statistics() if s.state is Lifecycle.RUNNING]
            log.clear()
        stopped = [line.removeprefix("-") for line in log]
        assert [name for name in stopped if name in alive] == [name for name in reversed(NUMBERS) if name in alive]

    simulate(seed, run)


NUMBERS = ("0", "1", "2", "3")
