"""The overview: what the events add up to, and patches that lead from any position to any later one."""

from collections.abc import Callable, Mapping

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.rules.overview import Overview
from actors.rules.overview_draft import CHANGES_MAX, TASKS_ENDED_MAX
from actors.rules.overview_events import ARTIFACTS_MAX
from actors.rules.overview_items import OverviewState
from bus.address import Address
from bus.envelope import Recorded
from bus.messages.agents import AgentJoined, AgentLeft, AgentStatus, AgentStatusName, Persona, StepCompleted
from bus.messages.artifacts import ArtifactWritten
from bus.messages.base import AccountId, AgentId, ArtifactId, BlobId, CompletionId, Event, Position, TaskId, TransferId
from bus.messages.completions import (
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    BudgetRaised,
    BudgetReopened,
    BudgetSpent,
    CompletionAttemptFailed,
    CompletionCompleted,
    CompletionRequested,
    ProviderDisabled,
    ProviderEnabled,
)
from bus.messages.ledger import AccountOpened, TransferExpired, TransferHeld, TransferPosted, TransferVoided
from bus.messages.system import SystemInfo
from bus.messages.tasks import (
    AuctionClosed,
    Bid,
    BidSubmitted,
    TaskAssigned,
    TaskBidding,
    TaskCancelled,
    TaskCompleted,
    TaskCreated,
    TaskExpired,
    TaskFailed,
    TaskSpec,
    TaskStarted,
)

DAY_US = 86_400_000_000
NOON_US = 20_000 * DAY_US + DAY_US // 2
Json = object


def applied(*events: Event, overview: Overview | None = None, step_us: int = 1) -> Overview:
    overview = overview or Overview(providers=("ollama",))
    for event in events:
        overview.apply(record(overview.position + 1, event, step_us))
    return overview


def record(position: int, event: Event, step_us: int = 1) -> Recorded:
    time_us = NOON_US + position * step_us
    return Recorded(event, Position(position), time_us, Address("x"), Position(0), "", Position(0))


def shown(overview: Overview) -> Mapping[str, Json]:
    return msgspec.json.decode(msgspec.json.encode(overview.view()), type=dict[str, object])


def part(overview: Overview, *path: str) -> Json:
    value: Json = shown(overview)
    for name in path:
        assert isinstance(value, dict)
        value = value[name]
    return value


def merged(target: Json, patch: Json) -> Json:
    """RFC 7396, written down from the RFC."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


# Events of a small society, whatever the order in which they come.

T, A, P = TaskId("t-1"), AgentId("scout"), "ollama"
TASKS = tuple(TaskId(f"t-{n}") for n in range(1, 5))
AGENTS = tuple(AgentId(name) for name in ("scout", "scribe", "sage"))
SPEC = TaskSpec(title="Brief it", reward_msat=1_000, capability="brief", input=ArtifactId("a-1"))


def created(task: TaskId = T) -> Event:
    return TaskCreated(task, SPEC, NOON_US)


def bidding(task: TaskId = T, attempt: int = 1, reason: str = "") -> Event:
    return TaskBidding(task, attempt, "Brief it", "brief", 1_000, "lowest_price", NOON_US, NOON_US + 5, reason)


def closed(task: TaskId = T, winner: AgentId = A, *others: AgentId) -> Event:
    ranking = (Bid(winner, 100), *(Bid(other, 200) for other in others))
    return AuctionClosed(task, 1, ranking, winner, 100, "the lowest price")


def assigned(task: TaskId = T, agent: AgentId = A) -> Event:
    return TaskAssigned(task, agent, 1, 100, 30.0, SPEC)


def completed(task: TaskId = T, agent: AgentId = A) -> Event:
    return TaskCompleted(task, agent, 1, 100, ArtifactId("a-2"), "five sentences")


def joined(agent: AgentId = A) -> Event:
    return AgentJoined(agent, Persona(agent, ("brief",), "Be brief.", 100))


def wrote(number: int) -> Event:
    return ArtifactWritten(
        ArtifactId(f"a-{number}"), f"n{number}", "text/plain", 5, BlobId("0" * 64), "scout", T, NOON_US
    )


def held(task: TaskId = T, amount: int = 300) -> Event:
    hold = TransferId(f"hold/{task}")
    return TransferHeld(hold, AccountId("treasury"), AccountId("escrow"), "msat", amount, 0, "")


def posted(task: TaskId = T, amount: int = 100) -> Event:
    return TransferPosted(
        TransferId(f"post/{task}"),
        AccountId("treasury"),
        AccountId("agents/scout"),
        "msat",
        amount,
        TransferId(f"hold/{task}"),
        "",
    )


def thought(cost: int = 7, provider: str = P) -> Event:
    ids = CompletionId("m-1"), A, T
    return CompletionCompleted(*ids, provider, "m", 10, 5, cost, "stop", 0.1, NOON_US, answer_cost_usd_micros=cost)


def requested(reserved: int) -> Event:
    return CompletionRequested(CompletionId("m-2"), A, T, 10, 5, reserved, NOON_US)


tasks_st = st.sampled_from(TASKS)
agents_st = st.sampled_from(AGENTS)
Builder = Callable[..., st.SearchStrategy[Event]]
EVENTS_ST: st.SearchStrategy[Event] = st.one_of(
    st.builds(created, tasks_st),
    st.builds(bidding, tasks_st, st.integers(1, 3)),
    st.builds(BidSubmitted, tasks_st, agents_st, st.just(1), st.integers(1, 999)),
    st.builds(closed, tasks_st, agents_st),
    st.builds(assigned, tasks_st, agents_st),
    st.builds(TaskStarted, tasks_st, agents_st, st.just(1)),
    st.builds(completed, tasks_st, agents_st),
    st.builds(TaskFailed, tasks_st, st.just("no bid")),
    st.builds(TaskCancelled, tasks_st, st.just("no need")),
    st.builds(TaskExpired, tasks_st, st.just("too late")),
    st.builds(joined, agents_st),
    st.builds(AgentLeft, agents_st, st.just("retired")),
    st.builds(AgentStatus, agents_st, st.sampled_from(AgentStatusName), st.just("why")),
    st.builds(StepCompleted, agents_st, tasks_st, st.just(1), st.just("completed"), st.just(0.1)),
    st.builds(wrote, st.integers(1, 6)),
    st.builds(AccountOpened, st.just(AccountId("treasury")), st.just("msat"), st.just(0)),
    st.builds(held, tasks_st),
    st.builds(posted, tasks_st),
    st.builds(TransferVoided, st.just(TransferId("v")), st.just(TransferId("hold/t-1")), st.just("")),
    st.builds(TransferExpired, st.just(TransferId("hold/t-2"))),
    st.builds(thought, st.integers(0, 50), st.sampled_from((P, "openai"))),
    st.builds(requested, st.integers(0, 5)),
    st.builds(CompletionAttemptFailed, *(st.just(x) for x in (CompletionId("m"), A, T, P, "Timeout", "slow", 1.0))),
    st.builds(BreakerOpened, st.just(P), st.just("5 of 6 failed"), st.just(1.0), st.just(1), st.just(1)),
    st.builds(BreakerHalfOpened, st.just(P), st.just(1)),
    st.builds(BreakerClosed, st.just(P), st.just("probed"), st.just(1)),
    st.builds(ProviderEnabled, st.just(P)),
    st.builds(ProviderDisabled, st.just(P), st.just("bad key")),
    st.builds(BudgetSpent, st.just("run"), st.just(9), st.just(9)),
    st.builds(BudgetRaised, st.just("run"), st.integers(0, 100)),
    st.builds(SystemInfo, st.just("hello")),
)


@settings(max_examples=150)
@given(events=st.lists(EVENTS_ST, max_size=60), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_the_frame_at_p_plus_the_patches_to_q_is_the_state_at_q(events: list[Event], cuts: list[int]) -> None:
    overview = Overview(providers=(P,))
    have: Json = shown(overview)
    at = Position(0)
    for event in events:
        applied(event, overview=overview)
        if overview.position in cuts:
            patch = overview.patch(at)
            assert patch is not None
            have, at = merged(have, msgspec.json.decode(msgspec.json.encode(patch))), overview.position
            assert have == shown(overview)
    patch = overview.patch(at)
    assert patch is not None
    assert merged(have, msgspec.json.decode(msgspec.json.encode(patch))) == shown(overview)


@settings(max_examples=100)
@given(events=st.lists(EVENTS_ST, max_size=60), cut=st.integers(0, 60))
def test_a_fold_from_a_saved_state_is_the_live_overview(events: list[Event], cut: int) -> None:
    live = applied(*events, overview=Overview(providers=(P,)))
    first = applied(*events[:cut], overview=Overview(providers=(P,)))
    saved = msgspec.json.decode(msgspec.json.encode(first.state), type=OverviewState)
    assert shown(applied(*events[cut:], overview=Overview(saved, providers=(P,)))) == shown(live)


@settings(max_examples=50)
@given(events=st.lists(EVENTS_ST, max_size=60))
def test_no_item_is_ever_null_and_counts_match_the_kept_tasks(events: list[Event]) -> None:
    overview = applied(*events)
    assert b":null" not in msgspec.json.encode(overview.view())
    counts = part(overview, "tasks", "counts")
    assert isinstance(counts, dict)
    assert all(count >= 0 for count in counts.values())


def test_a_task_goes_from_posted_to_paid() -> None:
    overview = applied(
        joined(),
        joined(AGENTS[1]),
        created(),
        bidding(),
        BidSubmitted(T, A, 1, 100),
        BidSubmitted(T, AGENTS[1], 1, 200),
        BidSubmitted(T, A, 1, 90),
    )
    assert part(overview, "tasks", "items", "t-1", "bids") == 2
    assert part(overview, "tasks", "items", "t-1", "ranking") == []
    applied(closed(T, A, AGENTS[1]), assigned(), TaskStarted(T, A, 1), overview=overview)
    assert part(overview, "agents", "items", "scout", "tasks") == ["t-1"]
    assert part(overview, "agents", "items", "scribe", "lost") == 1
    applied(completed(), overview=overview)
    task = part(overview, "tasks", "items", "t-1")
    assert isinstance(task, dict)
    assert (task["state"], task["agent"], task["price_msat"], task["artifact"]) == ("completed", "scout", 100, "a-2")
    assert task["explanation"] == "the lowest price"
    scout = part(overview, "agents", "items", "scout")
    assert isinstance(scout, dict)
    assert (scout["tasks"], scout["completed"], scout["earned_msat"]) == ([], 1, 100)
    assert part(overview, "tasks", "counts", "completed") == 1


def test_an_attempt_that_was_lost_counts_against_its_agent() -> None:
    overview = applied(joined(), created(), bidding(), assigned(), bidding(T, 2, "the lease ran out"))
    assert part(overview, "agents", "items", "scout", "failed") == 1
    assert part(overview, "agents", "items", "scout", "tasks") == []
    assert part(overview, "tasks", "items", "t-1", "reason") == "the lease ran out"


def test_a_cancelled_task_is_not_its_agents_failure() -> None:
    overview = applied(joined(), created(), bidding(), assigned(), TaskCancelled(T, "no need", A, 1))
    assert part(overview, "agents", "items", "scout", "failed") == 0


def test_balances_follow_holds_and_payments() -> None:
    treasury = AccountId("treasury")
    genesis = TransferPosted(TransferId("g"), AccountId("genesis"), treasury, "msat", 1_000, TransferId(""), "")
    overview = applied(AccountOpened(AccountId("genesis"), "msat", -1), genesis, held())
    assert part(overview, "balances", "items", "treasury/msat") == {
        "account": "treasury",
        "currency": "msat",
        "incoming": 1_000,
        "outgoing": 0,
        "fees": 0,
        "net": 1_000,
        "held_out": 300,
        "available": 700,
    }
    applied(posted(), overview=overview)
    assert part(overview, "balances", "items", "treasury/msat", "net") == 900
    assert part(overview, "balances", "items", "treasury/msat", "held_out") == 0
    assert part(overview, "balances", "items", "agents/scout/msat", "account") == "agents/scout"


def test_spend_is_counted_by_run_and_by_utc_day() -> None:
    overview = applied(thought(7), thought(3))
    assert part(overview, "spend", "today_usd_micros") == 10
    applied(thought(5), overview=overview, step_us=DAY_US)
    assert part(overview, "spend", "today_usd_micros") == 5
    assert part(overview, "spend", "run_usd_micros") == 15


def test_the_status_follows_the_budget() -> None:
    overview = Overview(budget_run_usd_micros=10, budget_day_usd_micros=7)
    assert part(overview, "spend", "budget_run_usd_micros") == 10
    assert part(overview, "spend", "budget_day_usd_micros") == 7
    applied(thought(10), BudgetSpent("run", 10, 10), overview=overview)
    assert part(overview, "status") == "budget_exhausted"
    applied(BudgetRaised("run", 8), overview=overview)
    assert part(overview, "status") == "budget_exhausted"
    applied(BudgetRaised("run", 20), overview=overview)
    assert part(overview, "status") == "running"
    assert part(overview, "spend", "budget_run_usd_micros") == 20


def test_the_status_is_of_the_budgets_that_all_share_and_of_each_of_them() -> None:
    overview = applied(BudgetSpent("agent/scout", 10, 10))
    assert part(overview, "status") == "running"
    applied(BudgetSpent("run", 10, 10), BudgetSpent("day/20000", 9, 9), overview=overview)
    applied(BudgetReopened("run", 20), BudgetReopened("agent/scout", 20), overview=overview)
    assert part(overview, "status") == "budget_exhausted"
    applied(BudgetReopened("day/20000", 0), overview=overview)
    assert part(overview, "status") == "running"


def test_each_part_carries_the_position_that_changed_it_last() -> None:
    overview = applied(joined(), created(), SystemInfo("hello"), thought())
    assert part(overview, "agents", "position") == 1
    assert part(overview, "tasks", "position") == 2
    assert part(overview, "artifacts", "position") == 0
    assert part(overview, "spend", "position") == 4
    assert part(overview, "position") == 4


def test_open_tasks_are_all_kept_and_of_the_ended_ones_the_newest() -> None:
    count = TASKS_ENDED_MAX + 3
    names = [TaskId(f"t-{n}") for n in range(count)]
    overview = applied(*(created(name) for name in names))
    assert len(overview.state.tasks) == count
    applied(*(TaskFailed(name, "no bid") for name in names), overview=overview)
    assert len(overview.state.tasks) == TASKS_ENDED_MAX
    assert "t-2" not in overview.state.tasks
    assert part(overview, "tasks", "counts", "failed") == count


def test_of_artifacts_the_newest_are_kept_and_all_are_counted() -> None:
    overview = applied(*(wrote(n) for n in range(ARTIFACTS_MAX + 2)))
    assert len(overview.state.artifacts) == ARTIFACTS_MAX
    assert part(overview, "artifacts", "count") == ARTIFACTS_MAX + 2


def test_who_is_too_far_behind_takes_the_whole() -> None:
    overview = applied(joined())
    assert overview.patch(Position(0)) is not None
    applied(*(wrote(n) for n in range(CHANGES_MAX)), overview=overview)
    assert overview.patch(Position(0)) is None
    assert overview.patch(Position(overview.position + 1)) is None
    saved = Overview(overview.state)
    assert saved.patch(Position(overview.position - 1)) is None


def test_what_is_sealed_is_nowhere_in_the_overview() -> None:
    overview = applied(created(), bidding(), BidSubmitted(T, A, 1, 424_242))
    assert b"424242" not in msgspec.json.encode(overview.view())
