"""The life of one task, as a guarded table.

    created ─▶ bidding ─▶ assigned ─▶ running ─▶ completed
                  ▲           │          │
                  └───────────┴──────────┘  an attempt is lost: the next auction, until none is left (failed)

Before an auction a task may have to wait, created: for the tasks that it comes after, and between attempts for its
retry delay. From every state before its end a task can be failed, cancelled or expired; an end is final. An assignment
is a lease: only its agent may speak for it, and only with its attempt number, so that who lost the lease can no longer
act. Doing what was done already is answered the same and causes nothing. A result proves that the work began.

Pure: no clock. `apply` is the only mutator.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import msgspec

from actors.rules.auction import Auction, place
from actors.rules.fields import check_id, check_integer, check_line, check_seconds, check_text, shorten
from bus.messages.base import AgentId, ArtifactId, Event, Microseconds, TaskId
from bus.messages.ledger import GENESIS
from bus.messages.lightning import WORLD
from bus.messages.tasks import (
    AuctionClosed,
    AuctionRule,
    Bid,
    BidSubmitted,
    CancelTask,
    CompleteTask,
    FailTask,
    RenewLease,
    StartWork,
    TaskAssigned,
    TaskBidding,
    TaskCancelled,
    TaskCompleted,
    TaskCreated,
    TaskExpired,
    TaskFailed,
    TaskSpec,
    TaskStarted,
    TaskState,
    TaskView,
    TaskWaiting,
)
from bus.refusals import IllegalTransition, InvalidField, LeaseNotHeld

TITLE_CHARS_MAX = 200
INSTRUCTIONS_BYTES_MAX = 16 * 1024
"""Half of what an event may take; a longer text is an artifact."""
CAPABILITY_BYTES_MAX = 200
REWARD_MSAT_MAX = 10**15
BID_WINDOW_S_MAX = 3_600.0
LEASE_S_MAX = 86_400.0
DEADLINE_S_MAX = 366 * 86_400.0
ATTEMPTS_MAX = 10
RETRY_DELAY_S_MAX = 3_600.0
PRIORITY_MAX = 9
AFTER_MAX = 32
PRIORITY_AGE_S = 60.0
"""A task that has waited so long goes before one of the next priority that is new: nothing waits for ever."""
REASON_CHARS_MAX = 500
SUMMARY_CHARS_MAX = 2_000
NO_POSTERS = frozenset({GENESIS, "escrow", "models"})
"""Accounts of the books' own: no task is paid from them."""

CREATED, BIDDING, ASSIGNED, RUNNING = TaskState.CREATED, TaskState.BIDDING, TaskState.ASSIGNED, TaskState.RUNNING
OPEN = frozenset({CREATED, BIDDING, ASSIGNED, RUNNING})
LIVE = frozenset({ASSIGNED, RUNNING})
"""The states in which an agent holds the task's lease."""


@dataclass(frozen=True)
class Move:
    """From which states an event may lead, and to which."""

    sources: frozenset[TaskState]
    target: TaskState


MOVES: dict[type[Event], Move] = {
    TaskWaiting: Move(OPEN, CREATED),
    TaskBidding: Move(OPEN, BIDDING),
    TaskAssigned: Move(frozenset({BIDDING}), ASSIGNED),
    TaskStarted: Move(frozenset({ASSIGNED}), RUNNING),
    TaskCompleted: Move(frozenset({RUNNING}), TaskState.COMPLETED),
    TaskFailed: Move(OPEN, TaskState.FAILED),
    TaskCancelled: Move(OPEN, TaskState.CANCELLED),
    TaskExpired: Move(OPEN, TaskState.EXPIRED),
}

WorkCommand = StartWork | RenewLease | CompleteTask | FailTask


class Task(msgspec.Struct, gc=False):
    """One task. `attempt` counts auctions; the last one is the fencing token of a lease."""

    task: TaskId
    number: int
    spec: TaskSpec
    created_us: Microseconds
    updated_us: Microseconds
    state: TaskState = CREATED
    attempt: int = 0
    auction: Auction | None = None
    agent: AgentId = AgentId("")
    price_msat: int = 0
    artifact: ArtifactId = ArtifactId("")
    summary: str = ""
    reason: str = ""
    ranking: tuple[Bid, ...] = ()
    is_waiting: bool = False
    """Its reward is held, and its next auction is not open yet."""
    waits_until_us: Microseconds = 0


def sound(spec: TaskSpec) -> TaskSpec:
    """The spec with a trimmed title and each task before it once, or `InvalidField` naming what makes no sense."""
    check_text("spec.instructions", spec.instructions, INSTRUCTIONS_BYTES_MAX)
    check_text("spec.capability", spec.capability, CAPABILITY_BYTES_MAX)
    check_integer("spec.reward_msat", spec.reward_msat, 1, REWARD_MSAT_MAX)
    check_id("spec.input", spec.input, may_be_empty=True)
    check_id("spec.poster", spec.poster)
    if spec.poster in NO_POSTERS or spec.poster.startswith(WORLD):
        raise InvalidField("spec.poster", f"{spec.poster} pays for no task")
    if spec.rule not in get_args(AuctionRule):
        raise InvalidField("spec.rule", f"must be one of {', '.join(get_args(AuctionRule))}")
    check_seconds("spec.bid_window_s", spec.bid_window_s, BID_WINDOW_S_MAX)
    check_seconds("spec.lease_s", spec.lease_s, LEASE_S_MAX)
    check_seconds("spec.deadline_s", spec.deadline_s, DEADLINE_S_MAX)
    check_integer("spec.attempts_max", spec.attempts_max, 1, ATTEMPTS_MAX)
    check_seconds("spec.retry_delay_s", spec.retry_delay_s, RETRY_DELAY_S_MAX)
    check_integer("spec.priority", spec.priority, -PRIORITY_MAX, PRIORITY_MAX)
    check_integer("the length of spec.after", len(spec.after), 0, AFTER_MAX)
    for index, task in enumerate(spec.after):
        check_id(f"spec.after[{index}]", task)
    title = check_line("spec.title", spec.title, TITLE_CHARS_MAX)
    return msgspec.structs.replace(spec, title=title, after=tuple(dict.fromkeys(spec.after)))


def check_move(task: Task, event: type[Event], verb: str) -> None:
    """Raises `IllegalTransition` if the table has no such move from the task's state."""
    if task.state not in MOVES[event].sources:
        raise IllegalTransition(f"task {task.task}", task.state, verb)


def check_lease(task: Task, command: WorkCommand, verb: str) -> None:
    """Raises `LeaseNotHeld` if another agent or a later attempt has the task, `IllegalTransition` if nobody has."""
    if command.agent != task.agent or command.attempt != task.attempt:
        raise LeaseNotHeld(command.agent, task.task, command.attempt, verb)
    if task.state not in LIVE:
        raise IllegalTransition(f"task {task.task}", task.state, verb)


def decide_start(task: Task, command: StartWork, now_us: Microseconds) -> tuple[Event, ...]:
    """The agent begins; a repeat causes nothing."""
    check_lease(task, command, "started")
    if task.state is RUNNING:
        return ()
    return (TaskStarted(task=task.task, agent=task.agent, attempt=task.attempt, at_us=now_us),)


def decide_complete(task: Task, command: CompleteTask, now_us: Microseconds) -> tuple[Event, ...]:
    """The result is accepted; a repeat by who completed the task causes nothing, and the first result stands."""
    is_repeat = command.agent == task.agent and command.attempt == task.attempt
    if task.state is TaskState.COMPLETED and is_repeat:
        return ()
    check_lease(task, command, "completed")
    check_id("artifact", command.artifact, may_be_empty=True)
    completed = TaskCompleted(
        task=task.task,
        agent=task.agent,
        attempt=task.attempt,
        price_msat=task.price_msat,
        artifact=command.artifact,
        summary=shorten(command.summary, SUMMARY_CHARS_MAX),
        at_us=now_us,
    )
    if task.state is RUNNING:
        return (completed,)
    return (TaskStarted(task=task.task, agent=task.agent, attempt=task.attempt, at_us=now_us), completed)


def decide_fail(task: Task, command: FailTask, now_us: Microseconds, window_s: float) -> tuple[Event, ...]:
    """The agent cannot deliver: the next auction, or the end if none can help."""
    check_lease(task, command, "failed")
    reason = shorten(command.reason, REASON_CHARS_MAX) or f"{task.agent} gave no reason"
    if command.is_retryable:
        return next_auction(task, reason, now_us, window_s)
    return (failed(task, reason, now_us),)


def decide_lost(task: Task, attempt: int, reason: str, now_us: Microseconds, window_s: float) -> tuple[Event, ...]:
    """A lease has run out or its agent has left: the next auction; nothing if that attempt is over already."""
    if task.state not in LIVE or task.attempt != attempt:
        return ()
    return next_auction(task, reason, now_us, window_s)


def decide_cancel(task: Task, command: CancelTask, now_us: Microseconds) -> tuple[Event, ...]:
    """The poster withdraws the task; a repeat causes nothing."""
    if task.state is TaskState.CANCELLED:
        return ()
    check_move(task, TaskCancelled, "cancelled")
    reason = shorten(command.reason, REASON_CHARS_MAX) or "cancelled by its poster"
    return (
        TaskCancelled(task=task.task, reason=reason, agent=task.agent, attempt=_attempt_of_lease(task), at_us=now_us),
    )


def decide_expire(task: Task, now_us: Microseconds) -> tuple[Event, ...]:
    """The end of a task whose deadline has passed; nothing if it has ended or has time left."""
    due_us = deadline_us(task)
    if task.state not in OPEN or not due_us or now_us < due_us:
        return ()
    reason = f"not done within {task.spec.deadline_s:g} s"
    return (
        TaskExpired(task=task.task, reason=reason, agent=task.agent, attempt=_attempt_of_lease(task), at_us=now_us),
    )


def next_auction(task: Task, reason: str, now_us: Microseconds, window_s: float) -> tuple[Event, ...]:
    """Another auction with the next attempt number, or the end if none is left."""
    if task.attempt >= task.spec.attempts_max:
        last = f"{reason}; attempt {task.attempt} of {task.spec.attempts_max} was the last"
        return (failed(task, last, now_us),)
    if task.attempt and task.spec.retry_delay_s and not task.is_waiting:
        until_us = now_us + round(task.spec.retry_delay_s * 2 ** (task.attempt - 1) * 1_000_000)
        return (_waiting(task, reason, until_us, now_us),)
    closes_us = now_us + round((task.spec.bid_window_s or window_s) * 1_000_000)
    return (_bidding(task, task.attempt + 1, now_us, closes_us, reason),)


def decide_resume(task: Task, now_us: Microseconds, window_s: float) -> tuple[Event, ...]:
    """The next auction of a task whose retry delay is over; nothing if it waits for something else, or not at all."""
    if not task.is_waiting or not task.waits_until_us or now_us < task.waits_until_us:
        return ()
    return next_auction(task, task.reason, now_us, window_s)


def depend(task: Task, states: Mapping[TaskId, TaskState], now_us: Microseconds, window_s: float) -> tuple[Event, ...]:
    """What a task whose reward is held does, given how the tasks stand that it comes after."""
    lost = [other for other in task.spec.after if states[other] not in OPEN | {TaskState.COMPLETED}]
    if lost:
        return (failed(task, f"{lost[0]}, which it comes after, is {states[lost[0]]}", now_us),)
    left = [other for other in task.spec.after if states[other] is not TaskState.COMPLETED]
    if not left:
        return next_auction(task, "", now_us, window_s)
    return () if task.is_waiting else (_waiting(task, f"it comes after {', '.join(left)}", 0, now_us),)


def urgency(task: Task) -> float:
    """Of the tasks that wait for an agent, the one with the most goes first: its priority, and how long it has waited.

    All age alike, so that how two tasks compare never changes and no clock is needed.
    """
    return task.spec.priority * PRIORITY_AGE_S - task.created_us / 1_000_000


def _waiting(task: Task, reason: str, until_us: Microseconds, now_us: Microseconds) -> TaskWaiting:
    return TaskWaiting(
        task=task.task,
        reason=reason,
        until_us=until_us,
        agent=task.agent,
        attempt=_attempt_of_lease(task),
        at_us=now_us,
    )


def invitation(task: Task, closes_us: Microseconds) -> TaskBidding:
    """What an agent is told that shall bid in the task's open auction; not a fact, so with the close as it is now."""
    opened_us = task.auction.opened_us if task.auction else task.updated_us
    return _bidding(task, task.attempt, opened_us, closes_us, task.reason)


def _bidding(task: Task, attempt: int, opened_us: Microseconds, closes_us: Microseconds, reason: str) -> TaskBidding:
    return TaskBidding(
        task=task.task,
        attempt=attempt,
        title=task.spec.title,
        capability=task.spec.capability,
        reward_msat=task.spec.reward_msat,
        rule=task.spec.rule,
        opened_us=opened_us,
        closes_us=closes_us,
        reason=reason,
    )


def failed(task: Task, reason: str, now_us: Microseconds) -> TaskFailed:
    """The end of a task that no attempt can save."""
    return TaskFailed(task=task.task, reason=reason, agent=task.agent, attempt=_attempt_of_lease(task), at_us=now_us)


def deadline_us(task: Task) -> Microseconds:
    """When the task expires, or 0 for never."""
    return task.created_us + round(task.spec.deadline_s * 1_000_000) if task.spec.deadline_s else 0


def _attempt_of_lease(task: Task) -> int:
    return task.attempt if task.state in LIVE else 0


def apply(task: Task, event: Event) -> None:
    """Fold one event of this task; what the table does not allow is left out."""
    move = MOVES.get(type(event))
    if move is not None:
        if task.state not in move.sources:
            return
        task.state = move.target
    match event:
        case TaskWaiting():
            task.is_waiting, task.waits_until_us, task.reason = True, event.until_us, event.reason
            task.auction, task.agent, task.price_msat, task.updated_us = None, AgentId(""), 0, event.at_us
        case TaskBidding():
            task.attempt, task.reason, task.updated_us = event.attempt, event.reason, event.opened_us
            task.is_waiting, task.waits_until_us = False, 0
            task.auction = Auction(event.opened_us, event.closes_us)
            task.agent, task.price_msat = AgentId(""), 0
        case BidSubmitted():
            if task.auction is not None:
                place(task.auction, event.agent, event.price_msat)
        case AuctionClosed():
            task.auction, task.ranking = None, event.ranking
        case TaskAssigned():
            task.agent, task.price_msat, task.reason = event.agent, event.price_msat, ""
            task.updated_us = event.at_us
        case TaskStarted():
            task.updated_us = event.at_us
        case TaskCompleted():
            task.artifact, task.summary, task.updated_us = event.artifact, event.summary, event.at_us
        case TaskFailed() | TaskCancelled() | TaskExpired():
            task.auction, task.reason, task.updated_us = None, event.reason, event.at_us
            task.is_waiting = False
        case _:
            pass


def created(event: TaskCreated, number: int) -> Task:
    """A new task."""
    return Task(event.task, number, event.spec, event.created_us, event.created_us)


def view(task: Task, lease_until_us: Microseconds = 0) -> TaskView:
    """The task as anyone may see it: bids of an open auction are a count and nothing else."""
    return TaskView(
        task=task.task,
        state=task.state,
        spec=task.spec,
        created_us=task.created_us,
        updated_us=task.updated_us,
        attempt=task.attempt,
        bids=len(task.auction.bids) if task.auction else len(task.ranking),
        auction_closes_us=task.auction.closes_us if task.auction else 0,
        agent=task.agent,
        price_msat=task.price_msat,
        artifact=task.artifact,
        summary=task.summary,
        reason=task.reason,
        ranking=task.ranking,
        lease_until_us=lease_until_us,
    )
