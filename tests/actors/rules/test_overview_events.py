"""How single events change the overview's draft."""

from actors.rules.overview_draft import AGENTS_LEFT_MAX, Draft
from actors.rules.overview_events import apply
from actors.rules.overview_items import OverviewState
from bus.address import Address
from bus.envelope import Recorded
from bus.messages.agents import AgentJoined, AgentLeft, AgentStatus, AgentStatusName, Persona
from bus.messages.base import AgentId, CompletionId, Event, Position, TaskId
from bus.messages.completions import (
    BreakerClosed,
    BreakerOpened,
    CompletionAttemptFailed,
    CompletionCompleted,
    ProviderDisabled,
    ProviderEnabled,
)
from bus.messages.tasks import TaskFailed


def applied(*events: Event) -> Draft:
    draft = Draft(OverviewState(counts=dict.fromkeys(("created", "failed"), 0)))
    for position, event in enumerate(events, 1):
        apply(draft, Recorded(event, Position(position), position, Address("x"), Position(0), "", Position(0)))
    return draft


def joined(name: str) -> AgentJoined:
    return AgentJoined(AgentId(name), Persona(name, ("brief",), "", 10))


def test_an_event_about_what_is_not_there_changes_the_position_alone() -> None:
    draft = applied(
        TaskFailed(TaskId("t-9"), "gone", AgentId("ghost")), AgentStatus(AgentId("ghost"), AgentStatusName.IDLE)
    )
    assert (draft.state.position, draft.state.tasks, draft.state.agents) == (2, {}, {})


def test_the_newest_of_the_agents_that_left_are_kept() -> None:
    names = [f"agent-{n}" for n in range(AGENTS_LEFT_MAX + 1)]
    draft = applied(*(joined(name) for name in names), *(AgentLeft(AgentId(name), "retired") for name in names))
    assert len(draft.state.agents) == AGENTS_LEFT_MAX
    assert "agent-0" not in draft.state.agents


def test_an_agent_that_comes_back_is_not_forgotten_with_those_that_left() -> None:
    draft = applied(joined("scout"), AgentLeft(AgentId("scout"), "retired"), joined("scout"))
    assert draft.state.agents_left == []
    assert draft.state.agents["scout"].status == AgentStatusName.IDLE.value


def test_a_provider_shows_its_breaker_and_its_switch() -> None:
    draft = applied(BreakerOpened("ollama", "5 of 6 failed", 1.0, 9, 1))
    assert (draft.state.router["ollama"].breaker, draft.state.router["ollama"].reason) == ("open", "5 of 6 failed")
    draft = applied(BreakerOpened("ollama", "x", 1.0, 9, 1), BreakerClosed("ollama", "probed", 2))
    assert draft.state.router["ollama"].breaker == "closed"
    draft = applied(ProviderDisabled("ollama", "bad key"), ProviderEnabled("ollama"))
    assert (draft.state.router["ollama"].is_enabled, draft.state.router["ollama"].reason) == (True, "")


def test_what_an_attempt_cost_counts_with_its_provider_and_who_was_outrun_has_not_failed() -> None:
    ids = CompletionId("m-1"), AgentId("scout"), TaskId("t-1")
    draft = applied(
        CompletionAttemptFailed(*ids, "dear", "timeout", "no reply", 1.0, cost_usd_micros=40),
        CompletionAttemptFailed(*ids, "slow", "outrun", "another was quicker", 1.0, cost_usd_micros=5),
        CompletionCompleted(*ids, "quick", "m", 1, 1, 52, "stop", 1.0, 0, answer_cost_usd_micros=7),
    )
    shown = {name: (one.completed, one.failed, one.spent_usd_micros) for name, one in draft.state.router.items()}
    assert shown == {"dear": (0, 1, 40), "slow": (0, 0, 5), "quick": (1, 0, 7)}
    assert draft.state.spent_run_usd_micros == 52
