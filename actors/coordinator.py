"""The coordinator: it takes tasks, auctions them among the agents, and watches over who works on what.

Its state is the board (`actors.rules.board`), a fold of its own events; what it decides is in `actors.rules.market`,
what follows from it in `actors.floor`, and when in `actors.timetable`. The ledger's holds and the agents' comings and
goings reach it as facts. After a restart auctions and leases run for one full period again, since downtime is nobody's
fault; a deadline is a time of day and stays.
"""

from typing import ClassVar

from actors.floor import CoordinatorOptions, Floor, InvitationDue
from actors.rules import board as boards
from actors.rules import market, tasks, triggers
from actors.rules.board import Board
from actors.rules.settlement import task_of_hold
from actors.runtime import PersistentActor, Subscription
from actors.timetable import AuctionsDue, DeadlineDue, LeaseDue, WaitDue
from bus.messages.agents import AgentJoined, AgentLeft, AgentStatus
from bus.messages.base import Event, Microseconds, TaskId
from bus.messages.ledger import TransferHeld, TransferRefused
from bus.messages.monitor import SystemResumed
from bus.messages.schedules import ScheduleFired
from bus.messages.tasks import (
    CancelTask,
    CompleteTask,
    CreateTask,
    DeclineBid,
    FailTask,
    Lease,
    LeaseRenewed,
    Leases,
    ListTasks,
    ReadLeases,
    ReadTask,
    RenewLease,
    StartWork,
    SubmitBid,
    TaskAccepted,
    TaskPage,
    TaskView,
)
from bus.messages.triggers import TriggerFired
from bus.refusals import NotEligible, NotFound
from bus.switch import Switch

__all__ = ["Coordinator", "CoordinatorOptions"]

MAILBOX_SIZE_MAX = 16_384
"""Every agent tells it of every auction: 1,000 tasks posted at once bring some 5,000 messages, of 1 KB at most."""

LEASES_MAX = 512
"""Leases that one answer names: more than a page draws, and some 60 KB."""


class Coordinator(PersistentActor[Board]):
    """The one actor that gives tasks to agents."""

    state_type: ClassVar[type[Board]] = Board
    mailbox_size_max: ClassVar[int] = MAILBOX_SIZE_MAX

    def __init__(self, options: CoordinatorOptions, switch: Switch | None = None) -> None:
        self._floor = Floor(self, options, switch)
        self._terms = self._floor.terms
        self._timetable = self._floor.timetable

    def initial(self) -> Board:
        return Board()

    def subscriptions(self) -> tuple[Subscription, ...]:
        topics = (
            "transfer.held",
            "transfer.refused",
            "agent.joined",
            "agent.left",
            "agent.status",
            "schedule.fired",
            "trigger.fired",
            "system.resumed",
        )
        return tuple(Subscription(topic) for topic in topics)

    def apply(self, event: Event) -> None:
        boards.apply(self.state, event)

    def on_recovered(self) -> None:
        self._floor.resume()

    # Posters

    def on_create_task(self, command: CreateTask) -> TaskAccepted:
        events = market.decide_create(self.state, command, self.now_us)
        self._floor.record(events)
        task = events[0].task if events else market.repeated(self.state, command, self.now_us)
        return market.accepted(self.state, task)

    def on_cancel_task(self, command: CancelTask) -> TaskAccepted:
        self._floor.record(market.decide_cancel(self.state, command, self.now_us))
        return market.accepted(self.state, command.task)

    def on_read_task(self, query: ReadTask) -> TaskView:
        return tasks.view(market.task_of(self.state, query.task), self._timetable.lease_until_us(query.task))

    def on_list_tasks(self, query: ListTasks) -> TaskPage:
        return boards.page(self.state, query, self._timetable.lease_until_us)

    def on_read_leases(self, _: ReadLeases) -> Leases:
        leases = self._timetable.leases()
        return Leases(tuple(self._lease(*each) for each in leases[:LEASES_MAX]), len(leases))

    def on_transfer_held(self, fact: TransferHeld) -> None:
        task = task_of_hold(fact.transfer)
        if task is not None:
            self._floor.record(market.decide_held(self.state, task, self.now_us, self._terms))

    def on_transfer_refused(self, fact: TransferRefused) -> None:
        task = task_of_hold(fact.transfer)
        if task is not None:
            self._floor.record(market.decide_not_held(self.state, task, fact.reason, self.now_us))

    def on_deadline_due(self, message: DeadlineDue) -> None:
        self._floor.record(market.decide_expire(self.state, message.task, self.now_us))
        self._timetable.await_deadline(self.state.tasks[message.task])  # the wall clock may have been set back

    def on_schedule_fired(self, fact: ScheduleFired) -> None:
        """A task for each time that has come, once: its key is the schedule's and the time's."""
        for due_us in fact.dues:
            command = CreateTask(fact.task, f"schedule/{fact.schedule}/{due_us}")
            self._floor.record(market.decide_create(self.state, command, self.now_us))

    def on_trigger_fired(self, fact: TriggerFired) -> None:
        """A task for each firing that has one, once: its key is the trigger's and the position's."""
        if fact.post is not None:
            command = CreateTask(fact.post, triggers.task_key(fact.trigger, fact.position))
            self._floor.record(market.decide_create(self.state, command, self.now_us))

    def on_wait_due(self, message: WaitDue) -> None:
        self._floor.record(market.decide_resume(self.state, message.task, self.now_us, self._terms))
        self._timetable.await_retry(self.state.tasks[message.task])  # as above

    # Auctions

    def on_submit_bid(self, command: SubmitBid) -> TaskAccepted:
        try:
            events = market.decide_bid(self.state, command)
        except NotEligible:
            self._floor.owe(command.task, command.agent)
            raise
        self._floor.record(events)
        self._floor.answered(command.task, command.agent)
        return market.accepted(self.state, command.task)

    def on_decline_bid(self, command: DeclineBid) -> TaskAccepted:
        market.task_of(self.state, command.task)
        if command.agent not in self.state.members:
            raise NotFound("agent", command.agent)
        self._floor.declined(command.task, command.agent)
        return market.accepted(self.state, command.task)

    def on_auctions_due(self, message: AuctionsDue) -> None:
        self._floor.close_all_due()

    def on_agent_changed(self, fact: AgentJoined | AgentLeft | AgentStatus) -> None:
        self._floor.record(market.decide_member(self.state, fact))
        self._floor.invite(fact.agent)

    def on_system_resumed(self, _: SystemResumed) -> None:
        self._floor.resume()

    def on_invitation_due(self, message: InvitationDue) -> None:
        self._floor.invite_due(message.agent)

    # Workers

    def on_work(self, command: StartWork | CompleteTask | FailTask) -> TaskAccepted:
        self._floor.record(market.decide_work(self.state, command, self.now_us, self._terms))
        self._timetable.await_heartbeat(self.state.tasks[command.task])
        return market.accepted(self.state, command.task)

    def on_renew_lease(self, command: RenewLease) -> LeaseRenewed:
        task = market.task_of(self.state, command.task)
        tasks.check_lease(task, command, "renewed")
        self._timetable.await_heartbeat(task)
        return LeaseRenewed(task.task, market.lease_s(task, self._terms))

    def on_lease_due(self, message: LeaseDue) -> None:
        self._floor.record(market.decide_lapse(self.state, message.task, message.attempt, self.now_us, self._terms))

    def _lease(self, until_us: Microseconds, task: TaskId) -> Lease:
        held = self.state.tasks[task]
        return Lease(task, held.agent, held.attempt, market.lease_s(held, self._terms), until_us)
