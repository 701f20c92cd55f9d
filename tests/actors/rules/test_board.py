"""What the coordinator remembers, and its listings."""

import msgspec
import pytest

from actors.rules import board as boards
from actors.rules.board import PAGE_MAX, number_of, page, task_id
from bus.messages.agents import AgentStatusName
from bus.messages.base import AgentId, TaskId
from bus.messages.system import SystemInfo
from bus.messages.tasks import ListTasks, TaskState
from bus.refusals import InvalidField
from tests.support.market import Desk, spec, status

SCOUT = AgentId("scout")


def seven_tasks() -> Desk:
    """Tasks t-1 to t-7; t-2 and t-5 are assigned, the others open for bids."""
    desk = Desk()
    desk.join("scout", concurrency_max=9)
    for n in range(1, 8):
        (desk.assigned if n in (2, 5) else desk.post)(spec(f"task {n}"))
    return desk


def ids(desk: Desk, query: ListTasks) -> list[str]:
    return [view.task for view in page(desk.board, query).tasks]


def test_tasks_are_listed_newest_first() -> None:
    assert ids(seven_tasks(), ListTasks()) == [f"t-{n}" for n in range(7, 0, -1)]


def test_a_listing_goes_on_after_the_last_id_of_the_page_before_until_it_is_empty() -> None:
    desk = seven_tasks()
    shown: list[str] = []
    after = TaskId("")
    while True:
        found = page(desk.board, ListTasks(limit=3, after=after))
        shown += [view.task for view in found.tasks]
        after = found.next
        if not after:
            break
    assert shown == [f"t-{n}" for n in range(7, 0, -1)]


def test_a_page_that_ends_with_the_oldest_says_so() -> None:
    desk = seven_tasks()
    assert page(desk.board, ListTasks(limit=7)).next == ""
    assert page(desk.board, ListTasks(limit=6)).next == "t-2"
    assert page(desk.board, ListTasks(state=TaskState.ASSIGNED, limit=2)).next == ""
    assert page(Desk().board, ListTasks()).tasks == ()


def test_tasks_of_one_state_are_listed_in_pages_too() -> None:
    desk = seven_tasks()
    assert ids(desk, ListTasks(state=TaskState.ASSIGNED)) == ["t-5", "t-2"]
    first = page(desk.board, ListTasks(state=TaskState.BIDDING, limit=2))
    assert [view.task for view in first.tasks] == ["t-7", "t-6"]
    assert ids(desk, ListTasks(state=TaskState.BIDDING, after=first.next)) == ["t-4", "t-3", "t-1"]
    assert ids(desk, ListTasks(state=TaskState.EXPIRED)) == []


def test_a_listing_survives_that_the_last_task_of_its_page_has_moved_on() -> None:
    desk = seven_tasks()
    first = page(desk.board, ListTasks(state=TaskState.BIDDING, limit=2))
    desk.bid(TaskId("t-6"), "scout", 5)
    desk.close(TaskId("t-6"))
    assert ids(desk, ListTasks(state=TaskState.BIDDING, after=first.next)) == ["t-4", "t-3", "t-1"]


@pytest.mark.parametrize("limit", [0, -1, PAGE_MAX + 1])
def test_a_limit_out_of_bounds_is_refused(limit: int) -> None:
    with pytest.raises(InvalidField, match="limit"):
        page(seven_tasks().board, ListTasks(limit=limit))


@pytest.mark.parametrize("cursor", ["7", "t-", "t-x", "t--1", "a-7", "t-٣", "t-" + "9" * 19])
def test_a_cursor_that_is_no_task_id_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidField, match="after"):
        page(seven_tasks().board, ListTasks(after=TaskId(cursor)))


def test_a_cursor_past_the_newest_task_lists_all() -> None:
    assert len(ids(seven_tasks(), ListTasks(after=TaskId("t-99")))) == 7


def test_ids_and_numbers_belong_together() -> None:
    assert number_of(task_id(42)) == 42


def test_a_member_knows_its_live_assignments_and_its_live_bids() -> None:
    desk = seven_tasks()
    desk.bid(TaskId("t-1"), "scout", 5)
    assert desk.board.members[SCOUT].live == {"t-2": 1, "t-5": 1}
    assert desk.board.members[SCOUT].bids == {"t-1": 1}
    desk.close(TaskId("t-1"))
    assert desk.board.members[SCOUT].live == {"t-2": 1, "t-5": 1, "t-1": 1}
    assert desk.board.members[SCOUT].bids == {}


def test_a_member_keeps_its_assignments_when_it_joins_again_with_another_persona() -> None:
    desk = seven_tasks()
    desk.join("scout", "brief", concurrency_max=2)
    member = desk.board.members[SCOUT]
    assert (member.capabilities, member.concurrency_max) == (("brief",), 2)
    assert member.live == {"t-2": 1, "t-5": 1}


def test_the_board_survives_json_and_is_the_fold_of_its_events() -> None:
    desk = seven_tasks()
    desk.bid(TaskId("t-1"), "scout", 5)
    assert desk.through_json() == desk.board
    assert desk.folded() == desk.board


def test_facts_of_others_change_nothing_by_themselves() -> None:
    desk = seven_tasks()
    before = msgspec.json.encode(desk.board)
    boards.apply(desk.board, status("scout", AgentStatusName.PAUSED))
    boards.apply(desk.board, SystemInfo("hello"))
    assert msgspec.json.encode(desk.board) == before


def test_events_of_tasks_that_nobody_knows_are_left_out() -> None:
    desk = seven_tasks()
    fresh = Desk()
    fresh.record(event for event in desk.events if getattr(event, "task", "") != "t-2")
    assert TaskId("t-2") not in fresh.board.tasks
