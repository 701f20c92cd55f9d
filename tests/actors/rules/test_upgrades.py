"""What is known of upgrades."""

import pytest

from actors.rules import upgrades
from actors.rules.upgrades import REASON_MAX, UpgradeState
from bus.messages.approvals import ProposalId
from bus.messages.base import Event
from bus.messages.upgrades import (
    UpgradeAsked,
    UpgradeRestarting,
    UpgradeRolledBack,
    UpgradeTaken,
    UpgradeUnattended,
)

P1 = ProposalId("p-1")
ASKED = UpgradeAsked(P1, "c1", "h", "/r", "main", "b1")


def after(*events: Event) -> UpgradeState:
    state = UpgradeState()
    for event in events:
        upgrades.apply(state, event)
    return state


def test_it_restarts_where_a_process_above_judges_and_says_so_where_there_is_none() -> None:
    assert upgrades.decide_asked(ASKED, is_supervised=True) == (UpgradeRestarting(P1, "c1"),)
    assert upgrades.decide_asked(ASKED, is_supervised=False) == (UpgradeUnattended(P1, "c1"),)


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [("", UpgradeTaken(P1, "c1")), ("it hangs", UpgradeRolledBack(P1, "c1", "it hangs"))],
)
def test_an_outcome_is_recorded_once_and_once_more_for_another_try(reason: str, outcome: Event) -> None:
    begun = UpgradeRestarting(P1, "c1")
    assert upgrades.decide_settled(after(begun), "p-1", "c1", reason) == (outcome,)
    assert upgrades.decide_settled(after(begun, outcome), "p-1", "c1", reason) == ()
    assert upgrades.decide_settled(after(begun, outcome, begun), "p-1", "c1", reason) == (outcome,)


def test_an_upgrade_that_a_crash_began_has_an_outcome_too_and_reasons_are_bounded() -> None:
    (outcome,) = upgrades.decide_settled(UpgradeState(), "p-1", "c1", "x" * 10_000)
    assert isinstance(outcome, UpgradeRolledBack)
    assert len(outcome.reason) == REASON_MAX


def test_it_is_known_what_is_being_restarted_into() -> None:
    assert after(UpgradeRestarting(P1, "c1")).restarting == "c1"
    assert after(UpgradeRestarting(P1, "c1"), UpgradeTaken(P1, "c1")) == UpgradeState("", "c1")
    assert after(UpgradeUnattended(P1, "c1"), ASKED) == UpgradeState()
