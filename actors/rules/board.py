"""The board: what the coordinator remembers of tasks, of the agents that may bid, and of the keys that made tasks.

Rules: `apply` is the only thing that changes the board, live and on replay alike; it is total. It looks at nothing but
the task and the agents that an event is about. A listing is a page of an ordered index, never a scan.

Pure: no clock, no disk.
"""

from bisect import bisect_left, insort
from collections.abc import Callable

import msgspec

from actors.rules import idempotency, tasks
from actors.rules.auction import Record
from actors.rules.fields import check_integer
from actors.rules.idempotency import Keys
from actors.rules.tasks import LIVE, OPEN, Task
from bus.messages.base import AgentId, Event, Microseconds, TaskId
from bus.messages.tasks import (
    AuctionClosed,
    BidderChanged,
    BidSubmitted,
    ListTasks,
    Presence,
    TaskAssigned,
    TaskBidding,
    TaskCancelled,
    TaskCompleted,
    TaskCreated,
    TaskExpired,
    TaskFailed,
    TaskPage,
    TaskStarted,
    TaskState,
    TaskWaiting,
)
from bus.refusals import InvalidField

PAGE_MAX = 200
"""The most tasks on one page."""

OnTask = (
    BidSubmitted
    | AuctionClosed
    | TaskBidding
    | TaskAssigned
    | TaskStarted
    | TaskCompleted
    | TaskFailed
    | TaskCancelled
    | TaskExpired
    | TaskWaiting
)


class Member(msgspec.Struct):
    """An agent as the market knows it."""

    capabilities: tuple[str, ...]
    concurrency_max: int
    presence: Presence = "present"
    live: dict[TaskId, int] = {}
    """Its live assignments, with their attempts."""
    bids: dict[TaskId, int] = {}
    """The open auctions in which it has a live bid, oldest first, with their attempts."""
    records: dict[str, Record] = {}
    """How it has done, by capability."""


class Board(msgspec.Struct):
    """All that the coordinator knows."""

    tasks: dict[TaskId, Task] = {}
    members: dict[AgentId, Member] = {}
    numbers: dict[TaskState, list[int]] = {}
    """The numbers of the tasks in each state, rising."""
    followers: dict[TaskId, list[TaskId]] = {}
    """By open task, those that come after it."""
    keys: Keys = msgspec.field(default_factory=Keys)


def apply(board: Board, event: Event) -> None:
    """Fold one event."""
    match event:
        case TaskCreated():
            number = len(board.tasks) + 1
            board.tasks[event.task] = tasks.created(event, number)
            insort(board.numbers.setdefault(TaskState.CREATED, []), number)
            for other in event.spec.after:
                if other in board.tasks and board.tasks[other].state in OPEN:
                    board.followers.setdefault(other, []).append(event.task)
            idempotency.remember(board.keys, event.idempotency_key, event.task, event.created_us)
        case (
            BidSubmitted()
            | AuctionClosed()
            | TaskBidding()
            | TaskAssigned()
            | TaskStarted()
            | TaskCompleted()
            | TaskFailed()
            | TaskCancelled()
            | TaskExpired()
            | TaskWaiting()
        ):
            task = board.tasks.get(event.task)
            if task is not None:
                _apply_to_task(board, task, event)
        case BidderChanged():
            member = board.members.get(event.agent)
            if member is None:
                member = board.members[event.agent] = Member(event.capabilities, event.concurrency_max)
            member.capabilities, member.concurrency_max = event.capabilities, event.concurrency_max
            member.presence = event.presence
        case _:
            pass


def _apply_to_task(board: Board, task: Task, event: OnTask) -> None:
    state, agent, bids = task.state, task.agent, task.auction
    tasks.apply(task, event)
    if task.state is not state:
        index = board.numbers[state]
        del index[bisect_left(index, task.number)]
        insort(board.numbers.setdefault(task.state, []), task.number)
    if isinstance(event, BidSubmitted) and event.agent in board.members and bids is not None:
        board.members[event.agent].bids[task.task] = event.attempt
    if bids is not None and task.auction is not bids:
        for bidder in bids.bids:
            if bidder in board.members:
                board.members[bidder].bids.pop(task.task, None)
    if state in LIVE and task.state not in LIVE and agent in board.members:
        member = board.members[agent]
        member.live.pop(task.task, None)
        if not isinstance(event, TaskCancelled):  # that was the poster's doing
            record = member.records.setdefault(task.spec.capability, Record())
            record.finished += isinstance(event, TaskCompleted)
            record.unfinished += not isinstance(event, TaskCompleted)
    if isinstance(event, TaskAssigned) and task.state in LIVE and event.agent in board.members:
        board.members[event.agent].live[task.task] = event.attempt


def page(board: Board, query: ListTasks, lease_until_us: Callable[[TaskId], Microseconds] = lambda _: 0) -> TaskPage:
    """One page of tasks, newest first; `InvalidField` for a limit or a cursor that makes no sense."""
    check_integer("limit", query.limit, 1, PAGE_MAX)
    end = number_of(query.after) if query.after else len(board.tasks) + 1
    index = range(1, len(board.tasks) + 1) if query.state is None else board.numbers.get(query.state, [])
    stop = bisect_left(index, end)
    shown = index[max(0, stop - query.limit) : stop]
    found = (board.tasks[task_id(number)] for number in reversed(shown))
    views = tuple(tasks.view(task, lease_until_us(task.task)) for task in found)
    return TaskPage(views, views[-1].task if stop > query.limit else TaskId(""))


def task_id(number: int) -> TaskId:
    """The id of the task with that number; the first has number 1."""
    return TaskId(f"t-{number}")


def number_of(task: TaskId) -> int:
    """The number in a listing's cursor; `InvalidField` for anything but a task's id."""
    digits = task.removeprefix("t-")
    if task == digits or not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        raise InvalidField("after", f"{task!r} is no task id")
    return int(digits)
