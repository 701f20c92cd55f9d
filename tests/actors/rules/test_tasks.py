"""The life of one task."""

from collections.abc import Callable

import msgspec
import pytest

from actors.rules import tasks
from actors.rules.tasks import INSTRUCTIONS_BYTES_MAX, LIVE, MOVES, OPEN, REWARD_MSAT_MAX, Task, sound
from bus.messages.base import AgentId, ArtifactId, Event, TaskId
from bus.messages.tasks import (
    AuctionClosed,
    Bid,
    BidSubmitted,
    CancelTask,
    TaskAssigned,
    TaskBidding,
    TaskCancelled,
    TaskCompleted,
    TaskCreated,
    TaskExpired,
    TaskFailed,
    TaskSpec,
    TaskStarted,
    TaskState,
    TaskWaiting,
)
from bus.refusals import IllegalTransition, InvalidField, LeaseNotHeld
from tests.support.market import NOW_US, complete, fail, renew, spec, start

TASK = TaskId("t-1")
SCOUT = AgentId("scout")
WINDOW_S = 2.0
LATER_US = NOW_US + 5

ENDS = tuple(state for state in TaskState if state not in OPEN)


def task_in(state: TaskState, of: TaskSpec | None = None, attempt: int = 1) -> Task:
    """A task that has come to a state by legal moves."""
    of = of or spec()
    task = tasks.created(TaskCreated(TASK, of, NOW_US), 1)
    bidding = TaskBidding(TASK, attempt, of.title, "", 1_000, "lowest_price", NOW_US, NOW_US + 2_000_000)
    closed = AuctionClosed(TASK, attempt, (Bid(SCOUT, 100),), SCOUT, 100, "the only bid")
    assigned = TaskAssigned(TASK, SCOUT, attempt, 100, 60.0, of, NOW_US + 1)
    started = TaskStarted(TASK, SCOUT, attempt, NOW_US + 2)
    working: tuple[Event, ...] = (bidding, BidSubmitted(TASK, SCOUT, attempt, 100), closed, assigned, started)
    path: dict[TaskState, tuple[Event, ...]] = {
        TaskState.CREATED: (),
        TaskState.BIDDING: (bidding,),
        TaskState.ASSIGNED: working[:4],
        TaskState.RUNNING: working,
        TaskState.COMPLETED: (*working, TaskCompleted(TASK, SCOUT, attempt, 100, ArtifactId("a-1"), "ok", NOW_US + 3)),
        TaskState.FAILED: (*working, TaskFailed(TASK, "no", SCOUT, attempt, NOW_US + 3)),
        TaskState.CANCELLED: (bidding, TaskCancelled(TASK, "no", at_us=NOW_US + 3)),
        TaskState.EXPIRED: (*working, TaskExpired(TASK, "late", SCOUT, attempt, NOW_US + 3)),
    }
    for event in path[state]:
        tasks.apply(task, event)
    assert task.state is state
    return task


def names(events: tuple[Event, ...]) -> list[str]:
    return [event.wire_name for event in events]


LEGAL = {
    *((state, TaskWaiting) for state in (TaskState.CREATED, TaskState.BIDDING, TaskState.ASSIGNED, TaskState.RUNNING)),
    (TaskState.CREATED, TaskBidding),
    (TaskState.CREATED, TaskFailed),
    (TaskState.CREATED, TaskCancelled),
    (TaskState.CREATED, TaskExpired),
    (TaskState.BIDDING, TaskBidding),
    (TaskState.BIDDING, TaskAssigned),
    (TaskState.BIDDING, TaskFailed),
    (TaskState.BIDDING, TaskCancelled),
    (TaskState.BIDDING, TaskExpired),
    (TaskState.ASSIGNED, TaskBidding),
    (TaskState.ASSIGNED, TaskStarted),
    (TaskState.ASSIGNED, TaskFailed),
    (TaskState.ASSIGNED, TaskCancelled),
    (TaskState.ASSIGNED, TaskExpired),
    (TaskState.RUNNING, TaskBidding),
    (TaskState.RUNNING, TaskCompleted),
    (TaskState.RUNNING, TaskFailed),
    (TaskState.RUNNING, TaskCancelled),
    (TaskState.RUNNING, TaskExpired),
}


@pytest.mark.parametrize("state", list(TaskState))
@pytest.mark.parametrize("event", list(MOVES))
def test_the_table_allows_the_legal_moves_and_no_other(state: TaskState, event: type[Event]) -> None:
    task = task_in(state)
    if (state, event) in LEGAL:
        tasks.check_move(task, event, "moved")
    else:
        with pytest.raises(IllegalTransition, match=f"task t-1 is {state}; it cannot be moved"):
            tasks.check_move(task, event, "moved")


@pytest.mark.parametrize("state", ENDS)
def test_an_end_is_final_whatever_event_is_folded(state: TaskState) -> None:
    task = task_in(state)
    before = msgspec.json.encode(task)
    for event in (
        TaskBidding(TASK, 9, "", "", 1, "lowest_price", 0, 0),
        TaskAssigned(TASK, AgentId("thief"), 9, 1, 1.0, spec()),
        TaskCompleted(TASK, AgentId("thief"), 9, 1, ArtifactId(""), ""),
        TaskFailed(TASK, "no"),
        BidSubmitted(TASK, AgentId("thief"), 9, 1),
    ):
        tasks.apply(task, event)
    assert msgspec.json.encode(task) == before


@pytest.mark.parametrize("state", [*ENDS, TaskState.CREATED, TaskState.BIDDING])
def test_a_completed_task_never_becomes_failed_nor_any_other_without_a_lease(state: TaskState) -> None:
    task = task_in(state)
    with pytest.raises(IllegalTransition):
        tasks.decide_fail(task, fail(TASK, "scout"), LATER_US, WINDOW_S)


def test_work_starts_once_and_a_repeat_causes_nothing() -> None:
    task = task_in(TaskState.ASSIGNED)
    (started,) = tasks.decide_start(task, start(TASK, "scout"), LATER_US)
    assert started == TaskStarted(TASK, SCOUT, 1, LATER_US)
    tasks.apply(task, started)
    assert tasks.decide_start(task, start(TASK, "scout"), LATER_US) == ()


def test_a_result_is_accepted_with_the_price_of_the_auction() -> None:
    task = task_in(TaskState.RUNNING)
    (done,) = tasks.decide_complete(task, complete(TASK, "scout"), LATER_US)
    assert done == TaskCompleted(TASK, SCOUT, 1, 100, ArtifactId("a-1"), "it is done", LATER_US)


def test_a_result_proves_that_the_work_began() -> None:
    events = tasks.decide_complete(task_in(TaskState.ASSIGNED), complete(TASK, "scout"), LATER_US)
    assert names(events) == ["task.started", "task.completed"]


def test_a_repeated_result_of_the_same_attempt_causes_nothing_and_the_first_stands() -> None:
    task = task_in(TaskState.COMPLETED)
    assert tasks.decide_complete(task, complete(TASK, "scout"), LATER_US) == ()
    assert tasks.decide_complete(task, complete(TASK, "scout", artifact="a-9"), LATER_US) == ()
    assert task.artifact == "a-1"


@pytest.mark.parametrize("state", [TaskState.ASSIGNED, TaskState.RUNNING, TaskState.COMPLETED])
@pytest.mark.parametrize(("agent", "attempt"), [("scout", 1), ("critic", 2), ("scout", 3)])
def test_a_stale_attempt_or_another_agent_is_refused(state: TaskState, agent: str, attempt: int) -> None:
    task = task_in(state, attempt=2)
    decisions: tuple[Callable[[], object], ...] = (
        lambda: tasks.decide_start(task, start(TASK, agent, attempt), LATER_US),
        lambda: tasks.decide_complete(task, complete(TASK, agent, attempt), LATER_US),
        lambda: tasks.decide_fail(task, fail(TASK, agent, attempt), LATER_US, WINDOW_S),
    )
    for decide in decisions:
        with pytest.raises(LeaseNotHeld, match=f"attempt {attempt} of task t-1 is not held by {agent}"):
            decide()
    with pytest.raises(LeaseNotHeld):
        tasks.check_lease(task, renew(TASK, agent, attempt), "renewed")


def test_a_result_that_comes_after_the_lease_was_lost_is_refused() -> None:
    task = task_in(TaskState.RUNNING)
    for event in tasks.decide_lost(task, 1, "the lease of scout ran out", LATER_US, WINDOW_S):
        tasks.apply(task, event)
    with pytest.raises(LeaseNotHeld):
        tasks.decide_complete(task, complete(TASK, "scout", 1), LATER_US)


@pytest.mark.parametrize("state", sorted(LIVE))
def test_a_lost_lease_goes_back_to_auction_with_the_next_attempt(state: TaskState) -> None:
    task = task_in(state)
    (bidding,) = tasks.decide_lost(task, 1, "the lease of scout ran out", LATER_US, WINDOW_S)
    assert isinstance(bidding, TaskBidding)
    assert (bidding.attempt, bidding.reason) == (2, "the lease of scout ran out")
    assert bidding.closes_us == LATER_US + 2_000_000
    tasks.apply(task, bidding)
    assert (task.agent, task.price_msat, task.attempt) == ("", 0, 2)


def test_a_lease_that_is_over_already_cannot_be_lost_again() -> None:
    assert tasks.decide_lost(task_in(TaskState.RUNNING, attempt=2), 1, "late", LATER_US, WINDOW_S) == ()
    assert tasks.decide_lost(task_in(TaskState.COMPLETED), 1, "late", LATER_US, WINDOW_S) == ()


def test_the_last_attempt_that_is_lost_fails_the_task() -> None:
    task = task_in(TaskState.RUNNING, attempt=3)
    (event,) = tasks.decide_lost(task, 3, "the lease of scout ran out", LATER_US, WINDOW_S)
    assert event == TaskFailed(TASK, "the lease of scout ran out; attempt 3 of 3 was the last", SCOUT, 3, LATER_US)


def test_a_failure_that_another_attempt_may_mend_is_auctioned_again() -> None:
    events = tasks.decide_fail(task_in(TaskState.RUNNING), fail(TASK, "scout"), LATER_US, WINDOW_S)
    assert names(events) == ["task.bidding"]


def test_a_failure_that_no_attempt_can_mend_ends_the_task() -> None:
    (event,) = tasks.decide_fail(
        task_in(TaskState.RUNNING), fail(TASK, "scout", is_retryable=False), LATER_US, WINDOW_S
    )
    assert event == TaskFailed(TASK, "it is too hard", SCOUT, 1, LATER_US)


@pytest.mark.parametrize("state", sorted(OPEN))
def test_a_cancellation_names_the_agent_that_works_on_the_task(state: TaskState) -> None:
    task = task_in(state)
    (event,) = tasks.decide_cancel(task, CancelTask(TASK), LATER_US)
    held = (SCOUT, 1) if state in LIVE else ("", 0)
    assert isinstance(event, TaskCancelled)
    assert (event.agent, event.attempt) == held
    assert event.reason == "cancelled by its poster"


def test_a_repeated_cancellation_causes_nothing() -> None:
    assert tasks.decide_cancel(task_in(TaskState.CANCELLED), CancelTask(TASK), LATER_US) == ()


@pytest.mark.parametrize("state", [TaskState.COMPLETED, TaskState.FAILED, TaskState.EXPIRED])
def test_an_ended_task_cannot_be_cancelled(state: TaskState) -> None:
    with pytest.raises(IllegalTransition, match=f"task t-1 is {state}; it cannot be cancelled"):
        tasks.decide_cancel(task_in(state), CancelTask(TASK), LATER_US)


def test_a_task_expires_at_its_deadline_whatever_happens_and_not_before() -> None:
    of = msgspec.structs.replace(spec(), deadline_s=10.0)
    task = task_in(TaskState.RUNNING, of)
    assert tasks.decide_expire(task, NOW_US + 9_999_999) == ()
    (event,) = tasks.decide_expire(task, NOW_US + 10_000_000)
    assert event == TaskExpired(TASK, "not done within 10 s", SCOUT, 1, NOW_US + 10_000_000)
    assert tasks.decide_expire(task_in(TaskState.COMPLETED, of), NOW_US + 20_000_000) == ()


def test_a_task_without_a_deadline_never_expires() -> None:
    assert tasks.decide_expire(task_in(TaskState.BIDDING), NOW_US + 10**15) == ()


def test_long_words_of_agents_are_shortened_so_that_events_stay_small() -> None:
    task = task_in(TaskState.RUNNING)
    long = msgspec.structs.replace(complete(TASK, "scout"), summary="\x00" * 100_000)
    events = tasks.decide_complete(task, long, LATER_US)
    assert len(msgspec.json.encode(events[-1])) < 32_768
    wordy = msgspec.structs.replace(fail(TASK, "scout"), reason="x" * 100_000)
    assert len(msgspec.json.encode(tasks.decide_fail(task, wordy, LATER_US, WINDOW_S)[0])) < 32_768


def test_the_largest_spec_fits_into_an_event() -> None:
    of = TaskSpec("x" * 200, instructions='"' * (INSTRUCTIONS_BYTES_MAX // 2), reward_msat=REWARD_MSAT_MAX)
    event = TaskAssigned(TASK, SCOUT, 1, 100, 60.0, sound(of))
    assert len(msgspec.json.encode(event)) < 32_768


def test_a_sound_spec_has_a_trimmed_title() -> None:
    assert sound(spec("  Brief anyio ")).title == "Brief anyio"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("title", " \n"),
        ("title", "x" * 201),
        ("title", "\ud800"),
        ("instructions", "x" * (INSTRUCTIONS_BYTES_MAX + 1)),
        ("instructions", "\ud800"),
        ("capability", "x" * 300),
        ("reward_msat", 0),
        ("reward_msat", -999),
        ("reward_msat", REWARD_MSAT_MAX + 1),
        ("input", "a 1"),
        ("poster", ""),
        ("poster", "../x y"),
        ("poster", "genesis"),
        ("poster", "escrow"),
        ("rule", "by whim"),
        ("bid_window_s", -1.0),
        ("bid_window_s", float("inf")),
        ("lease_s", float("nan")),
        ("deadline_s", 1e12),
        ("attempts_max", 0),
        ("attempts_max", 11),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused_with_the_fields_path(path: str, value: object) -> None:
    with pytest.raises(InvalidField) as refused:
        sound(msgspec.structs.replace(spec(), **{path: value}))
    assert refused.value.path == f"spec.{path}"


def test_a_view_of_an_open_auction_shows_how_many_bids_there_are_and_nothing_else() -> None:
    task = task_in(TaskState.BIDDING)
    tasks.apply(task, BidSubmitted(TASK, SCOUT, 1, 123))
    shown = tasks.view(task)
    assert (shown.bids, shown.ranking, shown.price_msat, shown.agent) == (1, (), 0, "")
    assert b"123" not in msgspec.json.encode(msgspec.structs.replace(shown, spec=spec()))
    assert shown.auction_closes_us == NOW_US + 2_000_000


def test_a_view_of_a_closed_auction_shows_the_ranking() -> None:
    shown = tasks.view(task_in(TaskState.ASSIGNED))
    assert (shown.bids, shown.ranking, shown.price_msat, shown.agent) == (1, (Bid(SCOUT, 100),), 100, "scout")


def test_a_view_tells_when_the_task_last_moved() -> None:
    moved = [tasks.view(task_in(state)).updated_us - NOW_US for state in TaskState]
    assert moved == [0, 0, 1, 2, 3, 3, 3, 3]
