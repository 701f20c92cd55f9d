"""The overview's draft: what changed, in order and within bounds."""

import pytest

from actors.rules.overview_draft import AGENTS_LEFT_MAX, CHANGES_MAX, DAY_US, Draft
from actors.rules.overview_items import OverviewState
from bus.address import Address
from bus.envelope import Recorded
from bus.messages.base import Position
from bus.messages.system import SystemInfo


def begin(draft: Draft, position: int, time_us: int = 0) -> None:
    event = SystemInfo("x")
    draft.begin(Recorded(event, Position(position), time_us, Address("x"), Position(0), "", Position(0)))


def test_events_are_taken_in_order_without_a_gap() -> None:
    draft = Draft(OverviewState())
    begin(draft, 1)
    with pytest.raises(AssertionError, match="in order"):
        begin(draft, 3)


def test_whatever_is_about_to_change_is_noted_with_the_position_and_the_latest_stands_last() -> None:
    draft = Draft(OverviewState())
    begin(draft, 1)
    draft.agent("scout")
    draft.book("treasury", "msat")
    begin(draft, 2)
    draft.agent("scout")
    assert list(draft.changes.items()) == [(("balances", "treasury/msat"), 1), (("agents", "scout"), 2)]
    assert draft.state.positions == {"agents": 2, "balances": 1}


def test_remembered_changes_are_bounded_and_the_floor_rises() -> None:
    draft = Draft(OverviewState())
    for position in range(1, CHANGES_MAX + 6):
        begin(draft, position)
        draft.agent(f"agent-{position}")
    assert len(draft.changes) == CHANGES_MAX
    assert draft.floor == 5


def test_the_oldest_of_those_that_left_goes_and_that_is_a_change() -> None:
    draft = Draft(OverviewState())
    for position in range(1, AGENTS_LEFT_MAX + 2):
        begin(draft, position)
        draft.leave(draft.agent(f"agent-{position}"))
    assert "agent-1" not in draft.state.agents
    assert draft.changes["agents", "agent-1"] == AGENTS_LEFT_MAX + 1


def test_what_a_day_has_cost_begins_anew_with_the_next() -> None:
    draft = Draft(OverviewState())
    for position, time_us in ((1, 0), (2, DAY_US - 1), (3, DAY_US)):
        begin(draft, position, time_us)
        draft.spend(7)
    assert (draft.state.spent_run_usd_micros, draft.state.spent_day_usd_micros) == (21, 7)
