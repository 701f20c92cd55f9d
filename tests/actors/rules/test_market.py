"""What the coordinator decides, and the faults of ancestors."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from actors.rules import market
from actors.rules.idempotency import KEPT_US
from actors.rules.tasks import LIVE, OPEN
from bus.errors import Refused
from bus.messages.agents import AgentStatusName
from bus.messages.base import AgentId, Event, TaskId
from bus.messages.tasks import (
    AuctionClosed,
    CancelTask,
    CreateTask,
    TaskAssigned,
    TaskBidding,
    TaskEnded,
    TaskFailed,
    TaskState,
)
from bus.refusals import IdempotencyConflict, IllegalTransition, InvalidField, LeaseNotHeld, NotEligible, NotFound
from tests.support.market import (
    NOW_US,
    TERMS,
    Desk,
    complete,
    create,
    fail,
    joined,
    left,
    spec,
    start,
    status,
)

UNKNOWN = TaskId("t-99")


def desk_with(*agents: str) -> Desk:
    desk = Desk()
    for agent in agents:
        desk.join(agent, "brief")
    return desk


# Creation


def test_tasks_are_numbered_and_wait_for_their_hold() -> None:
    desk = Desk()
    for number in (1, 2):
        (created,) = market.decide_create(desk.board, create(f"task {number}"), NOW_US)
        desk.record((created,))
        assert created.task == f"t-{number}"
        assert desk.state(created.task) is TaskState.CREATED


def test_a_title_is_trimmed_before_it_is_recorded() -> None:
    (created,) = market.decide_create(Desk().board, create("  Brief anyio "), NOW_US)
    assert created.spec.title == "Brief anyio"


def test_a_spec_that_makes_no_sense_is_refused_with_its_path() -> None:
    with pytest.raises(InvalidField, match=r"spec\.title: is empty"):
        market.decide_create(Desk().board, create(" "), NOW_US)


def test_the_same_key_with_the_same_spec_gives_the_same_task() -> None:
    desk = Desk()
    desk.record(market.decide_create(desk.board, create("Brief anyio", "k"), NOW_US))
    again = create(" Brief anyio", "k")
    assert market.decide_create(desk.board, again, NOW_US + 5) == ()
    assert market.repeated(desk.board, again, NOW_US + 5) == "t-1"


def test_the_same_key_with_another_spec_is_a_conflict() -> None:
    desk = Desk()
    desk.record(market.decide_create(desk.board, create("Brief anyio", "k"), NOW_US))
    with pytest.raises(IdempotencyConflict, match="key k was used before"):
        market.decide_create(desk.board, create("Brief trio", "k"), NOW_US)


def test_a_key_makes_a_new_task_after_a_day_and_no_key_always_does() -> None:
    desk = Desk()
    desk.record(market.decide_create(desk.board, create("Brief anyio", "k"), NOW_US))
    desk.record(market.decide_create(desk.board, create("Brief trio", "k"), NOW_US + KEPT_US))
    for _ in range(2):
        desk.record(market.decide_create(desk.board, create("Brief anyio"), NOW_US))
    assert len(desk.board.tasks) == 4


def test_keys_are_part_of_the_fold() -> None:
    desk = Desk()
    desk.record(market.decide_create(desk.board, create("Brief anyio", "k"), NOW_US))
    assert market.repeated(desk.through_json(), create("Brief anyio", "k"), NOW_US) == "t-1"


# Holds


def test_an_auction_opens_once_the_reward_is_held() -> None:
    desk = Desk()
    desk.record(market.decide_create(desk.board, create(), NOW_US))
    (bidding,) = market.decide_held(desk.board, TaskId("t-1"), NOW_US + 7, TERMS)
    assert isinstance(bidding, TaskBidding)
    assert (bidding.attempt, bidding.opened_us, bidding.closes_us) == (1, NOW_US + 7, NOW_US + 2_000_007)


def test_a_window_of_the_tasks_own_goes_before_the_configured_one() -> None:
    desk = Desk()
    task = desk.post(msgspec.structs.replace(spec(), bid_window_s=7.0, lease_s=3.0))
    found = desk.board.tasks[task]
    assert found.auction is not None
    assert found.auction.closes_us == NOW_US + 7_000_000
    assert market.lease_s(found, TERMS) == 3.0


def test_a_reward_that_cannot_be_held_fails_the_task_with_the_reason() -> None:
    desk = Desk()
    desk.record(market.decide_create(desk.board, create(), NOW_US))
    (failed,) = market.decide_not_held(desk.board, TaskId("t-1"), "treasury has 0 msat available", NOW_US)
    assert isinstance(failed, TaskFailed)
    assert failed.reason == "the reward could not be held: treasury has 0 msat available"


def test_a_hold_for_a_task_that_was_cancelled_meanwhile_opens_nothing() -> None:
    desk = Desk()
    desk.record(market.decide_create(desk.board, create(), NOW_US))
    desk.record(market.decide_cancel(desk.board, CancelTask(TaskId("t-1")), NOW_US))
    assert market.decide_held(desk.board, TaskId("t-1"), NOW_US, TERMS) == ()
    assert market.decide_not_held(desk.board, TaskId("t-1"), "no", NOW_US) == ()


def test_a_hold_of_a_task_that_nobody_knows_or_that_is_seen_twice_causes_nothing() -> None:
    desk = desk_with("scout")
    task = desk.assigned()
    for known in (task, UNKNOWN):
        assert market.decide_held(desk.board, known, NOW_US, TERMS) == ()
        assert market.decide_not_held(desk.board, known, "no", NOW_US) == ()


# Members


def test_an_agent_that_joins_may_bid() -> None:
    desk = desk_with("scout")
    assert desk.board.members[AgentId("scout")].presence == "present"


@pytest.mark.parametrize("now", [AgentStatusName.IDLE, AgentStatusName.WORKING, AgentStatusName.WAITING])
def test_most_changes_of_an_agents_status_change_nothing(now: AgentStatusName) -> None:
    desk = desk_with("scout")
    assert market.decide_member(desk.board, status("scout", now)) == ()
    assert market.decide_member(desk.board, joined("scout", "brief")) == ()


def presence(desk: Desk) -> str:
    return desk.board.members[AgentId("scout")].presence


def test_a_paused_agent_is_paused_until_it_is_idle_or_works_again() -> None:
    desk = desk_with("scout")
    desk.record(market.decide_member(desk.board, status("scout", AgentStatusName.PAUSED)))
    desk.record(market.decide_member(desk.board, status("scout", AgentStatusName.WAITING)))
    desk.record(market.decide_member(desk.board, joined("scout", "brief", "translate")))
    assert presence(desk) == "paused"
    desk.record(market.decide_member(desk.board, status("scout", AgentStatusName.IDLE)))
    assert presence(desk) == "present"


def test_an_agent_that_left_is_gone_until_it_joins_again() -> None:
    desk = desk_with("scout")
    desk.record(market.decide_member(desk.board, left("scout")))
    assert market.decide_member(desk.board, status("scout", AgentStatusName.IDLE)) == ()
    assert market.decide_member(desk.board, left("scout")) == ()
    desk.join("scout", "brief")
    assert desk.board.members[AgentId("scout")].presence == "present"


def test_news_of_an_agent_that_never_joined_change_nothing() -> None:
    assert market.decide_member(Desk().board, status("ghost", AgentStatusName.IDLE)) == ()
    assert market.decide_member(Desk().board, left("ghost")) == ()
    assert market.decide_departure(Desk().board, AgentId("ghost"), NOW_US, TERMS) == ()


def test_an_agent_that_leaves_loses_its_leases() -> None:
    desk = Desk()
    desk.join("scout", concurrency_max=2)
    first, second = desk.assigned(), desk.assigned(spec(attempts_max=1))
    desk.record(market.decide_member(desk.board, left("scout")))
    assert desk.record(market.decide_departure(desk.board, AgentId("scout"), NOW_US, TERMS)) == [
        "task.bidding",
        "task.failed",
    ]
    assert (desk.state(first), desk.state(second)) == (TaskState.BIDDING, TaskState.FAILED)
    assert desk.board.members[AgentId("scout")].live == {}


# Bids


def test_a_ghosts_bid_of_minus_999_does_not_win() -> None:
    desk = desk_with("scout")
    task = desk.post()
    with pytest.raises(NotFound, match="no agent is called 'ghost'"):
        desk.bid(task, "ghost", -999)
    with pytest.raises(InvalidField, match="price_msat"):
        desk.bid(task, "scout", -999)
    desk.bid(task, "scout", 100)
    desk.close(task)
    assert (desk.board.tasks[task].agent, desk.board.tasks[task].price_msat) == ("scout", 100)


@pytest.mark.parametrize("price", [0, 1_001])
def test_a_price_of_nothing_or_above_the_reward_is_refused(price: int) -> None:
    desk = desk_with("scout")
    with pytest.raises(InvalidField, match="price_msat: must be from 1 to 1000"):
        desk.bid(desk.post(), "scout", price)


def test_a_price_of_the_whole_reward_is_taken() -> None:
    desk = desk_with("scout")
    assert desk.bid(desk.post(), "scout", 1_000) == ["bid.submitted"]


def test_a_bid_on_a_task_that_nobody_knows_is_refused() -> None:
    with pytest.raises(NotFound, match="no task is called 't-99'"):
        desk_with("scout").bid(UNKNOWN, "scout", 5)


def test_a_bid_without_an_open_auction_is_refused() -> None:
    desk = desk_with("scout", "critic")
    task = desk.assigned()
    with pytest.raises(IllegalTransition, match="task t-1 is assigned; it cannot be bid on"):
        desk.bid(task, "critic", 5)


def test_an_agent_that_lacks_the_capability_cannot_bid() -> None:
    desk = desk_with("scout")
    with pytest.raises(NotEligible, match="scout cannot bid on task t-1: it cannot translate"):
        desk.bid(desk.post(spec(capability="translate")), "scout", 5)


def test_an_agent_that_is_paused_or_has_left_cannot_bid() -> None:
    desk = desk_with("scout", "critic")
    task = desk.post()
    desk.record(market.decide_member(desk.board, status("scout", AgentStatusName.PAUSED)))
    desk.record(market.decide_member(desk.board, left("critic")))
    with pytest.raises(NotEligible, match="it is paused"):
        desk.bid(task, "scout", 5)
    with pytest.raises(NotEligible, match="it is not here"):
        desk.bid(task, "critic", 5)


def test_a_busy_agent_cannot_bid_again() -> None:
    desk = desk_with("scout")
    desk.assigned()
    with pytest.raises(NotEligible, match="it has 1 of 1 tasks in hand"):
        desk.bid(desk.post(), "scout", 5)


def test_a_busy_agent_does_not_win_again_with_a_bid_from_before_it_was_busy() -> None:
    desk = desk_with("scout", "critic")
    first, second = desk.post(), desk.post()
    for task in (first, second):
        desk.bid(task, "scout", 50)
        desk.bid(task, "critic", 90)
    desk.close(first)
    desk.close(second)
    assert desk.board.tasks[first].agent == "scout"
    assert desk.board.tasks[second].agent == "critic"
    closed = desk.events[-2]
    assert isinstance(closed, AuctionClosed)
    assert closed.reason.endswith("set aside: scout (it has 1 of 1 tasks in hand)")


def test_an_agent_may_work_on_as_many_tasks_at_once_as_its_persona_says() -> None:
    desk = Desk()
    desk.join("scout", concurrency_max=2)
    desk.assigned()
    desk.assigned()
    with pytest.raises(NotEligible, match="it has 2 of 2 tasks in hand"):
        desk.bid(desk.post(), "scout", 5)


def test_an_agent_has_one_live_bid_and_may_replace_it() -> None:
    desk = desk_with("scout")
    task = desk.post()
    desk.bid(task, "scout", 50)
    desk.bid(task, "scout", 70)
    desk.close(task)
    assert desk.board.tasks[task].price_msat == 70
    assert len(desk.board.tasks[task].ranking) == 1


def test_a_bid_that_says_nothing_new_causes_nothing() -> None:
    desk = desk_with("scout")
    task = desk.post()
    desk.bid(task, "scout", 50)
    assert desk.bid(task, "scout", 50) == []


# Closing


def test_a_closed_auction_gives_the_task_to_the_winner_with_a_lease() -> None:
    desk = desk_with("scout", "critic")
    task = desk.post()
    desk.bid(task, "scout", 50)
    desk.bid(task, "critic", 90)
    assert desk.close(task) == ["auction.closed", "task.assigned"]
    assigned = desk.events[-1]
    assert assigned == TaskAssigned(task, AgentId("scout"), 1, 50, 60.0, spec(), NOW_US)


def test_an_auction_closes_once() -> None:
    desk = desk_with("scout")
    task = desk.assigned()
    assert desk.close(task) == []
    assert desk.close(UNKNOWN) == []


def test_an_auction_without_a_usable_bid_may_wait() -> None:
    desk = desk_with("scout")
    task = desk.post()
    assert desk.close(task, may_wait=True) == []
    assert desk.state(task) is TaskState.BIDDING


def test_an_auction_in_which_nobody_bid_is_held_again_until_no_attempt_is_left() -> None:
    desk = desk_with("scout")
    task = desk.post(spec(attempts_max=3))
    assert desk.close(task) == ["auction.closed", "task.bidding"]
    assert desk.close(task) == ["auction.closed", "task.bidding"]
    assert desk.close(task) == ["auction.closed", "task.failed"]
    assert desk.board.tasks[task].reason == "nobody bid; attempt 3 of 3 was the last"


def test_the_next_auction_starts_without_the_bids_of_the_last() -> None:
    desk = desk_with("scout", "critic")
    task = desk.assigned()
    desk.record(market.decide_work(desk.board, fail(task, "scout"), NOW_US, TERMS))
    auction = desk.board.tasks[task].auction
    assert auction is not None
    assert auction.bids == {}
    assert desk.bid(task, "critic", 70) == ["bid.submitted"]
    desk.close(task)
    assert (desk.board.tasks[task].agent, desk.board.tasks[task].attempt) == ("critic", 2)


# Work


def test_the_whole_life_of_a_task() -> None:
    desk = desk_with("scout")
    task = desk.assigned()
    desk.record(market.decide_work(desk.board, start(task, "scout"), NOW_US, TERMS))
    desk.record(market.decide_work(desk.board, complete(task, "scout"), NOW_US, TERMS))
    assert [event.wire_name for event in desk.events] == [
        "bidder.changed",
        "task.created",
        "task.bidding",
        "bid.submitted",
        "auction.closed",
        "task.assigned",
        "task.started",
        "task.completed",
    ]
    assert market.accepted(desk.board, task).state is TaskState.COMPLETED
    assert desk.board.members[AgentId("scout")].live == {}


def test_a_lapsed_lease_is_auctioned_again_and_the_late_result_refused() -> None:
    desk = desk_with("scout", "critic")
    task = desk.assigned()
    desk.record(market.decide_lapse(desk.board, task, 1, NOW_US, TERMS))
    assert desk.board.tasks[task].reason == "the lease of scout ran out"
    desk.bid(task, "critic", 70)
    desk.close(task)
    with pytest.raises(LeaseNotHeld):
        market.decide_work(desk.board, complete(task, "scout", 1), NOW_US, TERMS)
    assert market.decide_lapse(desk.board, task, 1, NOW_US, TERMS) == ()


def test_commands_on_a_task_that_nobody_knows_are_refused() -> None:
    board = Desk().board
    decisions: tuple[Callable[[], object], ...] = (
        lambda: market.decide_work(board, start(UNKNOWN, "scout"), NOW_US, TERMS),
        lambda: market.decide_work(board, complete(UNKNOWN, "scout"), NOW_US, TERMS),
        lambda: market.decide_work(board, fail(UNKNOWN, "scout"), NOW_US, TERMS),
        lambda: market.decide_cancel(board, CancelTask(UNKNOWN), NOW_US),
    )
    for decide in decisions:
        with pytest.raises(NotFound, match="no task is called 't-99'"):
            decide()


# Properties

AGENTS = st.sampled_from(["scout", "critic", "scribe", "ghost"])
TASKS = st.integers(1, 6).map(lambda number: TaskId(f"t-{number}"))
ATTEMPTS = st.integers(1, 4)


class MarketMachine(RuleBasedStateMachine):
    """Random commands, facts and timers, with the promises checked after each."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = desk_with("scout", "critic")
        self.desk.join("scribe", "translate", concurrency_max=2)
        self.opened: list[tuple[TaskId, int]] = []
        self.scheduled: set[str] = set()

    def record(self, events: tuple[Event, ...]) -> None:
        """What the floor does: whoever waited for a task that has ended goes on, or ends too."""
        for event in events:
            if isinstance(event, TaskBidding):
                self.opened.append((event.task, event.attempt))
                assert self.desk.board.tasks[event.task].waits_until_us <= self.desk.now_us, "a retry waits its time"
        self.desk.record(events)
        for event in events:
            if isinstance(event, TaskEnded):
                followers = market.decide_followers(self.desk.board, event.task, self.desk.now_us, TERMS)
                self.record(followers)

    @rule(
        capability=st.sampled_from(["", "brief", "translate"]),
        attempts_max=ATTEMPTS,
        after=st.sets(st.integers(0, 5), max_size=2),
        is_held=st.booleans(),
        retry_delay_s=st.sampled_from([0.0, 5.0]),
        deadline_s=st.sampled_from([0.0, 0.0, 30.0]),
        of_schedule=st.sampled_from([0, 0, 1, 2]),
    )
    def create(
        self,
        *,
        capability: str,
        attempts_max: int,
        after: set[int],
        is_held: bool,
        retry_delay_s: float,
        deadline_s: float,
        of_schedule: int,
    ) -> None:
        # Mostly tasks that are there, the newest first; now and then one that is not.
        count = len(self.desk.board.tasks)
        known = tuple(TaskId(f"t-{max(count - back, 1) if back < 5 else 99}") for back in sorted(after) if count)
        of = msgspec.structs.replace(
            spec(capability=capability, attempts_max=attempts_max),
            after=known,
            retry_delay_s=retry_delay_s,
            deadline_s=deadline_s,
        )
        key = f"schedule/s-1/{of_schedule}" if of_schedule else ""
        try:
            events = market.decide_create(self.desk.board, CreateTask(of, key), self.desk.now_us)
        except Refused:
            assert key in self.scheduled or any(task not in self.desk.board.tasks for task in known)
            return
        if key:
            assert bool(events) == (key not in self.scheduled), "a time of a schedule is one task, however often told"
            self.scheduled.add(key)
        self.record(events)
        if is_held:
            for created in events:
                self.record(market.decide_held(self.desk.board, created.task, self.desk.now_us, TERMS))

    @rule(seconds=st.integers(1, 20))
    def time_passes(self, seconds: int) -> None:
        self.desk.now_us += seconds * 1_000_000

    @rule(task=TASKS)
    def a_wait_is_over(self, task: TaskId) -> None:
        if task in self.desk.board.tasks:
            self.record(market.decide_resume(self.desk.board, task, self.desk.now_us, TERMS))

    @rule(task=TASKS)
    def a_deadline_passes(self, task: TaskId) -> None:
        if task in self.desk.board.tasks:
            self.record(market.decide_expire(self.desk.board, task, self.desk.now_us))

    @rule(task=TASKS, is_held=st.booleans())
    def hear_of_the_hold(self, task: TaskId, is_held: bool) -> None:
        board, now_us = self.desk.board, self.desk.now_us
        self.record(
            market.decide_held(board, task, now_us, TERMS)
            if is_held
            else market.decide_not_held(board, task, "no money", now_us)
        )

    @rule(task=TASKS, agent=AGENTS, price=st.integers(-5, 1_005))
    def bid(self, task: TaskId, agent: str, price: int) -> None:
        try:
            self.desk.bid(task, agent, price)
        except Refused:
            return
        assert agent != "ghost"
        assert 1 <= price <= 1_000

    @rule(task=TASKS, agent=st.sampled_from(["scout", "critic"]), how=st.sampled_from(["complete", "fail"]))
    def win_and_end(self, task: TaskId, agent: str, how: str) -> None:
        """The short way, so that many tasks come to an end, and many to another attempt."""
        self.bid(task, agent, 100)
        self.close(task, may_wait=False)
        found = self.desk.board.tasks.get(task)
        if found is not None:
            self.work(task, agent, found.attempt, how)

    @rule(task=TASKS, may_wait=st.booleans())
    def close(self, task: TaskId, may_wait: bool) -> None:
        self.record(market.decide_close(self.desk.board, task, self.desk.now_us, TERMS, may_wait=may_wait))

    @rule(task=TASKS, agent=AGENTS, attempt=ATTEMPTS, what=st.sampled_from(["start", "complete", "fail", "give up"]))
    def work(self, task: TaskId, agent: str, attempt: int, what: str) -> None:
        board, now_us = self.desk.board, self.desk.now_us
        found = board.tasks.get(task)
        is_holder = found is not None and (found.agent, found.attempt) == (agent, attempt)
        try:
            match what:
                case "start":
                    events = market.decide_work(board, start(task, agent, attempt), now_us, TERMS)
                case "complete":
                    events = market.decide_work(board, complete(task, agent, attempt), now_us, TERMS)
                case _:
                    command = fail(task, agent, attempt, is_retryable=what == "fail")
                    events = market.decide_work(board, command, now_us, TERMS)
        except Refused:
            return
        assert is_holder, "only who holds the lease may speak for the task"
        self.record(events)

    @rule(task=TASKS, attempt=ATTEMPTS)
    def lapse(self, task: TaskId, attempt: int) -> None:
        if task in self.desk.board.tasks:
            self.record(market.decide_lapse(self.desk.board, task, attempt, self.desk.now_us, TERMS))

    @rule(task=TASKS)
    def cancel(self, task: TaskId) -> None:
        try:
            self.record(market.decide_cancel(self.desk.board, CancelTask(task), self.desk.now_us))
        except Refused:
            return

    @rule(agent=AGENTS, now=st.sampled_from(list(AgentStatusName)))
    def change(self, agent: str, now: AgentStatusName) -> None:
        self.record(market.decide_member(self.desk.board, status(agent, now)))

    @rule(agent=st.sampled_from(["scout", "critic", "scribe"]), is_back=st.booleans())
    def leave(self, agent: str, is_back: bool) -> None:
        board = self.desk.board
        self.record(market.decide_member(board, left(agent)))
        self.record(market.decide_departure(board, AgentId(agent), self.desk.now_us, TERMS))
        if is_back:
            self.desk.join(agent, "brief")

    @invariant()
    def a_task_has_at_most_one_live_assignment_and_its_agent_knows_it(self) -> None:
        held = {(task.task, task.agent, task.attempt) for task in self.desk.board.tasks.values() if task.state in LIVE}
        live = [
            (task, agent, attempt)
            for agent, member in self.desk.board.members.items()
            for task, attempt in member.live.items()
        ]
        assert len(live) == len(held)
        assert set(live) == held

    @invariant()
    def no_task_is_offered_before_all_that_it_comes_after_is_completed(self) -> None:
        tasks = self.desk.board.tasks
        for task in tasks.values():
            if task.state in (TaskState.BIDDING, *LIVE):
                assert {tasks[before].state for before in task.spec.after} <= {TaskState.COMPLETED}

    @invariant()
    def every_attempt_is_offered_once(self) -> None:
        assert len(self.opened) == len(set(self.opened))

    @invariant()
    def nobody_has_more_in_hand_than_it_may(self) -> None:
        for member in self.desk.board.members.values():
            assert len(member.live) <= 2

    @invariant()
    def every_task_ends_at_most_once(self) -> None:
        ends = [event.task for event in self.desk.events if isinstance(event, TaskEnded)]
        assert len(ends) == len(set(ends))
        assert set(ends) == {task.task for task in self.desk.board.tasks.values() if task.state not in OPEN}

    @invariant()
    def no_task_has_more_attempts_than_it_may(self) -> None:
        assert all(task.attempt <= task.spec.attempts_max for task in self.desk.board.tasks.values())

    @invariant()
    def live_bids_are_those_of_the_open_auctions(self) -> None:
        bids = {
            (task.task, agent)
            for task in self.desk.board.tasks.values()
            if task.auction is not None
            for agent in task.auction.bids
        }
        assert bids == {(task, agent) for agent, member in self.desk.board.members.items() for task in member.bids}

    @invariant()
    def the_listing_by_state_holds_every_task_once_in_order(self) -> None:
        listed = {state: numbers for state, numbers in self.desk.board.numbers.items() if numbers}
        expected: dict[TaskState, list[int]] = {}
        for task in self.desk.board.tasks.values():
            expected.setdefault(task.state, []).append(task.number)
        assert listed == expected

    @invariant()
    def the_fold_of_the_events_is_the_live_state_and_survives_json(self) -> None:
        assert self.desk.folded() == self.desk.board
        assert self.desk.through_json() == self.desk.board


TestMarketMachine = pytest.mark.slow(MarketMachine.TestCase)
