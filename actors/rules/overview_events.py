"""How each event changes the overview.

Rules: reactions change the state through its draft and in no other way. `apply` is total: what an event speaks of may
be gone from the overview already, and is then left alone.

Pure: no clock, no loop.
"""

from collections.abc import Callable
from typing import TypeVar

from actors.rules import spending
from actors.rules.cascade import BLAMELESS
from actors.rules.overview_draft import Draft
from actors.rules.overview_items import AlertItem, ArtifactItem, HeldMoney, OverviewState, TaskItem
from bus.envelope import Recorded
from bus.messages import agents, artifacts, completions, ledger, monitor, tasks
from bus.messages.base import Event

ARTIFACTS_MAX = 500

E = TypeVar("E", bound=Event)


def apply(draft: Draft, record: Recorded) -> None:
    """Take the next event."""
    draft.begin(record)
    reaction = _REACTIONS.get(type(record.event))
    if reaction is not None:
        reaction(draft, record.event)


def _on_agent_joined(draft: Draft, event: agents.AgentJoined) -> None:
    item = draft.agent(event.agent)
    if item.agent in draft.state.agents_left:
        draft.state.agents_left.remove(item.agent)
    item.capabilities = event.persona.capabilities
    item.price_msat = event.persona.price_msat
    item.status, item.reason, item.since_us = agents.AgentStatusName.IDLE.value, "", draft.now_us


def _on_agent_left(draft: Draft, event: agents.AgentLeft) -> None:
    item = draft.agent(event.agent)
    if item.status == agents.AgentStatusName.LEFT:
        return
    item.status, item.reason, item.since_us = agents.AgentStatusName.LEFT.value, event.reason, draft.now_us
    draft.leave(item)


def _on_agent_status(draft: Draft, event: agents.AgentStatus) -> None:
    item = draft.known_agent(event.agent)
    if item is not None:
        item.status, item.reason, item.since_us = event.status.value, event.reason, draft.now_us


def _on_step_completed(draft: Draft, event: agents.StepCompleted) -> None:
    draft.state.step += 1


def _on_task_created(draft: Draft, event: tasks.TaskCreated) -> None:
    spec = event.spec
    item = TaskItem(
        task=event.task,
        title=spec.title,
        state=tasks.TaskState.CREATED.value,
        reward_msat=spec.reward_msat,
        capability=spec.capability,
        input=spec.input,
        created_us=event.created_us,
        updated_us=draft.now_us,
    )
    draft.state.tasks[event.task] = item
    draft.state.counts[item.state] += 1
    draft.touch("tasks", event.task)


def _on_task_bidding(draft: Draft, event: tasks.TaskBidding) -> None:
    item = draft.task(event.task)
    if item is None:
        return
    loser = draft.release(item)
    if loser is not None:
        loser.failed += 1
    draft.move(item, tasks.TaskState.BIDDING)
    item.attempt, item.reason = event.attempt, event.reason
    item.auction_opened_us, item.auction_closes_us = event.opened_us, event.closes_us
    item.agent, item.price_msat, item.bids, item.ranking, item.explanation = "", 0, 0, (), ""
    draft.state.bidders[event.task] = []


def _on_bid_submitted(draft: Draft, event: tasks.BidSubmitted) -> None:
    bidders = draft.state.bidders.get(event.task)
    if bidders is None or event.agent in bidders:
        return
    bidders.append(event.agent)
    item = draft.task(event.task)
    if item is not None:
        item.bids = len(bidders)


def _on_auction_closed(draft: Draft, event: tasks.AuctionClosed) -> None:
    draft.state.bidders.pop(event.task, None)
    item = draft.task(event.task)
    if item is not None:
        item.ranking, item.explanation, item.bids = event.ranking, event.reason, len(event.ranking)
    for bid in event.ranking:
        agent = draft.known_agent(bid.agent) if event.winner and bid.agent != event.winner else None
        if agent is not None:
            agent.lost += 1


def _on_task_assigned(draft: Draft, event: tasks.TaskAssigned) -> None:
    item = draft.task(event.task)
    if item is None:
        return
    draft.move(item, tasks.TaskState.ASSIGNED)
    item.agent, item.attempt, item.price_msat = event.agent, event.attempt, event.price_msat
    item.lease_s = event.lease_s
    agent = draft.known_agent(event.agent)
    if agent is not None and event.task not in agent.tasks:
        agent.tasks.append(event.task)


def _on_task_started(draft: Draft, event: tasks.TaskStarted) -> None:
    item = draft.task(event.task)
    if item is not None:
        draft.move(item, tasks.TaskState.RUNNING)


def _on_task_completed(draft: Draft, event: tasks.TaskCompleted) -> None:
    item = draft.task(event.task)
    if item is None:
        return
    agent = draft.release(item)
    if agent is not None:
        agent.completed += 1
        agent.earned_msat += event.price_msat
    item.agent, item.price_msat, item.attempt = event.agent, event.price_msat, event.attempt
    item.artifact, item.summary, item.reason = event.artifact, event.summary, ""
    draft.move(item, tasks.TaskState.COMPLETED)


def _on_task_failed(draft: Draft, event: tasks.TaskFailed) -> None:
    _end(draft, event, tasks.TaskState.FAILED)


def _on_task_cancelled(draft: Draft, event: tasks.TaskCancelled) -> None:
    _end(draft, event, tasks.TaskState.CANCELLED)


def _on_task_expired(draft: Draft, event: tasks.TaskExpired) -> None:
    _end(draft, event, tasks.TaskState.EXPIRED)


def _end(
    draft: Draft, event: tasks.TaskFailed | tasks.TaskCancelled | tasks.TaskExpired, state: tasks.TaskState
) -> None:
    item = draft.task(event.task)
    if item is None:
        return
    agent = draft.release(item)
    if agent is not None and state is not tasks.TaskState.CANCELLED:
        agent.failed += 1
    item.reason = event.reason
    draft.move(item, state)


def _on_artifact_written(draft: Draft, event: artifacts.ArtifactWritten) -> None:
    state = draft.state
    state.artifacts[event.artifact] = ArtifactItem(
        artifact=event.artifact,
        name=event.name,
        media_type=event.media_type,
        size_bytes=event.size_bytes,
        owner=event.owner,
        task=event.task,
        created_us=event.created_us,
    )
    state.artifacts_count += 1
    draft.touch("artifacts", event.artifact)
    while len(state.artifacts) > ARTIFACTS_MAX:
        oldest = next(iter(state.artifacts))
        del state.artifacts[oldest]
        draft.touch("artifacts", oldest)


def _on_account_opened(draft: Draft, event: ledger.AccountOpened) -> None:
    draft.book(event.account, event.currency).credit_limit = event.credit_limit


def _on_transfer_held(draft: Draft, event: ledger.TransferHeld) -> None:
    draft.state.holds[event.transfer] = HeldMoney(event.debit, event.currency, event.amount)
    draft.book(event.debit, event.currency).held_out += event.amount


def _on_transfer_posted(draft: Draft, event: ledger.TransferPosted) -> None:
    if event.hold:
        _release_hold(draft, event.hold)
    _move(draft, event.currency, event, event.amount)


def _on_transfer_posted_many(draft: Draft, event: ledger.TransferPostedMany) -> None:
    for one in event.postings:
        _move(draft, event.currency, one, one.amount)


def _move(draft: Draft, currency: str, one: ledger.TransferPosted | ledger.Posting, amount: int) -> None:
    payer = draft.book(one.debit, currency)
    payer.outgoing += amount
    if one.credit.startswith(ledger.FEES):
        payer.fees += amount
    draft.book(one.credit, currency).incoming += amount


def _release_hold(draft: Draft, hold: str) -> None:
    held = draft.state.holds.pop(hold, None)
    if held is not None:
        draft.book(held.debit, held.currency).held_out -= held.amount


def _on_completion_requested(draft: Draft, event: completions.CompletionRequested) -> None:
    if event.reserved_usd_micros > 0:
        # What reserves money has it: a new day, or an older call settled.
        draft.state.is_budget_exhausted, draft.state.budgets_spent = False, []


def _on_attempt_failed(draft: Draft, event: completions.CompletionAttemptFailed) -> None:
    provider = draft.provider(event.provider)
    provider.failed += event.error not in BLAMELESS
    provider.spent_usd_micros += event.cost_usd_micros


def _on_completion_completed(draft: Draft, event: completions.CompletionCompleted) -> None:
    provider = draft.provider(event.provider)
    provider.completed += 1
    provider.spent_usd_micros += event.answer_cost_usd_micros
    draft.spend(event.cost_usd_micros)


def _on_completion_lost(draft: Draft, event: completions.CompletionFailed | completions.CompletionUnknown) -> None:
    draft.spend(event.cost_usd_micros)


def _on_breaker_opened(draft: Draft, event: completions.BreakerOpened) -> None:
    provider = draft.provider(event.provider)
    provider.breaker, provider.reason = completions.BreakerState.OPEN.value, event.reason


def _on_breaker_half_opened(draft: Draft, event: completions.BreakerHalfOpened) -> None:
    draft.provider(event.provider).breaker = completions.BreakerState.HALF_OPEN.value


def _on_breaker_closed(draft: Draft, event: completions.BreakerClosed) -> None:
    provider = draft.provider(event.provider)
    provider.breaker, provider.reason = completions.BreakerState.CLOSED.value, event.reason


def _on_provider_enabled(draft: Draft, event: completions.ProviderEnabled) -> None:
    provider = draft.provider(event.provider)
    provider.is_enabled, provider.reason = True, ""
    provider.breaker = completions.BreakerState.CLOSED.value


def _on_provider_disabled(draft: Draft, event: completions.ProviderDisabled) -> None:
    provider = draft.provider(event.provider)
    provider.is_enabled, provider.reason = False, event.reason


def _on_budget_spent(draft: Draft, event: completions.BudgetSpent) -> None:
    if spending.is_shared(event.budget):
        draft.state.is_budget_exhausted = True
        draft.state.budgets_spent.append(event.budget)


def _on_budget_reopened(draft: Draft, event: completions.BudgetReopened) -> None:
    if spending.is_shared(event.budget):
        _cover_again(draft.state, event.budget)


def _on_budget_raised(draft: Draft, event: completions.BudgetRaised) -> None:
    draft.state.budget_usd_micros = event.limit_usd_micros
    if event.limit_usd_micros == 0 or event.limit_usd_micros > draft.state.spent_run_usd_micros:
        _cover_again(draft.state, event.budget)
    draft.touch("spend")


def _cover_again(state: OverviewState, budget: str) -> None:
    state.budgets_spent = [name for name in state.budgets_spent if name != budget]
    state.is_budget_exhausted = bool(state.budgets_spent)


def _on_system_halted(draft: Draft, _: monitor.SystemHalted) -> None:
    draft.state.is_halted = True


def _on_system_resumed(draft: Draft, _: monitor.SystemResumed) -> None:
    draft.state.is_halted = False


def _on_alert_raised(draft: Draft, event: monitor.AlertRaised) -> None:
    draft.touch("alerts", event.alert)
    draft.state.alerts[event.alert] = AlertItem(event.alert, event.kind, event.cause, event.raised_us)


def _on_alert_cleared(draft: Draft, event: monitor.AlertCleared) -> None:
    draft.touch("alerts", event.alert)
    draft.state.alerts.pop(event.alert, None)


def _typed(kind: type[E], reaction: Callable[[Draft, E], None]) -> tuple[type[Event], Callable[[Draft, Event], None]]:
    def react(draft: Draft, event: Event) -> None:
        assert isinstance(event, kind)
        reaction(draft, event)

    return kind, react


_REACTIONS = dict(
    (
        _typed(agents.AgentJoined, _on_agent_joined),
        _typed(agents.AgentLeft, _on_agent_left),
        _typed(agents.AgentStatus, _on_agent_status),
        _typed(agents.StepCompleted, _on_step_completed),
        _typed(tasks.TaskCreated, _on_task_created),
        _typed(tasks.TaskBidding, _on_task_bidding),
        _typed(tasks.BidSubmitted, _on_bid_submitted),
        _typed(tasks.AuctionClosed, _on_auction_closed),
        _typed(tasks.TaskAssigned, _on_task_assigned),
        _typed(tasks.TaskStarted, _on_task_started),
        _typed(tasks.TaskCompleted, _on_task_completed),
        _typed(tasks.TaskFailed, _on_task_failed),
        _typed(tasks.TaskCancelled, _on_task_cancelled),
        _typed(tasks.TaskExpired, _on_task_expired),
        _typed(artifacts.ArtifactWritten, _on_artifact_written),
        _typed(ledger.AccountOpened, _on_account_opened),
        _typed(ledger.TransferHeld, _on_transfer_held),
        _typed(ledger.TransferPosted, _on_transfer_posted),
        _typed(ledger.TransferPostedMany, _on_transfer_posted_many),
        _typed(ledger.TransferVoided, lambda draft, event: _release_hold(draft, event.hold)),
        _typed(ledger.TransferExpired, lambda draft, event: _release_hold(draft, event.transfer)),
        _typed(completions.CompletionRequested, _on_completion_requested),
        _typed(completions.CompletionAttemptFailed, _on_attempt_failed),
        _typed(completions.CompletionCompleted, _on_completion_completed),
        _typed(completions.CompletionFailed, _on_completion_lost),
        _typed(completions.CompletionUnknown, _on_completion_lost),
        _typed(completions.BreakerOpened, _on_breaker_opened),
        _typed(completions.BreakerHalfOpened, _on_breaker_half_opened),
        _typed(completions.BreakerClosed, _on_breaker_closed),
        _typed(completions.ProviderEnabled, _on_provider_enabled),
        _typed(completions.ProviderDisabled, _on_provider_disabled),
        _typed(completions.BudgetSpent, _on_budget_spent),
        _typed(completions.BudgetReopened, _on_budget_reopened),
        _typed(completions.BudgetRaised, _on_budget_raised),
        _typed(monitor.SystemHalted, _on_system_halted),
        _typed(monitor.SystemResumed, _on_system_resumed),
        _typed(monitor.AlertRaised, _on_alert_raised),
        _typed(monitor.AlertCleared, _on_alert_cleared),
    )
)
