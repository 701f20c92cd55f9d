"""An agent: it hears auctions, bids, does the work that it wins, and learns from what came of it.

Its state is what its own events say (`actors.rules.agency`). Auctions and assignments come to it as facts, and it
answers with commands to the coordinator; what it has in hand stands in `actors.workbench`, what it asks of others in
`actors.steps`. An agent never touches money: the ledger pays it.
"""

from typing import ClassVar

from actors.rules import agency, pricing
from actors.runtime import Subscription
from actors.steps import (
    AgentOptions,
    InputMeasured,
)
from actors.workbench import Workbench
from bus.messages.agents import (
    ActionExecuted,
    AgentJoined,
    AgentLeft,
    AgentStatusName,
    AgentView,
    Outcomes,
    PauseAgent,
    Persona,
    ReadAgent,
    ResumeAgent,
    RetireAgent,
)
from bus.messages.base import AgentId, Done, TaskId
from bus.messages.tasks import (
    COORDINATOR,
    AuctionClosed,
    DeclineBid,
    FailTask,
    Invite,
    SubmitBid,
    TaskAssigned,
    TaskBidding,
    TaskCancelled,
    TaskCompleted,
    TaskExpired,
    TaskFailed,
    TaskWaiting,
)
from bus.refusals import IllegalTransition
from bus.switch import Switch

MEASURING_MAX = 256
"""Auctions whose input is being looked up at once; beyond, the flat price is bid."""
QUOTES_MAX = 1_000
"""Explanations kept for auctions that are still open; the oldest go first and cost no more than their words."""
STALE_US = 60_000_000
"""A fact of an auction that closed longer ago is history that is read again, not an auction to answer."""


class Agent(Workbench):
    """One agent. Without a persona it is no longer configured: it gives back what it holds and leaves."""

    reads_past: ClassVar[bool] = False
    """The auctions from before it was there are over."""

    def __init__(
        self,
        agent: AgentId,
        persona: Persona | None,
        options: AgentOptions,
        switch: Switch | None = None,
        *,
        has_quotas: bool = False,
    ) -> None:
        super().__init__(agent, options, switch, has_quotas=has_quotas)
        self._persona = persona
        self._is_priced_by_length = persona is not None and persona.price_per_1000_characters_msat > 0
        self._quotes: dict[tuple[TaskId, int], tuple[str, str]] = {}
        self._measuring = 0

    def subscriptions(self) -> tuple[Subscription, ...]:
        if self._persona is None:
            return ()
        own = ("task.assigned", "task.completed", "task.failed", "task.cancelled", "task.expired", "task.waiting")
        return (
            Subscription("task.bidding"),
            Subscription("auction.closed"),
            Subscription("budget.spent"),
            Subscription("budget.raised"),
            Subscription("budget.reopened"),
            Subscription("system.resumed"),
            *(Subscription(topic, agent=self._agent) for topic in own),
        )

    def on_recovered(self) -> None:
        if self._persona is None:
            self._leave("it is no longer configured")
            return
        if agency.is_retired(self.state):
            return
        if self.state.has_left or self.state.persona != self._persona:
            self.persist(AgentJoined(agent=self._agent, persona=self._persona))
        super().on_recovered()

    def on_task_bidding(self, event: TaskBidding) -> None:
        work = self.state.work.get(event.task)
        if work is not None and work.attempt < event.attempt:
            self._end(work, agency.ABANDONED)
            self._go_on()
        if event.closes_us + STALE_US < self.now_us:
            return
        is_skipped = self.monotonic_s < self._skips_until_s
        if is_skipped or agency.decline_reason(self.state, event, backlog_max=self._options.backlog_max):
            self.tell(COORDINATOR, DeclineBid(event.task, self._agent))
        elif not self._is_priced_by_length or self._measuring >= MEASURING_MAX:
            self._bid(event, None)
        else:
            self._measuring += 1
            self.perform(self._steps.measure, event)

    def on_invite(self, message: Invite) -> None:
        self.on_task_bidding(message.bidding)

    def on_input_measured(self, message: InputMeasured) -> None:
        self._measuring = max(0, self._measuring - 1)
        self._bid(message.bidding, message.characters)

    def on_auction_closed(self, event: AuctionClosed) -> None:
        if event.winner == self._agent:
            return
        capability, words = self._quotes.pop((event.task, event.attempt), ("", ""))
        if words and (lost := agency.bid_outcome(self.state, event, capability, words)) is not None:
            self.persist(lost)

    def on_task_assigned(self, event: TaskAssigned) -> None:
        if self.state.has_left:
            reason = f"{self._agent} has left"
            self.tell(COORDINATOR, FailTask(event.task, self._agent, event.attempt, reason))
            return
        work = self.state.work.get(event.task)
        if work is not None:
            if work.attempt >= event.attempt:
                return
            self._end(work, agency.ABANDONED)
        _, words = self._quotes.pop((event.task, event.attempt), ("", "before a restart"))
        self.persist(
            ActionExecuted(
                agent=self._agent,
                task=event.task,
                action=agency.BID,
                outcome=agency.WON,
                reason=f"asked {event.price_msat} msat ({words})",
                attempt=event.attempt,
                capability=event.spec.capability,
                price_msat=event.price_msat,
            )
        )
        self._leases_s[event.task] = event.lease_s
        self._await_heartbeat(event.task)
        self._go_on()

    def on_task_ended(self, event: TaskCompleted | TaskFailed | TaskCancelled | TaskExpired | TaskWaiting) -> None:
        work = self.state.work.get(event.task)
        if work is None:
            return
        if not isinstance(event, TaskCompleted):
            self._end(work, agency.ABANDONED)
        elif work.attempt == event.attempt:
            self._end(work, agency.COMPLETED)
        self._go_on()

    def on_pause_agent(self, message: PauseAgent) -> Done:
        if self.state.has_left:
            raise IllegalTransition(f"agent {self._agent}", "left", "paused")
        if not self.state.is_paused:
            self._become(AgentStatusName.PAUSED, agency.PAUSED_REASON)
        return Done()

    def on_resume_agent(self, message: ResumeAgent) -> Done:
        if self.state.has_left:
            raise IllegalTransition(f"agent {self._agent}", "left", "resumed")
        if self.state.is_paused:
            self._become(AgentStatusName.IDLE, agency.RESUMED_REASON)
            self._go_on()
        return Done()

    def on_retire_agent(self, message: RetireAgent) -> Done:
        self._leave(agency.retirement(message.reason))
        return Done()

    def on_read_agent(self, message: ReadAgent) -> AgentView:
        return agency.view(self.state)

    def _bid(self, event: TaskBidding, characters: int | None) -> None:
        persona = self.state.persona
        if persona is None or agency.decline_reason(self.state, event, backlog_max=self._options.backlog_max):
            self.tell(COORDINATOR, DeclineBid(event.task, self._agent))
            return
        quote = pricing.quote(
            persona,
            self.state.outcomes.get(event.capability, Outcomes()),
            reward_msat=event.reward_msat,
            input_characters=characters,
            in_hand=len(self.state.work),
        )
        if quote.is_declined:
            self.tell(COORDINATOR, DeclineBid(event.task, self._agent))
            return
        if len(self._quotes) >= QUOTES_MAX:
            del self._quotes[next(iter(self._quotes))]
        self._quotes[event.task, event.attempt] = (event.capability, quote.reason)
        self.tell(COORDINATOR, SubmitBid(event.task, self._agent, quote.price_msat))

    def _leave(self, reason: str) -> None:
        if self.state.has_left:
            return
        for work in tuple(self.state.work.values()):
            self._give_back(work, reason, is_retryable=True)
        self.persist(AgentLeft(agent=self._agent, reason=reason))
