"""The timetable of one coordinator: when leases, deadlines, retry delays and the windows of auctions are over.

Rules: a lease, a deadline and a delay have a timer each, under their task's name; a renewed lease replaces its timer,
and what is replaced or ended is never heard of again. Auctions are many and short, so one timer serves all of them. A
deadline and a delay are times of day: who is told of one asks for it again, should the wall clock have been set back.

It lives in memory and is made again at a start, each lease and window in full.
"""

import math

from actors.rules import market, tasks
from actors.rules.agenda import Agenda
from actors.rules.board import Board
from actors.rules.market import Terms
from actors.rules.tasks import LIVE, OPEN, Task
from actors.runtime import PersistentActor
from bus.messages.base import Message, Microseconds, TaskId

CLOSES_MAX = 64
"""Auctions that are closed in one turn when many are due: a few milliseconds of the loop."""


class AuctionsDue(Message, frozen=True):
    """Told to the coordinator when the window of an auction is over: one timer serves all of them."""

    wire_name = "auctions.due"


class LeaseDue(Message, frozen=True):
    """Told to the coordinator when no heartbeat has come for a lease's period."""

    wire_name = "lease.due"

    task: TaskId
    attempt: int


class DeadlineDue(Message, frozen=True):
    """Told to the coordinator when a task's time is over."""

    wire_name = "deadline.due"

    task: TaskId


class WaitDue(Message, frozen=True):
    """Told to the coordinator when a task's retry delay is over."""

    wire_name = "wait.due"

    task: TaskId


class Timetable:
    """What the coordinator awaits of its tasks; used only within its turns."""

    def __init__(self, actor: PersistentActor[Board], terms: Terms) -> None:
        self._actor = actor
        self._terms = terms
        self._closes: Agenda[TaskId] = Agenda()
        self._wakes_s = math.inf
        """When the one timer for all auctions passes."""
        self._leases_until_us: dict[TaskId, Microseconds] = {}

    def lease_until_us(self, task: TaskId) -> Microseconds:
        """When the task's lease ends unless it is renewed before, by the wall clock; 0 while nobody holds it."""
        return self._leases_until_us.get(task, 0)

    def leases(self) -> list[tuple[Microseconds, TaskId]]:
        """All leases by their end, the first to end first."""
        return sorted((until_us, task) for task, until_us in self._leases_until_us.items())

    def await_heartbeat(self, task: Task) -> None:
        """Let the task's lease run for a full period, if somebody holds it."""
        if task.state in LIVE:
            lease_s = market.lease_s(task, self._terms)
            self._leases_until_us[task.task] = self._actor.now_us + round(lease_s * 1_000_000)
            self._actor.start_timer(f"lease/{task.task}", lease_s, LeaseDue(task.task, task.attempt))

    def await_deadline(self, task: Task) -> None:
        """Await the task's deadline, if it has one."""
        due_us = tasks.deadline_us(task)
        if due_us and task.state in OPEN:
            self._actor.start_timer(f"deadline/{task.task}", self._left_s(due_us), DeadlineDue(task.task))

    def await_retry(self, task: Task) -> None:
        """Await the end of the task's retry delay, if it waits for that."""
        if task.is_waiting and task.waits_until_us:
            self._actor.start_timer(f"wait/{task.task}", self._left_s(task.waits_until_us), WaitDue(task.task))

    def await_close(self, task: TaskId, wait_s: float) -> None:
        """Await the end of an auction's window."""
        self._closes.put(task, self._actor.monotonic_s + wait_s)
        self._wake_for_next()

    def take_closes(self) -> tuple[TaskId, ...]:
        """The auctions whose windows are over, a few at a time: those that are left over follow at once."""
        due = self._closes.take(self._actor.monotonic_s, CLOSES_MAX)
        self._wakes_s = math.inf
        self._wake_for_next()
        return due

    def end_auction(self, task: TaskId) -> None:
        """The auction is over, or there is none."""
        self._closes.drop(task)

    def end_lease(self, task: TaskId) -> None:
        """Nobody holds the task any more."""
        self._leases_until_us.pop(task, None)
        self._actor.cancel_timer(f"lease/{task}")

    def end(self, task: TaskId) -> None:
        """The task is over, and nothing of it is awaited."""
        self.end_auction(task)
        self.end_lease(task)
        for kind in ("deadline", "wait"):
            self._actor.cancel_timer(f"{kind}/{task}")

    def _left_s(self, due_us: Microseconds) -> float:
        return max(0.0, (due_us - self._actor.now_us) / 1_000_000)

    def _wake_for_next(self) -> None:
        next_s = self._closes.next_s
        if next_s is not None and next_s < self._wakes_s:
            self._wakes_s = next_s
            self._actor.start_timer("auctions", max(0.0, next_s - self._actor.monotonic_s), AuctionsDue())
