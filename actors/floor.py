"""The auction floor: what the coordinator does besides deciding, such as inviting agents and closing auctions.

It records what was decided, and lets follow what must: what has to be awaited is put into the timetable, and an agent
that comes free gets the tasks that waited for it. All of this lives in memory and is made again at a start from the
board.

Rules: an auction closes when its window is over, or earlier once every agent that could take the task has answered.
While nobody who bid has a hand free, but somebody may come free, it stays open and uses up no attempt: the first bid
that can be used then closes it. Agents that had their hands full are told of it when they come free, the most urgent
task first; of the auctions that only waited for an agent, the most urgent is closed first. While all is
halted no auction closes; resuming opens each for a full window again.
"""

from collections import deque
from typing import Annotated

import msgspec

from actors.rules import board as boards
from actors.rules import market, tasks
from actors.rules.board import Board, Member
from actors.rules.invitations import Invitations
from actors.rules.market import Terms
from actors.rules.tasks import LIVE, OPEN, Task
from actors.runtime import PersistentActor
from actors.timetable import Timetable
from bus.messages.agents import agent_address
from bus.messages.base import AgentId, Event, Message, TaskId
from bus.messages.tasks import (
    BidderChanged,
    Invite,
    TaskAssigned,
    TaskBidding,
    TaskCancelled,
    TaskCompleted,
    TaskCreated,
    TaskExpired,
    TaskFailed,
    TaskState,
    TaskWaiting,
)
from bus.switch import Switch

INVITATIONS_MAX = 64
"""Auctions that an agent which comes free is told of at once: enough to choose from, few beside its mailbox."""


class CoordinatorOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How auctions and leases run where a task says nothing else."""

    bid_window_s: Annotated[float, msgspec.Meta(gt=0, le=tasks.BID_WINDOW_S_MAX)] = 2.0
    """How long an auction is open for bids."""
    lease_s: Annotated[float, msgspec.Meta(gt=0, le=tasks.LEASE_S_MAX)] = 60.0
    """How long an agent keeps an assignment without a heartbeat."""
    invite_delay_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.2
    """How long after it came free an agent is asked again; by then it knows itself that it is free."""
    wait_s_max: Annotated[float, msgspec.Meta(gt=0, le=3_600)] = 30.0
    """The longest time between two looks at an auction that waits for somebody to come free."""


class InvitationDue(Message, frozen=True):
    """Told to oneself a moment after an agent came free."""

    wire_name = "invitation.due"

    agent: AgentId


class Floor:
    """The floor of one coordinator; used only within its turns."""

    def __init__(
        self, actor: PersistentActor[Board], options: CoordinatorOptions, switch: Switch | None = None
    ) -> None:
        self._actor = actor
        self._switch = switch or Switch()
        self._options = options
        self.terms = Terms(options.bid_window_s, options.lease_s)
        self.timetable = Timetable(actor, self.terms)
        self._invitations = Invitations()
        self._inviting: set[AgentId] = set()
        self._ended: deque[TaskId] = deque()
        """Tasks whose followers have not been looked at yet."""
        self._is_settling = False

    @property
    def _board(self) -> Board:
        return self._actor.state

    def resume(self) -> None:
        """After a start: await again what the board says is under way, and ask again who has not bid."""
        for state in OPEN:
            for number in self._board.numbers.get(state, []):
                task = self._board.tasks[boards.task_id(number)]
                self.timetable.await_deadline(task)
                self.timetable.await_heartbeat(task)
                self.timetable.await_retry(task)
                if task.auction is not None:
                    self._open(task)
                    self._invitations.remind(task.task)
        for agent in self._board.members:
            self._invite_soon(agent)

    def record(self, events: tuple[Event, ...]) -> None:
        """Persist, and let follow what must; agents that come free by it are given something to do."""
        if not events:
            return
        holders = {task.agent for event in events if (task := self._lease_ended_by(event)) is not None}
        self._actor.persist(*events)
        for event in events:
            self._follow(event)
        for agent in sorted(holders):
            self._use_free_hands(agent)
        self._settle_followers()

    def _settle_followers(self) -> None:
        """One after the other and not one within the other: a chain of tasks may be as long as it likes."""
        if self._is_settling:
            return
        self._is_settling = True
        while self._ended:
            ended = self._ended.popleft()
            self.record(market.decide_followers(self._board, ended, self._actor.now_us, self.terms))
        self._is_settling = False

    def answered(self, task: TaskId, agent: AgentId) -> None:
        """The agent has bid or declined: the auction may have waited only for that."""
        self._invitations.answer(task, agent)
        self._close_if_answered(task)

    def owe(self, task: TaskId, agent: AgentId) -> None:
        """The agent's answer does not count, since it has its hands full: it is asked again when it is free."""
        self._invitations.owe(task, agent)

    def declined(self, task: TaskId, agent: AgentId) -> None:
        """The agent will not bid; with its hands full that says nothing about later."""
        if self._is_busy(agent):
            self.owe(task, agent)
            self._close_if_answered(task)
        else:
            self.answered(task, agent)

    def close_all_due(self) -> None:
        """The windows of some auctions are over."""
        for task in self.timetable.take_closes():
            self._close_due(self._board.tasks[task])

    def _close_due(self, task: Task) -> None:
        """The auction closes, unless it is worth waiting for somebody to come free."""
        if task.auction is None:
            return
        if self._switch.is_halted:
            self._await_close(task)
            return
        now_us = self._actor.now_us
        events = market.decide_close(self._board, task.task, now_us, self.terms, may_wait=True)
        if not events:
            may_wait = self._invitations.pass_window(task.task, tuple(task.auction.bids), self._is_busy, self._is_free)
            events = market.decide_close(self._board, task.task, now_us, self.terms, may_wait=may_wait)
        if not events:
            self._await_close(task)
            for agent in self._invitations.owed_to(task.task):
                if self._is_free(agent):
                    self._invite_soon(agent)
        self.record(events)

    def invite_due(self, agent: AgentId) -> None:
        """A moment has passed since the agent came free."""
        self._inviting.discard(agent)
        self.invite(agent)

    def invite(self, agent: AgentId) -> None:
        """Tell an agent with a free hand of the auctions that it is owed."""
        member = self._board.members.get(agent)
        if member is None or not market.is_free(member):
            return
        for owed in self._invitations.take_owed(agent, INVITATIONS_MAX, self._urgency):
            task = self._board.tasks[owed]
            if market.can_do(member, task):
                closes_us = self._actor.now_us + round(market.window_s(task, self.terms) * 1_000_000)
                self._actor.tell(agent_address(agent), Invite(tasks.invitation(task, closes_us)))
            else:
                self._invitations.answer(owed, agent)

    def _lease_ended_by(self, event: Event) -> Task | None:
        """The task whose lease the event will end, if it does."""
        match event:
            case TaskBidding() | TaskWaiting() | TaskCompleted() | TaskFailed() | TaskCancelled() | TaskExpired():
                task = self._board.tasks[event.task]
                return task if task.state in LIVE else None
            case _:
                return None

    def _follow(self, event: Event) -> None:
        match event:
            case TaskCreated():
                self.timetable.await_deadline(self._board.tasks[event.task])
            case TaskWaiting():
                self._end_auction(event.task)
                self.timetable.end_lease(event.task)
                self.timetable.await_retry(self._board.tasks[event.task])
            case TaskBidding():
                self.timetable.end_lease(event.task)
                self._open(self._board.tasks[event.task])
            case TaskAssigned():
                self._end_auction(event.task)
                self.timetable.await_heartbeat(self._board.tasks[event.task])
            case TaskCompleted() | TaskFailed() | TaskCancelled() | TaskExpired():
                self._invitations.close(event.task)
                self.timetable.end(event.task)
                if event.task in self._board.followers:
                    self._ended.append(event.task)
            case BidderChanged():
                self._follow_bidder(event)
            case _:
                pass

    def _follow_bidder(self, event: BidderChanged) -> None:
        if event.presence == "left":
            self._invitations.forget(event.agent)
            self.record(market.decide_departure(self._board, event.agent, self._actor.now_us, self.terms))
        elif event.presence == "present":
            member = self._board.members[event.agent]
            for number in self._board.numbers.get(TaskState.BIDDING, []):  # rare: once per joining or resuming
                task = self._board.tasks[boards.task_id(number)]
                if market.can_do(member, task) and task.task not in member.bids:
                    self._invitations.owe(task.task, event.agent)
            self._use_free_hands(event.agent)

    def _open(self, task: Task) -> None:
        """Await the answers to the task's auction for a full window."""
        bids = task.auction.bids if task.auction is not None else {}
        free: list[AgentId] = []
        later: list[AgentId] = []
        for agent, member in self._board.members.items():
            if agent not in bids and market.is_able(member, task) and member.presence != "left":
                (free if market.is_free(member) else later).append(agent)
        self._invitations.open(task.task, free, later)
        self._await_close(task)

    def _await_close(self, task: Task) -> None:
        window_s = market.window_s(task, self.terms)
        wait_s = min(window_s * self._invitations.patience(task.task), max(self._options.wait_s_max, window_s))
        self.timetable.await_close(task.task, wait_s)

    def _end_auction(self, task: TaskId) -> None:
        self._invitations.close(task)
        self.timetable.end_auction(task)

    def _close_if_answered(self, task: TaskId) -> None:
        if self._switch.is_halted:
            return
        if self._invitations.is_open(task) and not self._invitations.is_awaiting(task, self._is_free):
            self.record(market.decide_close(self._board, task, self._actor.now_us, self.terms, may_wait=True))

    def _use_free_hands(self, agent: AgentId) -> None:
        """Close the auctions that only waited for this agent, and tell it of those that it has not answered."""
        member = self._board.members.get(agent)
        while not self._switch.is_halted and member is not None and market.is_free(member):
            due = max((task for task in member.bids if self._is_due(task, member)), key=self._urgency, default=None)
            if due is None:
                break
            self.record(market.decide_close(self._board, due, self._actor.now_us, self.terms, may_wait=True))
        self._invite_soon(agent)

    def _is_due(self, task: TaskId, member: Member) -> bool:
        is_able = market.can_do(member, self._board.tasks[task])
        return is_able and not self._invitations.is_awaiting(task, self._is_free)

    def _invite_soon(self, agent: AgentId) -> None:
        if agent not in self._inviting:
            self._inviting.add(agent)
            self._actor.start_timer(f"invite/{agent}", self._options.invite_delay_s, InvitationDue(agent))

    def _urgency(self, task: TaskId) -> float:
        return tasks.urgency(self._board.tasks[task])

    def _is_free(self, agent: AgentId) -> bool:
        member = self._board.members.get(agent)
        return member is not None and market.is_free(member)

    def _is_busy(self, agent: AgentId) -> bool:
        member = self._board.members.get(agent)
        return member is not None and market.is_busy(member)
