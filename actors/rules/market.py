"""The market: who may bid, and what the coordinator decides on commands, facts and timers.

Rules: a bid counts if its agent is known, present, capable of the task and has a hand free (its live assignments are
counted), and its price is whole, positive and within the reward; it is checked when it comes and again when the auction
closes. A task is auctioned once its reward is held. An auction without a bid is held again with the next attempt
number until none is left. An agent that leaves loses its leases.

Pure: no clock, no dice. `actors/rules/board.py` folds what is decided here.
"""

import msgspec

from actors.rules import auction, idempotency, tasks
from actors.rules.board import Board, Member, task_id
from actors.rules.tasks import BIDDING, CREATED, Task
from bus.messages.agents import AgentJoined, AgentLeft, AgentStatus, AgentStatusName
from bus.messages.base import AgentId, Event, Microseconds, TaskId
from bus.messages.tasks import (
    AuctionClosed,
    BidderChanged,
    BidSubmitted,
    CancelTask,
    CompleteTask,
    CreateTask,
    FailTask,
    Presence,
    StartWork,
    SubmitBid,
    TaskAccepted,
    TaskAssigned,
    TaskCreated,
    TaskState,
)
from bus.refusals import IdempotencyConflict, IllegalTransition, NotEligible, NotFound


class Terms(msgspec.Struct, frozen=True):
    """What holds for tasks whose spec says nothing else."""

    bid_window_s: float
    lease_s: float


def task_of(board: Board, task: TaskId) -> Task:
    """The task, or `NotFound`."""
    found = board.tasks.get(task)
    if found is None:
        raise NotFound("task", task)
    return found


def accepted(board: Board, task: TaskId) -> TaskAccepted:
    """The answer to a command on a task."""
    return TaskAccepted(task, task_of(board, task).state)


def is_able(member: Member, task: Task) -> bool:
    """Whether the agent has the capability that the task asks for."""
    capability = task.spec.capability
    return not capability or capability in member.capabilities


def can_do(member: Member, task: Task) -> bool:
    """Whether the agent is present and able, its hands free or not."""
    return member.presence == "present" and is_able(member, task)


def is_free(member: Member) -> bool:
    """Whether the agent can take one more task."""
    return member.presence == "present" and len(member.live) < member.concurrency_max


def is_busy(member: Member) -> bool:
    """Whether the agent is present with its hands full: it may come free."""
    return member.presence == "present" and len(member.live) >= member.concurrency_max > 0


def obstacle(board: Board, agent: AgentId, task: Task) -> str:
    """Why the agent cannot take the task now, or nothing if it can."""
    member = board.members.get(agent)
    if member is None or member.presence == "left":
        return "it is not here"
    if member.presence == "paused":
        return "it is paused"
    if not is_able(member, task):
        return f"it cannot {task.spec.capability}"
    if not is_free(member):
        return f"it has {len(member.live)} of {member.concurrency_max} tasks in hand"
    return ""


def repeated(board: Board, command: CreateTask, now_us: Microseconds) -> TaskId:
    """The task that the command's key has made already, or empty; `IdempotencyConflict` if it was for another spec."""
    known = TaskId(idempotency.subject_of(board.keys, command.idempotency_key, now_us))
    if known and board.tasks[known].spec != tasks.sound(command.spec):
        raise IdempotencyConflict(f"key {command.idempotency_key}")
    return known


def decide_member(board: Board, fact: AgentJoined | AgentLeft | AgentStatus) -> tuple[Event, ...]:
    """What a fact about an agent changes for the market; most changes of status change nothing."""
    member = board.members.get(fact.agent)
    match fact:
        case AgentJoined():
            is_new = member is None or member.presence == "left"
            changed = BidderChanged(
                agent=fact.agent,
                capabilities=fact.persona.capabilities,
                concurrency_max=fact.persona.concurrency_max,
                presence="present" if member is None or is_new else member.presence,
            )
        case AgentLeft() | AgentStatus():
            if member is None or member.presence == "left":
                return ()
            presence = _presence(member.presence, fact)
            changed = BidderChanged(fact.agent, member.capabilities, member.concurrency_max, presence)
    if member is not None and (member.capabilities, member.concurrency_max, member.presence) == (
        changed.capabilities,
        changed.concurrency_max,
        changed.presence,
    ):
        return ()
    return (changed,)


def _presence(before: Presence, fact: AgentLeft | AgentStatus) -> Presence:
    if isinstance(fact, AgentLeft):
        return "left"
    match fact.status:
        case AgentStatusName.LEFT:
            return "left"
        case AgentStatusName.PAUSED:
            return "paused"
        case AgentStatusName.WAITING:
            return before  # an agent that waits for money may be paused besides
        case AgentStatusName.IDLE | AgentStatusName.WORKING:
            return "present"


def decide_create(board: Board, command: CreateTask, now_us: Microseconds) -> tuple[TaskCreated, ...]:
    """A new task of sound spec; a repeat of its key causes nothing."""
    spec = tasks.sound(command.spec)
    key = idempotency.check_key(command.idempotency_key)
    if repeated(board, command, now_us):
        return ()
    for other in spec.after:  # what is not there yet cannot be named: that is why no circle can be made
        task_of(board, other)
    return (TaskCreated(task=task_id(len(board.tasks) + 1), spec=spec, created_us=now_us, idempotency_key=key),)


def decide_held(board: Board, task: TaskId, now_us: Microseconds, terms: Terms) -> tuple[Event, ...]:
    """The reward is held: the first auction opens, unless the task has ended meanwhile."""
    found = board.tasks.get(task)
    if found is None or found.state is not CREATED or found.is_waiting or found.attempt:
        return ()
    return tasks.depend(found, _states(board, found), now_us, terms.bid_window_s)


def decide_followers(board: Board, ended: TaskId, now_us: Microseconds, terms: Terms) -> tuple[Event, ...]:
    """A task has ended: what becomes of those that come after it and wait."""
    followers = [board.tasks[follower] for follower in dict.fromkeys(board.followers.get(ended, ()))]
    return tuple(
        event
        for follower in followers
        if follower.is_waiting and not follower.waits_until_us
        for event in tasks.depend(follower, _states(board, follower), now_us, terms.bid_window_s)
    )


def decide_resume(board: Board, task: TaskId, now_us: Microseconds, terms: Terms) -> tuple[Event, ...]:
    """A retry delay may be over."""
    return tasks.decide_resume(task_of(board, task), now_us, terms.bid_window_s)


def _states(board: Board, task: Task) -> dict[TaskId, TaskState]:
    return {other: board.tasks[other].state for other in task.spec.after}


def decide_not_held(board: Board, task: TaskId, reason: str, now_us: Microseconds) -> tuple[Event, ...]:
    """The reward cannot be held: nobody shall work for it."""
    found = board.tasks.get(task)
    if found is None or found.state is not CREATED:
        return ()
    return (tasks.failed(found, f"the reward could not be held: {reason}", now_us),)


def decide_bid(board: Board, command: SubmitBid) -> tuple[Event, ...]:
    """A bid that counts; one that says nothing new causes nothing.

    Raises `NotFound` for an unknown task or agent, `IllegalTransition` if no auction is open, `NotEligible`, or
    `InvalidField` for the price.
    """
    task = task_of(board, command.task)
    if command.agent not in board.members:
        raise NotFound("agent", command.agent)
    if task.state is not BIDDING or task.auction is None:
        raise IllegalTransition(f"task {task.task}", task.state, "bid on")
    auction.check_price(command.price_msat, task.spec.reward_msat)
    if why := obstacle(board, command.agent, task):
        raise NotEligible(command.agent, task.task, why)
    if not auction.is_replacing(task.auction, command.agent, command.price_msat):
        return ()
    return (BidSubmitted(task=task.task, agent=command.agent, attempt=task.attempt, price_msat=command.price_msat),)


def decide_close(
    board: Board, task: TaskId, now_us: Microseconds, terms: Terms, *, may_wait: bool
) -> tuple[Event, ...]:
    """The end of an open auction: its winner, or the next auction, or the task's end.

    With `may_wait` nothing happens while no bid can be used: somebody may come free who can take the task.
    """
    found = board.tasks.get(task)
    if found is None or found.auction is None:
        return ()
    choice = auction.choose(found.auction, _auction_terms(board, found))
    if not choice.winner and may_wait:
        return ()
    closed = AuctionClosed(
        task=task,
        attempt=found.attempt,
        ranking=choice.ranking,
        winner=choice.winner,
        price_msat=choice.price_msat,
        reason=choice.reason,
    )
    if not choice.winner:
        return (closed, *tasks.next_auction(found, choice.reason, now_us, terms.bid_window_s))
    assigned = TaskAssigned(
        task=task,
        agent=choice.winner,
        attempt=found.attempt,
        price_msat=choice.price_msat,
        lease_s=lease_s(found, terms),
        spec=found.spec,
        at_us=now_us,
    )
    return (closed, assigned)


def _auction_terms(board: Board, task: Task) -> auction.Terms:
    capability = task.spec.capability

    def record(agent: AgentId) -> auction.Record:
        member = board.members.get(agent)
        return auction.NEWCOMER if member is None else member.records.get(capability, auction.NEWCOMER)

    return auction.Terms(
        rule=task.spec.rule,
        reward_msat=task.spec.reward_msat,
        name=f"{task.task}/{task.attempt}",
        obstacle=lambda agent: obstacle(board, agent, task),
        record=record,
    )


def decide_work(
    board: Board, command: StartWork | CompleteTask | FailTask, now_us: Microseconds, terms: Terms
) -> tuple[Event, ...]:
    """What an agent says of its assignment; see `tasks` for the rules of each."""
    task = task_of(board, command.task)
    match command:
        case StartWork():
            return tasks.decide_start(task, command, now_us)
        case CompleteTask():
            return tasks.decide_complete(task, command, now_us)
        case FailTask():
            return tasks.decide_fail(task, command, now_us, terms.bid_window_s)


def decide_cancel(board: Board, command: CancelTask, now_us: Microseconds) -> tuple[Event, ...]:
    """See `tasks.decide_cancel`."""
    return tasks.decide_cancel(task_of(board, command.task), command, now_us)


def decide_lapse(board: Board, task: TaskId, attempt: int, now_us: Microseconds, terms: Terms) -> tuple[Event, ...]:
    """A lease has run out."""
    found = task_of(board, task)
    reason = f"the lease of {found.agent} ran out"
    return tasks.decide_lost(found, attempt, reason, now_us, terms.bid_window_s)


def decide_departure(board: Board, agent: AgentId, now_us: Microseconds, terms: Terms) -> tuple[Event, ...]:
    """An agent has left or is to leave: each of its leases is lost."""
    member = board.members.get(agent)
    if member is None:
        return ()
    return tuple(
        event
        for task, attempt in member.live.items()
        for event in tasks.decide_lost(board.tasks[task], attempt, f"{agent} has left", now_us, terms.bid_window_s)
    )


def decide_expire(board: Board, task: TaskId, now_us: Microseconds) -> tuple[Event, ...]:
    """A deadline may have passed."""
    return tasks.decide_expire(task_of(board, task), now_us)


def window_s(task: Task, terms: Terms) -> float:
    """How long the task's auctions are open."""
    return task.spec.bid_window_s or terms.bid_window_s


def lease_s(task: Task, terms: Terms) -> float:
    """How long the task's lease runs without a heartbeat."""
    return task.spec.lease_s or terms.lease_s
