"""The docket: the table, the pages, and the names of what is approved."""

import msgspec
import pytest

from actors.rules import docket
from actors.rules.approvals import Terms, decide_request
from actors.rules.docket import TABLE, Docket, change_hash
from bus.messages import approvals as messages
from bus.messages.approvals import (
    Change,
    ListProposals,
    ProposalEvent,
    ProposalId,
    ProposalProposed,
    ProposalState,
    RequestApproval,
    Target,
)
from bus.messages.base import BlobId
from bus.refusals import InvalidField, NotFound

CHANGE = Change("b" * 40, "h" * 40, "t" * 40, BlobId("d" * 64), 100, 1)
TARGET = Target("agora", "main", "feature")


def full(count: int) -> Docket:
    found = Docket()
    for number in range(count):
        command = RequestApproval("spend", f"buy {number}", "agents/scout")
        for event in decide_request(found, command, number + 1, Terms()):
            docket.apply(found, event)
    return found


def test_every_event_but_the_first_has_a_row_in_the_table() -> None:
    kinds = {
        kind
        for kind in vars(messages).values()
        if isinstance(kind, type) and issubclass(kind, ProposalEvent) and kind.wire_name
    }
    assert kinds - {ProposalProposed} == set(TABLE)


def test_every_state_can_be_reached_and_what_is_over_stays_over() -> None:
    assert {state for _, state in TABLE.values() if state} | {ProposalState.PROPOSED} == set(ProposalState)
    over = {
        ProposalState.FAILED,
        ProposalState.REJECTED,
        ProposalState.EXPIRED,
        ProposalState.SUPERSEDED,
        ProposalState.WITHDRAWN,
        ProposalState.ROLLED_BACK,
    }
    assert over & {state for before, _ in TABLE.values() for state in before} == set()


@pytest.mark.parametrize("field", ["base", "head", "tree", "diff"])
def test_the_hash_changes_with_everything_that_was_reviewed(field: str) -> None:
    other = msgspec.structs.replace(CHANGE, **{field: "f" * 40})
    assert change_hash(TARGET, other) != change_hash(TARGET, CHANGE)


def test_the_hash_names_the_branch_and_the_repository_too() -> None:
    assert change_hash(Target("agora", "stable", "feature"), CHANGE) != change_hash(TARGET, CHANGE)
    assert change_hash(Target("other", "main", "feature"), CHANGE) != change_hash(TARGET, CHANGE)


def test_pages_go_from_the_newest_to_the_oldest_and_say_how_many_wait() -> None:
    found = full(5)
    first = docket.page(found, ListProposals(limit=2))
    assert [view.proposal for view in first.proposals] == ["p-5", "p-4"]
    assert first.pending == 5
    second = docket.page(found, ListProposals(limit=3, after=first.next))
    assert [view.proposal for view in second.proposals] == ["p-3", "p-2", "p-1"]
    assert second.next == ""
    assert docket.page(found, ListProposals(state=ProposalState.REJECTED)).proposals == ()


@pytest.mark.parametrize(
    "query", [ListProposals(limit=0), ListProposals(limit=201), ListProposals(after=ProposalId("x"))]
)
def test_pages_that_make_no_sense_are_refused(query: ListProposals) -> None:
    with pytest.raises(InvalidField):
        docket.page(full(1), query)


def test_a_proposal_that_nobody_made_is_not_found() -> None:
    with pytest.raises(NotFound):
        docket.proposal_of(Docket(), ProposalId("p-1"))


def test_the_docket_survives_being_written_down() -> None:
    found = full(3)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Docket) == found
