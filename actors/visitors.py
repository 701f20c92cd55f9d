"""Agents of other programs: they register, hear auctions over their own socket, and work on the same terms as all.

The register (`Visitors`) keeps who has come; each of them has an actor at its address, which records what befalls it as
any agent's would be: joined, won, completed, failed, left. What a program says about its work goes to the coordinator
itself; nothing here decides for it. A program that falls silent loses its lease like any other agent.

Retiring gives back what is held; registering again ends a retirement. Where a policy of the settings speaks of the kind
`agent`, who registers anew, or with other words, is told to come again when somebody has said yes.
"""

from functools import partial
from typing import ClassVar

from actors.rules import agency
from actors.rules import visitors as rules
from actors.rules.agency import Agency
from actors.rules.docket import OPEN
from actors.runtime import ChildSpec, Deferred, Job, PersistentActor, Subscription
from bus.errors import AgoraError, Refused
from bus.messages.agents import (
    ActionExecuted,
    AgentAccepted,
    AgentJoined,
    AgentLeft,
    AgentRegistered,
    AgentStatus,
    AgentStatusName,
    AgentView,
    PauseAgent,
    Persona,
    ReadAgent,
    RegisterAgent,
    ResumeAgent,
    RetireAgent,
    StepCompleted,
    StepStarted,
    agent_address,
)
from bus.messages.approvals import APPROVALS, ProposalApproved, ProposalState
from bus.messages.base import AgentId, Command, Done, Event
from bus.messages.tasks import (
    COORDINATOR,
    BidderInvited,
    FailTask,
    Invite,
    TaskAssigned,
    TaskBidding,
    TaskCancelled,
    TaskCompleted,
    TaskExpired,
    TaskFailed,
    TaskStarted,
    TaskWaiting,
)
from bus.refusals import IllegalTransition, NotPermitted

ASK_TIMEOUT_S = 10.0


class Welcome(Command[Done], frozen=True):
    """Told to a visitor's actor whose program has registered again."""

    wire_name = "visitor.welcome"

    persona: Persona


class Visitors(PersistentActor[rules.Visitors]):
    """The register."""

    state_type: ClassVar[type[rules.Visitors]] = rules.Visitors

    def __init__(self, own: frozenset[AgentId], *, is_asked: bool = False) -> None:
        """With `is_asked` a person's word, or a policy's, is needed before a program's agent is registered."""
        self._own = own
        self._is_asked = is_asked

    def initial(self) -> rules.Visitors:
        return rules.Visitors()

    def apply(self, event: Event) -> None:
        rules.apply(self.state, event)

    def on_recovered(self) -> None:
        for agent, persona in self.state.personas.items():
            if agent not in self._own:  # the society may have taken the name since
                self._open(agent, persona)

    def subscriptions(self) -> tuple[Subscription, ...]:
        return (Subscription(ProposalApproved.wire_name),) if self._is_asked else ()

    def on_register_agent(self, command: RegisterAgent) -> AgentAccepted | None:
        events = rules.decide_register(self.state, command, self._own)
        if events and self._is_asked:
            self.perform(self._ask, command, self.defer())
            return None
        return self._register(command.agent, events)

    def on_proposal_approved(self, fact: ProposalApproved) -> None:
        command = rules.requested(fact.subject) if fact.kind == rules.JOIN else None
        if command is None:
            return
        try:
            events = rules.decide_register(self.state, command, self._own)
        except Refused:
            return  # the name was taken, or the register filled, while people thought
        self._register(command.agent, events)

    def _register(self, agent: AgentId, events: tuple[AgentRegistered, ...]) -> AgentAccepted:
        is_known = agent in self.state.personas
        if events:
            self.persist(*events)
        persona = self.state.personas[agent]
        if not is_known:
            self._open(agent, persona)
        self.tell(agent_address(agent), Welcome(persona))
        return AgentAccepted(agent, persona.capabilities, persona.concurrency_max)

    async def _ask(self, job: Job, command: RegisterAgent, answer: Deferred[AgentAccepted]) -> None:
        """Ask for a word; the registration itself follows from the fact that it was given."""
        asked = rules.request(command, agent_address(command.agent))
        try:
            view = await job.ask(APPROVALS, asked, timeout_s=ASK_TIMEOUT_S)
        except AgoraError as error:
            answer.refuse(error)
            return
        if view.state is ProposalState.APPROVED:
            answer.answer(AgentAccepted(command.agent, command.capabilities, command.concurrency_max))
        elif view.state in OPEN:
            answer.refuse(NotPermitted(f"{view.proposal} waits for a decision on {command.agent}; register again then"))
        else:
            answer.refuse(NotPermitted(f"{view.proposal} is {view.state}: {view.reason}"))

    def _open(self, agent: AgentId, persona: Persona) -> None:
        self.spawn(ChildSpec(agent_address(agent), partial(Visitor, agent, persona)))


class Visitor(PersistentActor[Agency]):
    """What the society knows of one program's agent."""

    state_type: ClassVar[type[Agency]] = Agency
    reads_past: ClassVar[bool] = False

    def __init__(self, agent: AgentId, persona: Persona) -> None:
        self._agent = agent
        self._persona = persona

    def initial(self) -> Agency:
        return Agency(agent=self._agent)

    def apply(self, event: Event) -> None:
        agency.apply(self.state, event)

    def subscriptions(self) -> tuple[Subscription, ...]:
        own = (
            "task.assigned",
            "task.started",
            "task.completed",
            "task.failed",
            "task.cancelled",
            "task.expired",
            "task.waiting",
        )
        return (Subscription("task.bidding"), *(Subscription(topic, agent=self._agent) for topic in own))

    def on_recovered(self) -> None:
        if not agency.is_retired(self.state):
            self._join(self._persona)

    def on_welcome(self, message: Welcome) -> Done:
        self._join(message.persona)
        return Done()

    # Facts

    def on_task_bidding(self, event: TaskBidding) -> None:
        work = self.state.work.get(event.task)
        if work is not None and work.attempt < event.attempt:
            self._end(work, agency.FAILED)

    def on_invite(self, message: Invite) -> None:
        """Its program listens to events alone, so what other agents are told is an event to it."""
        if not self.state.has_left:
            of = message.bidding
            self.persist(
                BidderInvited(
                    task=of.task,
                    agent=self._agent,
                    attempt=of.attempt,
                    title=of.title,
                    capability=of.capability,
                    reward_msat=of.reward_msat,
                    closes_us=of.closes_us,
                )
            )

    def on_task_assigned(self, event: TaskAssigned) -> None:
        if self.state.has_left:
            reason = f"{self._agent} has left"
            self.tell(COORDINATOR, FailTask(event.task, self._agent, event.attempt, reason))
            return
        self.persist(
            ActionExecuted(
                agent=self._agent,
                task=event.task,
                action=agency.BID,
                outcome=agency.WON,
                reason=f"for {event.price_msat} msat",
                attempt=event.attempt,
                capability=event.spec.capability,
                price_msat=event.price_msat,
            )
        )
        self._say_status()

    def on_task_started(self, event: TaskStarted) -> None:
        work = self.state.work.get(event.task)
        if work is not None and work.attempt == event.attempt:
            self.persist(
                StepStarted(
                    agent=self._agent,
                    task=event.task,
                    attempt=event.attempt,
                    attempt_try=agency.next_try(work),
                    started_us=event.at_us,
                )
            )

    def on_task_ended(self, event: TaskCompleted | TaskFailed | TaskCancelled | TaskExpired | TaskWaiting) -> None:
        work = self.state.work.get(event.task)
        if work is not None:
            is_done = isinstance(event, TaskCompleted) and work.attempt == event.attempt
            is_lost = isinstance(event, TaskWaiting)
            self._end(work, agency.COMPLETED if is_done else agency.FAILED if is_lost else agency.ABANDONED)

    # Commands

    def on_pause_agent(self, message: PauseAgent) -> Done:
        self._check_here("paused")
        if not self.state.is_paused:
            self._become(AgentStatusName.PAUSED, agency.PAUSED_REASON)
        return Done()

    def on_resume_agent(self, message: ResumeAgent) -> Done:
        self._check_here("resumed")
        if self.state.is_paused:
            self._become(AgentStatusName.IDLE, agency.RESUMED_REASON)
            self._say_status()
        return Done()

    def on_retire_agent(self, message: RetireAgent) -> Done:
        if not self.state.has_left:
            reason = agency.retirement(message.reason)
            for work in self.state.work.values():
                self.tell(COORDINATOR, FailTask(work.task, self._agent, work.attempt, reason))
            self.persist(AgentLeft(agent=self._agent, reason=reason))
        return Done()

    def on_read_agent(self, message: ReadAgent) -> AgentView:
        return agency.view(self.state)

    # Private

    def _join(self, persona: Persona) -> None:
        if self.state.has_left or self.state.persona != persona:
            self.persist(AgentJoined(agent=self._agent, persona=persona))
            self._say_status()

    def _check_here(self, verb: str) -> None:
        if self.state.has_left:
            raise IllegalTransition(f"agent {self._agent}", "left", verb)

    def _end(self, work: agency.Work, outcome: str) -> None:
        elapsed_s = (self.now_us - work.started_us) / 1e6 if work.started_us else 0.0
        self.persist(
            StepCompleted(agent=self._agent, task=work.task, attempt=work.attempt, outcome=outcome, elapsed_s=elapsed_s)
        )
        self._say_status()

    def _say_status(self) -> None:
        status, reason = agency.status_now(self.state)
        if status is not self.state.status:
            self._become(status, reason)

    def _become(self, status: AgentStatusName, reason: str) -> None:
        self.persist(AgentStatus(agent=self._agent, status=status, reason=reason))
