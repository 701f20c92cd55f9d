"""What an agent has in hand: its assignments, the steps that run for them, and their leases.

A step runs as a job beside the mailbox, so that the agent hears a cancellation while it works. A job reports by
messages that carry the assignment as it was when the job began; what an ended or repeated step still says is ignored.

Rules: from the assignment to its confirmed end the lease is renewed every third of its period; a result is reported
until the coordinator confirms or refuses it; work that cannot go on for lack of money waits and uses up no try; what
cannot be done is given back with the reason. While all is halted, or a budget is spent that all share, no step begins.
"""

import math
from typing import ClassVar

from actors import proposing
from actors.proposing import SpendAsked
from actors.rules import agency, spending
from actors.rules.agency import Agency, Stage, Verdict, Work
from actors.runtime import Job, PersistentActor
from actors.steps import (
    AgentOptions,
    BudgetDue,
    BudgetSeen,
    HeartbeatDue,
    LeaseKept,
    LeaseLost,
    RetryDue,
    StepNoted,
    Steps,
    StepStopped,
    StepWritten,
    complete_task,
)
from bus.messages.agents import ActionExecuted, AgentStatus, AgentStatusName, StepCompleted, StepStarted
from bus.messages.approvals import ProposalId
from bus.messages.base import AgentId, Event, TaskId
from bus.messages.completions import BudgetRaised, BudgetReopened, BudgetSpent
from bus.messages.monitor import SystemResumed
from bus.messages.tasks import COORDINATOR, FailTask
from bus.switch import Switch


class Workbench(PersistentActor[Agency]):
    """The working half of an agent."""

    state_type: ClassVar[type[Agency]] = Agency

    def __init__(
        self, agent: AgentId, options: AgentOptions, switch: Switch | None = None, *, has_quotas: bool = False
    ) -> None:
        self._switch = switch or Switch()
        self._agent = agent
        self._options = options
        self._steps = Steps(agent, options, has_quotas=has_quotas)
        self._jobs: dict[TaskId, Job] = {}
        self._resting: set[TaskId] = set()
        self._leases_s: dict[TaskId, float] = {}
        self._skips_until_s = 0.0
        """Until then a quota has no room, and it was said that the agent shall skip what it is offered."""
        self._is_dry = False
        """Whether a budget is spent as far as is known: no step begins until there is more."""
        self._spend: Job | None = None
        """What asks people for money, while it waits for their word."""
        self._asked = ProposalId("")

    def initial(self) -> Agency:
        return Agency(agent=self._agent)

    def apply(self, event: Event) -> None:
        agency.apply(self.state, event)

    def on_recovered(self) -> None:
        for work in self.state.work.values():
            if work.stage is Stage.FINISHED:
                self.tell(COORDINATOR, complete_task(self._agent, work))
            # At once: the answer also tells the lease's period.
            self.tell(self.address, HeartbeatDue(work.task))
        if self.state.status is AgentStatusName.WAITING:
            self._is_dry = True  # whether it still is, the router knows
            self.perform(self._steps.look_at_budget)
        self._go_on()

    def on_step_noted(self, message: StepNoted) -> None:
        if self._is_running(message.work):
            self.persist(message.event)

    def on_step_written(self, message: StepWritten) -> None:
        if not self._is_running(message.work):
            return
        del self._jobs[message.work.task]
        self.persist(
            ActionExecuted(
                agent=self._agent,
                task=message.work.task,
                action=agency.WRITE_ARTIFACT,
                outcome=agency.EXECUTED,
                reason=message.summary,
                attempt=message.work.attempt,
                artifact=message.artifact,
            )
        )
        self.tell(COORDINATOR, complete_task(self._agent, self.state.work[message.work.task]))
        self._go_on()

    def on_step_stopped(self, message: StepStopped) -> None:
        work = message.work
        if not self._is_running(work):
            return
        del self._jobs[work.task]
        match message.verdict:
            case Verdict.WAIT:
                waits = AgentStatusName.WAITING
                self.persist(AgentStatus(agent=self._agent, status=waits, reason=message.reason, task=work.task))
                self._is_dry = self._is_dry or bool(message.budget)
                look_s = min(self._options.budget_retry_s, message.wait_s or math.inf)
                self.start_timer("budget", look_s, BudgetDue())
                if message.budget == proposing.RUN and self._options.spend_request_usd_micros and self._spend is None:
                    self._spend = self.perform(self._steps.ask_for_budget, message.reason)
            case Verdict.TRY_AGAIN:
                self._resting.add(work.task)
                self.start_timer(f"retry/{work.task}", self._options.retry_wait_s, RetryDue(work.task))
            case Verdict.ABANDON:
                self._end(work, agency.ABANDONED)
            case Verdict.GIVE_BACK | Verdict.GIVE_UP:
                self._skips_until_s = max(self._skips_until_s, self.monotonic_s + message.wait_s)
                self._give_back(work, message.reason, is_retryable=message.verdict is Verdict.GIVE_BACK)
        self._go_on()

    def on_retry_due(self, message: RetryDue) -> None:
        self._resting.discard(message.task)
        self._go_on()

    def on_spend_asked(self, message: SpendAsked) -> None:
        self._asked = message.proposal

    def on_budget_spent(self, event: BudgetSpent) -> None:
        if spending.is_shared(event.budget):
            self._is_dry = True
            self.start_timer("budget", self._options.budget_retry_s, BudgetDue())

    def on_budget_due(self, message: BudgetDue) -> None:
        if self._is_dry:
            self.perform(self._steps.look_at_budget)
        else:
            self._begin_again()

    def on_budget_seen(self, message: BudgetSeen) -> None:
        if message.is_exhausted:
            self.start_timer("budget", self._options.budget_retry_s, BudgetDue())
        else:
            self._begin_again()

    def on_budget_raised(self, message: BudgetRaised) -> None:
        if message.budget == proposing.RUN:
            self._take_back_spend()
        self._begin_again()

    def on_budget_reopened(self, message: BudgetReopened) -> None:
        if message.budget == proposing.RUN:
            self._take_back_spend()
        self._begin_again()

    def on_system_resumed(self, event: SystemResumed) -> None:
        if not self._is_dry:
            self._begin_again()

    def _begin_again(self) -> None:
        """Go on with what has waited."""
        self._is_dry = False
        self.cancel_timer("budget")
        if self._switch.is_halted:
            return  # `system.resumed` lets it go on
        for work in tuple(self.state.work.values()):
            if work.stage is Stage.WAITING:
                self._begin(work)
        self._go_on()

    def on_heartbeat_due(self, message: HeartbeatDue) -> None:
        work = self.state.work.get(message.task)
        if work is not None:
            self.perform(self._steps.confirm if work.stage is Stage.FINISHED else self._steps.renew, work)
            self._await_heartbeat(message.task)

    def on_lease_kept(self, message: LeaseKept) -> None:
        if message.work.task in self.state.work:
            self._leases_s[message.work.task] = message.lease_s
            self._await_heartbeat(message.work.task)

    def on_lease_lost(self, message: LeaseLost) -> None:
        work = self.state.work.get(message.work.task)
        # A refused renewal says nothing about a result that was reported meanwhile: that has its own answer.
        if work is None or work.attempt != message.work.attempt or work.stage is not message.work.stage:
            return
        action = "complete_task" if work.stage is Stage.FINISHED else "renew_lease"
        self.persist(
            ActionExecuted(
                agent=self._agent,
                task=work.task,
                action=action,
                outcome="refused",
                reason=message.reason,
                attempt=work.attempt,
            )
        )
        self._end(work, agency.ABANDONED)
        self._go_on()

    def _take_back_spend(self) -> None:
        if self._spend is not None:
            self._spend.cancel()
        if self._asked:
            self.perform(self._steps.withdraw_spend, self._asked)
        self._spend, self._asked = None, ProposalId("")

    def _go_on(self) -> None:
        """Begin what can begin, and say what the agent is now."""
        busy = frozenset(self._jobs) | self._resting
        while not self._is_dry and not self._switch.is_halted and (ready := agency.startable(self.state, busy)):
            for work in ready:
                self._begin(work)
            busy = frozenset(self._jobs) | self._resting
        status, reason = agency.status_now(self.state)
        if self._is_dry and status is AgentStatusName.WORKING and not self._jobs:
            status, reason = AgentStatusName.WAITING, agency.WAITING_REASON
        if status is not self.state.status:
            self._become(status, reason)

    def _begin(self, work: Work) -> None:
        attempt_try = agency.next_try(work)
        if self.state.persona is None or attempt_try > agency.TRIES_MAX:
            self._give_back(work, f"it was begun {work.attempt_try} times and never ended", is_retryable=True)
            return
        self.persist(
            StepStarted(
                agent=self._agent,
                task=work.task,
                attempt=work.attempt,
                attempt_try=attempt_try,
                started_us=self.now_us,
            )
        )
        begun = self.state.work[work.task]
        self._jobs[work.task] = self.perform(self._steps.run, begun, self.state.persona)

    def _give_back(self, work: Work, reason: str, *, is_retryable: bool) -> None:
        self._end(work, agency.FAILED)
        self.tell(COORDINATOR, FailTask(work.task, self._agent, work.attempt, reason, is_retryable))

    def _end(self, work: Work, outcome: str) -> None:
        if (job := self._jobs.pop(work.task, None)) is not None:
            job.cancel()
        self._resting.discard(work.task)
        self._leases_s.pop(work.task, None)
        self.cancel_timer(f"lease/{work.task}")
        self.cancel_timer(f"retry/{work.task}")
        elapsed_s = (self.now_us - work.started_us) / 1e6 if work.started_us else 0.0
        self.persist(
            StepCompleted(agent=self._agent, task=work.task, attempt=work.attempt, outcome=outcome, elapsed_s=elapsed_s)
        )

    def _become(self, status: AgentStatusName, reason: str) -> None:
        self.persist(AgentStatus(agent=self._agent, status=status, reason=reason))

    def _await_heartbeat(self, task: TaskId) -> None:
        lease_s = self._leases_s.get(task, 0.0)
        self.start_timer(f"lease/{task}", lease_s / 3 or self._options.heartbeat_s, HeartbeatDue(task))

    def _is_running(self, work: Work) -> bool:
        """Whether a report is about the step that runs now, and not about one that was ended or begun again."""
        return work.task in self._jobs and self.state.work.get(work.task) == work
