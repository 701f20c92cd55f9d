"""The coordinator: it takes tasks, auctions them among the agents, and watches over who works on what.

Its state is the board (`actors.rules.board`), a fold of its own events; what it decides is in `actors.rules.market`.
The ledger's holds and the agents' comings and goings reach it as facts. Leases and auction windows are timers in
memory: after a restart each runs for one full period again, since downtime is nobody's fault; a deadline is a time of
day and stays.

Rules: an auction closes when its window is over, or earlier once every agent that could take the task has answered.
While nobody who bid has a hand free, but somebody may come free, it stays open and uses up no attempt: the first bid
that can be used then closes it. Agents that had their hands full are told of it when they come free.
"""

from typing import ClassVar

import msgspec

from actors.rules import board as boards
from actors.rules import market, tasks
from actors.rules.board import Board, Member
from actors.rules.invitations import Invitations
from actors.rules.market import Terms
from actors.rules.settlement import task_of_hold
from actors.rules.tasks import LIVE, OPEN, Task
from actors.runtime import PersistentActor, Subscription
from bus.errors import NotEligible, NotFound
from bus.messages.agents import AgentJoined, AgentLeft, AgentStatus, agent_address
from bus.messages.base import AgentId, Event, Message, TaskId
from bus.messages.ledger import TransferHeld, TransferRefused
from bus.messages.tasks import (
    BidderChanged,
    CancelTask,
    CompleteTask,
    CreateTask,
    DeclineBid,
    FailTask,
    LeaseRenewed,
    ListTasks,
    ReadTask,
    RenewLease,
    StartWork,
    SubmitBid,
    TaskAccepted,
    TaskAssigned,
    TaskBidding,
    TaskCancelled,
    TaskCompleted,
    TaskCreated,
    TaskExpired,
    TaskFailed,
    TaskPage,
    TaskState,
    TaskView,
)

INVITATIONS_MAX = 64
"""Auctions that an agent which comes free is told of at once: enough to choose from, few beside its mailbox."""


class CoordinatorOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How auctions and leases run where a task says nothing else."""

    bid_window_s: float = 2.0
    """How long an auction is open for bids."""
    lease_s: float = 60.0
    """How long an agent keeps an assignment without a heartbeat."""
    invite_delay_s: float = 0.2
    """How long after it came free an agent is asked again; by then it knows itself that it is free."""
    wait_s_max: float = 30.0
    """The longest time between two looks at an auction that waits for somebody to come free."""


class AuctionDue(Message, frozen=True):
    """Told to oneself when an auction's window is over."""

    wire_name = "auction.due"

    task: TaskId
    attempt: int


class LeaseDue(Message, frozen=True):
    """Told to oneself when no heartbeat has come for a lease's period."""

    wire_name = "lease.due"

    task: TaskId
    attempt: int


class DeadlineDue(Message, frozen=True):
    """Told to oneself when a task's time is over."""

    wire_name = "deadline.due"

    task: TaskId


class InvitationDue(Message, frozen=True):
    """Told to oneself a moment after an agent came free."""

    wire_name = "invitation.due"

    agent: AgentId


class Coordinator(PersistentActor[Board]):
    """The one actor that gives tasks to agents."""

    state_type: ClassVar[type[Board]] = Board

    def __init__(self, options: CoordinatorOptions) -> None:
        self._options = options
        self._terms = Terms(options.bid_window_s, options.lease_s)
        self._invitations = Invitations()
        self._inviting: set[AgentId] = set()

    def initial(self) -> Board:
        return Board()

    def subscriptions(self) -> tuple[Subscription, ...]:
        topics = ("transfer.held", "transfer.refused", "agent.joined", "agent.left", "agent.status")
        return tuple(Subscription(topic) for topic in topics)

    def apply(self, event: Event) -> None:
        boards.apply(self.state, event)

    def on_recovered(self) -> None:
        for state in OPEN:
            for number in self.state.numbers.get(state, []):
                task = self.state.tasks[boards.task_id(number)]
                self._await_deadline(task)
                if task.state in LIVE:
                    self._await_heartbeat(task)
                elif task.auction is not None:
                    self._open(task)
                    self._invitations.remind(task.task, tuple(self._invitations.rounds[task.task].unanswered))
        for agent in self.state.members:
            self._invite_soon(agent)

    # Posters

    def on_create_task(self, command: CreateTask) -> TaskAccepted:
        events = market.decide_create(self.state, command, self.now_us)
        self._record(events)
        task = events[0].task if events else market.repeated(self.state, command, self.now_us)
        return market.accepted(self.state, task)

    def on_cancel_task(self, command: CancelTask) -> TaskAccepted:
        self._record(market.decide_cancel(self.state, command, self.now_us))
        return market.accepted(self.state, command.task)

    def on_read_task(self, query: ReadTask) -> TaskView:
        return tasks.view(market.task_of(self.state, query.task))

    def on_list_tasks(self, query: ListTasks) -> TaskPage:
        return boards.page(self.state, query)

    def on_transfer_held(self, fact: TransferHeld) -> None:
        task = task_of_hold(fact.transfer)
        if task is not None:
            self._record(market.decide_held(self.state, task, self.now_us, self._terms))

    def on_transfer_refused(self, fact: TransferRefused) -> None:
        task = task_of_hold(fact.transfer)
        if task is not None:
            self._record(market.decide_not_held(self.state, task, fact.reason, self.now_us))

    def on_deadline_due(self, message: DeadlineDue) -> None:
        events = market.decide_expire(self.state, message.task, self.now_us)
        if events:
            self._record(events)
        else:
            self._await_deadline(self.state.tasks[message.task])  # the wall clock was set back

    # Auctions

    def on_submit_bid(self, command: SubmitBid) -> TaskAccepted:
        try:
            events = market.decide_bid(self.state, command)
        except NotEligible:
            self._invitations.owe(command.task, command.agent)
            raise
        self._record(events)
        self._invitations.answer(command.task, command.agent)
        self._close_if_answered(command.task)
        return market.accepted(self.state, command.task)

    def on_decline_bid(self, command: DeclineBid) -> TaskAccepted:
        member = self._member(command.agent)
        answer = market.accepted(self.state, command.task)
        if market.is_busy(member):
            self._invitations.owe(command.task, command.agent)
        else:
            self._invitations.answer(command.task, command.agent)
        self._close_if_answered(command.task)
        return answer

    def on_auction_due(self, message: AuctionDue) -> None:
        task = self.state.tasks[message.task]
        if task.auction is None or task.attempt != message.attempt:
            return
        events = market.decide_close(self.state, task.task, self.now_us, self._terms, may_wait=True)
        if not events:
            may_wait = self._invitations.pass_window(task.task, tuple(task.auction.bids), self._is_busy)
            events = market.decide_close(self.state, task.task, self.now_us, self._terms, may_wait=may_wait)
        if not events:
            self._await_close(task)
        self._record(events)

    def on_agent_changed(self, fact: AgentJoined | AgentLeft | AgentStatus) -> None:
        self._record(market.decide_member(self.state, fact))
        if fact.agent in self.state.members:
            self._invite(fact.agent)

    def on_invitation_due(self, message: InvitationDue) -> None:
        self._inviting.discard(message.agent)
        self._invite(message.agent)

    # Workers

    def on_start_work(self, command: StartWork) -> TaskAccepted:
        self._record(market.decide_start(self.state, command, self.now_us))
        self._await_heartbeat(self.state.tasks[command.task])
        return market.accepted(self.state, command.task)

    def on_renew_lease(self, command: RenewLease) -> LeaseRenewed:
        task = market.task_of(self.state, command.task)
        tasks.check_lease(task, command, "renewed")
        self._await_heartbeat(task)
        return LeaseRenewed(task.task, market.lease_s(task, self._terms))

    def on_complete_task(self, command: CompleteTask) -> TaskAccepted:
        self._record(market.decide_complete(self.state, command, self.now_us))
        return market.accepted(self.state, command.task)

    def on_fail_task(self, command: FailTask) -> TaskAccepted:
        self._record(market.decide_fail(self.state, command, self.now_us, self._terms))
        return market.accepted(self.state, command.task)

    def on_lease_due(self, message: LeaseDue) -> None:
        self._record(market.decide_lapse(self.state, message.task, message.attempt, self.now_us, self._terms))

    # Private

    def _record(self, events: tuple[Event, ...]) -> None:
        """Persist, and let timers and invitations follow; agents that come free by it are given something to do."""
        if not events:
            return
        holders = {task.agent for event in events if (task := self._held_task(event)) is not None}
        self.persist(*events)
        for event in events:
            self._follow(event)
        for agent in sorted(holders):
            self._use_free_hands(agent)

    def _held_task(self, event: Event) -> Task | None:
        """The task whose lease the event ends, if it does."""
        match event:
            case TaskBidding() | TaskCompleted() | TaskFailed() | TaskCancelled() | TaskExpired():
                task = self.state.tasks[event.task]
                return task if task.state in LIVE else None
            case _:
                return None

    def _follow(self, event: Event) -> None:
        match event:
            case TaskCreated():
                self._await_deadline(self.state.tasks[event.task])
            case TaskBidding():
                self.cancel_timer(f"lease/{event.task}")
                self._open(self.state.tasks[event.task])
            case TaskAssigned():
                self._invitations.close(event.task)
                self.cancel_timer(f"auction/{event.task}")
                self._await_heartbeat(self.state.tasks[event.task])
            case TaskCompleted() | TaskFailed() | TaskCancelled() | TaskExpired():
                self._invitations.close(event.task)
                for kind in ("auction", "lease", "deadline"):
                    self.cancel_timer(f"{kind}/{event.task}")
            case BidderChanged():
                self._follow_bidder(event)
            case _:
                pass

    def _follow_bidder(self, event: BidderChanged) -> None:
        if event.presence == "left":
            self._invitations.forget(event.agent)
            self._record(market.decide_departure(self.state, event.agent, self.now_us, self._terms))
        elif event.presence == "present":
            member = self.state.members[event.agent]
            for number in self.state.numbers.get(TaskState.BIDDING, []):  # rare: once per joining or resuming
                task = self.state.tasks[boards.task_id(number)]
                if market.can_do(member, task) and task.task not in member.bids:
                    self._invitations.owe(task.task, event.agent)
            self._use_free_hands(event.agent)

    def _open(self, task: Task) -> None:
        """Await the answers to the task's auction for a full window."""
        bids = task.auction.bids if task.auction is not None else {}
        able = [
            (agent, member)
            for agent, member in self.state.members.items()
            if market.is_able(member, task) and agent not in bids and member.presence != "left"
        ]
        free = [agent for agent, member in able if market.is_free(member)]
        later = [agent for agent, member in able if not market.is_free(member)]
        self._invitations.open(task.task, task.attempt, free, later)
        self._await_close(task)

    def _close_if_answered(self, task: TaskId) -> None:
        if task in self._invitations.rounds and not self._invitations.is_awaiting(task, self._is_free):
            self._record(market.decide_close(self.state, task, self.now_us, self._terms, may_wait=True))

    def _use_free_hands(self, agent: AgentId) -> None:
        """Close the auctions that only waited for this agent, and tell it of those that it has not answered."""
        member = self.state.members.get(agent)
        while member is not None and market.is_free(member):
            due = next((task for task in member.bids if self._is_due(task, member)), None)
            if due is None:
                break
            self._record(market.decide_close(self.state, due, self.now_us, self._terms, may_wait=True))
        self._invite_soon(agent)

    def _is_due(self, task: TaskId, member: Member) -> bool:
        is_able = market.can_do(member, self.state.tasks[task])
        return is_able and not self._invitations.is_awaiting(task, self._is_free)

    def _invite_soon(self, agent: AgentId) -> None:
        if agent not in self._inviting:
            self._inviting.add(agent)
            self.start_timer(f"invite/{agent}", self._options.invite_delay_s, InvitationDue(agent))

    def _invite(self, agent: AgentId) -> None:
        member = self.state.members[agent]
        if not market.is_free(member):
            return
        for owed in self._invitations.take_owed(agent, INVITATIONS_MAX):
            task = self.state.tasks[owed]
            if market.can_do(member, task):
                closes_us = self.now_us + round(market.window_s(task, self._terms) * 1_000_000)
                self.tell(agent_address(agent), tasks.invitation(task, closes_us))
            else:
                self._invitations.answer(owed, agent)

    def _await_close(self, task: Task) -> None:
        window_s = market.window_s(task, self._terms)
        wait_s = min(window_s * self._invitations.patience(task.task), max(self._options.wait_s_max, window_s))
        self.start_timer(f"auction/{task.task}", wait_s, AuctionDue(task.task, task.attempt))

    def _await_heartbeat(self, task: Task) -> None:
        if task.state in LIVE:
            due = LeaseDue(task.task, task.attempt)
            self.start_timer(f"lease/{task.task}", market.lease_s(task, self._terms), due)

    def _await_deadline(self, task: Task) -> None:
        due_us = tasks.deadline_us(task)
        if due_us and task.state in OPEN:
            left_s = max(0.0, (due_us - self.now_us) / 1_000_000)
            self.start_timer(f"deadline/{task.task}", left_s, DeadlineDue(task.task))

    def _member(self, agent: AgentId) -> Member:
        member = self.state.members.get(agent)
        if member is None:
            raise NotFound("agent", agent)
        return member

    def _is_free(self, agent: AgentId) -> bool:
        member = self.state.members.get(agent)
        return member is not None and market.is_free(member)

    def _is_busy(self, agent: AgentId) -> bool:
        member = self.state.members.get(agent)
        return member is not None and market.is_busy(member)
