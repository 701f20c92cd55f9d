"""What comes after what, how long a lost attempt rests, and who goes first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.rules import market, tasks
from actors.rules.tasks import PRIORITY_AGE_S, Task
from bus.messages.base import TaskId
from bus.messages.tasks import CreateTask, TaskCreated, TaskSpec, TaskState, TaskWaiting
from bus.refusals import InvalidField, NotFound
from tests.support.market import NOW_US, TERMS, Desk, complete, fail, spec, start


def after(*others: TaskId) -> CreateTask:
    return CreateTask(replace(spec(), after=others))


def test_a_task_cannot_come_after_one_that_is_not_there_so_no_circle_can_be_made() -> None:
    desk = Desk()
    with pytest.raises(NotFound, match="t-1"):
        market.decide_create(desk.board, after(TaskId("t-1")), NOW_US)  # itself
    desk.post()
    with pytest.raises(NotFound, match="t-3"):
        market.decide_create(desk.board, after(TaskId("t-1"), TaskId("t-3")), NOW_US)


def test_a_task_waits_for_all_that_it_comes_after() -> None:
    desk = Desk()
    desk.join("scout", concurrency_max=9)
    first, second = desk.assigned(), desk.assigned()
    third = desk.post(after(first, second).spec)
    assert isinstance(desk.events[-1], TaskWaiting)
    assert desk.events[-1].reason == "it comes after t-1, t-2"
    for one, left in ((first, []), (second, ["task.bidding"])):
        desk.record(market.decide_work(desk.board, complete(one, "scout"), NOW_US, TERMS))
        assert desk.record(market.decide_followers(desk.board, one, NOW_US, TERMS)) == left
    assert desk.state(third) is TaskState.BIDDING
    assert desk.folded() == desk.board == desk.through_json()


def test_a_task_that_names_another_twice_comes_after_it_once() -> None:
    desk = Desk()
    desk.join("scout")
    first = desk.assigned()
    second = desk.post(after(first, first).spec)
    assert desk.board.tasks[second].spec.after == (first,)
    (created,) = (event for event in desk.events if isinstance(event, TaskCreated) and event.task == second)
    stored = replace(created, task=TaskId("t-3"), spec=replace(created.spec, after=(first, first)))
    desk.record((stored,))  # as it was recorded before names were looked at
    desk.record(market.decide_held(desk.board, stored.task, NOW_US, TERMS))
    desk.record(market.decide_work(desk.board, complete(first, "scout"), NOW_US, TERMS))
    assert desk.record(market.decide_followers(desk.board, first, NOW_US, TERMS)) == ["task.bidding"] * 2
    assert (desk.state(second), desk.state(stored.task)) == (TaskState.BIDDING, TaskState.BIDDING)


def test_a_delay_doubles_with_each_lost_attempt_and_the_last_is_the_end() -> None:
    desk = Desk()
    desk.join("scout")
    task = desk.post(replace(spec(attempts_max=3), retry_delay_s=10.0))
    for attempt, delay_s in ((1, 10), (2, 20)):
        desk.bid(task, "scout", 100)
        desk.close(task)
        lost = fail(task, "scout", attempt)
        assert desk.record(market.decide_work(desk.board, lost, desk.now_us, TERMS)) == ["task.waiting"]
        due_us = desk.now_us + delay_s * 1_000_000
        assert desk.board.tasks[task].waits_until_us == due_us
        assert market.decide_resume(desk.board, task, due_us - 1, TERMS) == ()
        desk.now_us = due_us
        assert desk.record(market.decide_resume(desk.board, task, due_us, TERMS)) == ["task.bidding"]
    desk.bid(task, "scout", 100)
    desk.close(task)
    desk.record(market.decide_work(desk.board, start(task, "scout", 3), desk.now_us, TERMS))
    assert desk.record(market.decide_work(desk.board, fail(task, "scout", 3), desk.now_us, TERMS)) == ["task.failed"]
    assert desk.board.tasks[task].reason == "it is too hard; attempt 3 of 3 was the last"


def test_a_hold_that_is_heard_of_again_does_not_end_a_wait() -> None:
    desk = Desk()
    desk.join("scout")
    task = desk.assigned(replace(spec(), retry_delay_s=10.0))
    desk.record(market.decide_work(desk.board, fail(task, "scout"), NOW_US, TERMS))
    assert market.decide_held(desk.board, task, NOW_US, TERMS) == ()


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        (replace(spec(), priority=10), "spec.priority"),
        (replace(spec(), priority=-10), "spec.priority"),
        (replace(spec(), retry_delay_s=-1.0), "spec.retry_delay_s"),
        (replace(spec(), after=(TaskId("no id"),)), "spec.after[0]"),
    ],
)
def test_terms_that_make_no_sense_are_refused(wrong: TaskSpec, path: str) -> None:
    with pytest.raises(InvalidField) as refused:
        tasks.sound(wrong)
    assert refused.value.path == path


def _task(priority: int, created_s: float) -> Task:
    created_us = round(created_s * 1_000_000)
    return Task(TaskId("t-1"), 1, replace(spec(), priority=priority), created_us, created_us)


def test_the_higher_priority_goes_first_and_among_equals_the_older() -> None:
    assert tasks.urgency(_task(1, 0)) > tasks.urgency(_task(0, 0)) > tasks.urgency(_task(0, 1))


@given(st.integers(-9, 9), st.integers(-9, 9))
def test_whatever_has_waited_long_enough_goes_before_anything_new(old: int, new: int) -> None:
    waited_s = PRIORITY_AGE_S * 18 + 1
    assert tasks.urgency(_task(old, 0)) > tasks.urgency(_task(new, waited_s))
