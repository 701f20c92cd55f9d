"""The crowd: turns, looks, tasks, and the place of everyone who listens."""

from collections.abc import Callable

import anyio
import anyio.lowlevel

from bus.clock import SystemClock
from bus.messages.base import Position
from tests.web.support import World
from web.cohort import Cohort
from web.crowd import FLUSH_CLIENTS, Crowd
from web.frames import Limits, Subscription
from web.wire import Filter

DEADLINE_S = 20.0


class Guest:
    """A client that notes what it is asked for."""

    def __init__(self) -> None:
        self.pumped = 0
        self.looked = anyio.Event()
        self.told = False
        self.delivered: list[Cohort] = []
        self.on_pump: Callable[[], None] = lambda: None

    def pump(self) -> None:
        self.pumped += 1
        self.on_pump()

    def look(self, now_s: float) -> None:
        self.looked.set()

    def say_goodbye(self) -> None:
        self.told = True

    def deliver(self, cohort: Cohort) -> None:
        self.delivered.append(cohort)

    def leave(self, cohort: Cohort, place: Subscription) -> None:
        cohort.drop(self)


def cursor(next_: int = 1, name: str = "feed", wanted: Filter | None = None) -> Subscription:
    return Subscription(name, wanted or Filter(), Position(next_))


def test_equal_cursors_stand_together_and_others_do_not() -> None:
    crowd = Crowd(SystemClock())
    one, other, third = Guest(), Guest(), Guest()
    shared = crowd.join(one, cursor(), Limits())
    assert shared is not None
    assert crowd.join(other, cursor(), Limits()) is shared
    assert list(shared.members) == [one, other]
    assert crowd.join(third, cursor(wanted=Filter(task="t-1")), Limits()) is not shared
    assert crowd.cohorts == 2


async def test_who_comes_while_a_cohort_moves_joins_at_the_next_tick() -> None:
    world = World()
    crowd, late = Crowd(SystemClock()), Guest()
    shared = crowd.join(Guest(), cursor(1), Limits())
    assert shared is not None
    assert crowd.join(late, cursor(9), Limits()) is None
    late.on_pump = lambda: shared.members.update({late: None})
    await crowd.flush(world.hub)
    assert late.pumped == 1
    await crowd.flush(world.hub)
    assert (late.pumped, list(shared.members)[-1]) == (1, late)


async def test_a_tick_delivers_to_every_member_and_forgets_empty_cohorts() -> None:
    world = World()
    crowd = Crowd(SystemClock())
    guests = [Guest() for _ in range(FLUSH_CLIENTS * 2 + 1)]
    shared = None
    for guest in guests:
        shared = crowd.join(guest, cursor(), Limits())
    assert shared is not None
    async with anyio.create_task_group() as group:
        group.start_soon(world.hub.run)
        world.chat(3)
        with anyio.fail_after(DEADLINE_S):
            while world.hub.horizon.head < 3:
                await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    await crowd.flush(world.hub)
    assert all(guest.delivered == [shared] for guest in guests)
    assert (shared.waiting, shared.steps) == ({}, [])
    for guest in guests:
        shared.drop(guest)
    await crowd.flush(world.hub)
    assert crowd.cohorts == 0


async def test_turns_looks_and_tasks_go_on_while_it_runs() -> None:
    crowd = Crowd(SystemClock())
    guest, done = Guest(), anyio.Event()

    async def job() -> None:
        crowd.wait_turn(guest)
        while not guest.pumped:
            await anyio.lowlevel.checkpoint()
        done.set()

    async with anyio.create_task_group() as group:
        group.start_soon(crowd.run)
        crowd.enter(guest, Limits(beat_s=0.01))
        crowd.start(job)
        with anyio.fail_after(DEADLINE_S):
            await done.wait()
            await guest.looked.wait()
        group.cancel_scope.cancel()
    assert guest.pumped == 1


async def test_who_left_is_not_asked_again() -> None:
    crowd = Crowd(SystemClock())
    guest, other = Guest(), Guest()
    crowd.enter(guest, Limits())
    crowd.enter(other, Limits())
    crowd.wait_turn(guest)
    crowd.leave(guest)
    crowd.say_goodbye()
    assert (len(crowd), guest.told, other.told) == (1, False, True)
