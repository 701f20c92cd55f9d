"""When the coordinator hears of what its tasks are due for."""

from collections.abc import Callable
from typing import ClassVar

from msgspec.structs import replace

from actors.rules.board import Board
from actors.rules.market import Terms
from actors.rules.tasks import Task
from actors.runtime import PersistentActor
from actors.runtime.virtual_time import Simulation
from actors.timetable import CLOSES_MAX, AuctionsDue, DeadlineDue, LeaseDue, Timetable, WaitDue
from bus.address import Address
from bus.messages.base import Event, Message, TaskId
from bus.messages.tasks import TaskState
from tests.support.market import spec
from tests.support.virtual import Tell, child, in_virtual_time, system_in

ONE = Address("one")
TERMS = Terms(bid_window_s=2.0, lease_s=60.0)
T1, T2 = TaskId("t-1"), TaskId("t-2")
Act = Callable[["Desk", Timetable], None]


class Desk(PersistentActor[Board]):
    """Has a timetable and nothing else. The number that it is told says what it does with it."""

    state_type: ClassVar[type[Board]] = Board

    def __init__(self, *acts: Act) -> None:
        self._acts = acts
        self._timetable = Timetable(self, TERMS)
        self.heard: list[tuple[float, Message]] = []
        self.closed: list[tuple[float, tuple[TaskId, ...]]] = []

    def initial(self) -> Board:
        return Board()

    def apply(self, event: Event) -> None:
        pass

    def on_tell(self, message: Tell) -> None:
        self._acts[message.number](self, self._timetable)

    def on_due(self, message: LeaseDue | DeadlineDue | WaitDue) -> None:
        self.heard.append((round(self.monotonic_s, 1), message))

    def on_auctions_due(self, _: AuctionsDue) -> None:
        self.closed.append((round(self.monotonic_s, 1), self._timetable.take_closes()))


def task(state: TaskState, *, deadline_s: float = 0.0) -> Task:
    return Task(T1, 1, replace(spec(), deadline_s=deadline_s), 0, 0, state, attempt=1)


def at_work(_: Desk, timetable: Timetable) -> None:
    timetable.await_heartbeat(task(TaskState.RUNNING))


def lease_ends(desk: Desk, timetable: Timetable) -> None:
    timetable.end_lease(T1)


@in_virtual_time
async def test_the_end_of_a_lease_can_be_seen_moves_with_each_heartbeat_and_goes_with_it(
    simulation: Simulation,
) -> None:
    seen: list[tuple[float, list[TaskId]]] = []

    def look(desk: Desk, timetable: Timetable) -> None:
        left_s = (timetable.lease_until_us(T1) - desk.now_us) / 1_000_000
        seen.append((round(left_s, 1), [task for _, task in timetable.leases()]))

    desk = Desk(at_work, look, lease_ends, lambda _, timetable: seen.append((timetable.lease_until_us(T1), [])))
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: desk))
        for number, wait_s in ((0, 20), (1, 1), (0, 1), (1, 1), (2, 1), (3, 1)):
            system.tell(ONE, Tell(number))
            await simulation.pass_time(wait_s)
    assert seen == [(40.0, [T1]), (59.0, [T1]), (0, [])]


@in_virtual_time
async def test_a_lease_runs_a_full_period_from_the_last_heartbeat_on(simulation: Simulation) -> None:
    desk = Desk(at_work)
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: desk))
        for _ in range(3):
            system.tell(ONE, Tell(0))
            await simulation.pass_time(50)
        await simulation.pass_time(1_000)
    assert desk.heard == [(160.0, LeaseDue(T1, 1))]


@in_virtual_time
async def test_nobody_hears_of_what_a_task_that_is_over_was_due_for(simulation: Simulation) -> None:
    def await_all(actor: Desk, timetable: Timetable) -> None:
        running = task(TaskState.RUNNING, deadline_s=5)
        running.created_us = actor.now_us
        timetable.await_heartbeat(running)
        timetable.await_deadline(running)
        timetable.await_close(T1, 3)

    def wait(actor: Desk, timetable: Timetable) -> None:
        created = task(TaskState.CREATED)
        created.is_waiting, created.waits_until_us = True, actor.now_us + 4_000_000
        timetable.await_retry(created)

    desk = Desk(await_all, wait, lambda _, timetable: timetable.end(T1))
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: desk))
        for number in (0, 1, 2):
            system.tell(ONE, Tell(number))
        await simulation.pass_time(100)
        assert (desk.heard, [tasks for _, tasks in desk.closed]) == ([], [()])
        for number in (0, 1):
            system.tell(ONE, Tell(number))
        await simulation.pass_time(100)
    assert desk.heard == [(104.0, WaitDue(T1)), (105.0, DeadlineDue(T1)), (160.0, LeaseDue(T1, 1))]
    assert desk.closed[-1] == (103.0, (T1,))


@in_virtual_time
async def test_one_timer_serves_all_auctions_a_few_at_a_time(simulation: Simulation) -> None:
    many = [TaskId(f"t-{number}") for number in range(100, 100 + CLOSES_MAX + 2)]

    def open_many(_: Desk, timetable: Timetable) -> None:
        for name in many:
            timetable.await_close(name, 2)
        timetable.await_close(T1, 1)
        timetable.await_close(T2, 1)
        timetable.end_auction(T2)

    desk = Desk(open_many)
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: desk))
        system.tell(ONE, Tell(0))
        await simulation.pass_time(100)
    assert desk.closed == [(1.0, (T1,)), (2.0, tuple(many[:CLOSES_MAX])), (2.0, tuple(many[CLOSES_MAX:]))]


@in_virtual_time
async def test_a_task_that_nobody_holds_and_that_has_no_deadline_is_due_for_nothing(simulation: Simulation) -> None:
    def await_nothing(_: Desk, timetable: Timetable) -> None:
        for state in (TaskState.BIDDING, TaskState.COMPLETED):
            timetable.await_heartbeat(task(state))
            timetable.await_deadline(task(state))
            timetable.await_retry(task(state))

    desk = Desk(await_nothing)
    async with system_in(simulation) as system:
        await system.start(child("one", lambda: desk))
        system.tell(ONE, Tell(0))
        await simulation.pass_time(10_000)
    assert desk.heard == []
