"""Who may decide what, and on what: cases, then any interleaving."""

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from actors.rules import approvals, docket
from actors.rules.approvals import Terms
from actors.rules.docket import Docket
from actors.rules.policies import Policy
from bus.errors import Refused
from bus.messages.approvals import (
    Approve,
    Change,
    CheckResult,
    Impact,
    ProposalApplied,
    ProposalApplying,
    ProposalEvent,
    ProposalId,
    ProposalState,
    ProposalView,
    ProposalVoted,
    ProposeChange,
    Reject,
    RequestApproval,
    RollBack,
    Target,
    Withdraw,
)
from bus.messages.base import BlobId
from bus.refusals import (
    ForbiddenByPolicy,
    IdempotencyConflict,
    IllegalTransition,
    InvalidField,
    NotPermitted,
    OwnProposal,
    StaleDecision,
)

TERMS = Terms(
    policies=(
        Policy("spend", "low", "automatic"),
        Policy("*", "high", "two"),
        Policy("tool", "*", "forbidden"),
    ),
    expiry_us=1_000,
)
TARGET = Target("agora", "main", "feature")
PASSED = CheckResult(("true",), 0, 10, BlobId("o" * 64))


def fold(found: Docket, events: tuple[ProposalEvent, ...]) -> ProposalView:
    for event in events:
        docket.apply(found, event)
    return found.proposals[events[0].proposal]


def request(
    found: Docket, kind: str = "spend", impact: Impact = "medium", key: str = "", title: str = "buy"
) -> ProposalView:
    command = RequestApproval(kind, title, "agents/scout", impact=impact, idempotency_key=key)
    return fold(found, approvals.decide_request(found, command, 1, TERMS))


def change(tree: str) -> Change:
    return Change("b" * 40, "h" * 40, tree * 40, BlobId("d" * 64), 100, 1)


def propose(found: Docket, impact: Impact = "medium") -> ProposalView:
    command = ProposeChange("agora", "main", "change it", "agents/scout", head="feature", impact=impact)
    return fold(found, approvals.decide_change(found, command, TARGET, 1, TERMS))


def ready(found: Docket, impact: Impact = "medium") -> ProposalView:
    view = propose(found, impact)
    return fold(found, approvals.decide_worked_out(view, change("t"), 2, has_checks=False))


def approve(
    found: Docket, view: ProposalView, by: str = "ada", fields: dict[str, str | int] | None = None
) -> ProposalView:
    command = msgspec.structs.replace(Approve(view.proposal, view.hash, by, "looks right"), **(fields or {}))
    return fold(found, approvals.decide_approve(found, command, 5))


def test_an_automatic_policy_asks_nobody() -> None:
    assert request(Docket(), impact="low").state is ProposalState.APPROVED


def test_what_is_forbidden_is_never_proposed() -> None:
    with pytest.raises(ForbiddenByPolicy):
        request(Docket(), kind="tool")


def test_one_yes_is_enough_where_one_is_asked_for_and_a_change_begins_to_be_applied() -> None:
    found = Docket()
    assert approve(found, request(found)).state is ProposalState.APPROVED
    assert approve(found, ready(found)).state is ProposalState.APPLYING


def test_two_distinct_people_must_say_yes_where_two_are_asked_for() -> None:
    found = Docket()
    view = approve(found, ready(found, "high"))
    assert view.state is ProposalState.READY
    with pytest.raises(IllegalTransition, match="approved by ada already"):
        approve(found, view)
    assert approve(found, view, "grace").state is ProposalState.APPLYING


def test_a_proposer_never_approves_its_own() -> None:
    found = Docket()
    with pytest.raises(OwnProposal):
        approve(found, request(found), "agents/scout")


@pytest.mark.parametrize("fields", [{"hash": "0" * 64}, {"hash": ""}, {"version": 1}, {"version": 99}])
def test_a_decision_on_anything_else_than_what_stands_is_refused(fields: dict[str, str | int]) -> None:
    found = Docket()
    with pytest.raises(StaleDecision):
        approve(found, ready(found), fields=fields)


@pytest.mark.parametrize("reason", ["", "  ", "x" * 2_001])
def test_a_decision_needs_a_reason(reason: str) -> None:
    found = Docket()
    with pytest.raises(InvalidField, match="reason"):
        approve(found, ready(found), fields={"reason": reason})


def test_a_second_decision_is_refused() -> None:
    found = Docket()
    view = ready(found)
    approve(found, view)
    with pytest.raises(IllegalTransition, match="applying"):
        approve(found, view, "grace")
    with pytest.raises(IllegalTransition, match="applying"):
        approvals.decide_reject(found, Reject(view.proposal, view.hash, "grace", "no"), 6)


def test_the_same_key_decides_once_and_another_decision_with_it_is_a_conflict() -> None:
    found = Docket()
    view = ready(found)
    approve(found, view, fields={"idempotency_key": "k"})
    again = Approve(view.proposal, view.hash, "ada", "looks right", idempotency_key="k")
    assert approvals.decide_approve(found, again, 6) == ()
    with pytest.raises(IdempotencyConflict):
        approvals.decide_reject(found, Reject(view.proposal, view.hash, "ada", "no", idempotency_key="k"), 6)


def test_the_same_key_asks_once_and_other_words_with_it_are_a_conflict() -> None:
    found = Docket()
    view = request(found, key="k")
    command = RequestApproval("spend", "buy", "agents/scout", idempotency_key="k")
    assert approvals.decide_request(found, command, 2, TERMS) == ()
    assert docket.repeated(found, "k", 2).proposal == view.proposal
    with pytest.raises(IdempotencyConflict):
        request(found, key="k", title="buy more")


def test_checks_are_judged_by_their_exit_code() -> None:
    found = Docket()
    view = fold(found, approvals.decide_worked_out(propose(found), change("t"), 2, has_checks=True))
    assert view.state is ProposalState.CHECKING
    failed = msgspec.structs.replace(PASSED, exit_code=1)
    after = fold(found, approvals.decide_checked(view, failed, 3))
    assert (after.state, after.reason) == (ProposalState.FAILED, "the checks ended with exit code 1")


def test_a_no_while_checks_run_is_a_no_and_their_end_causes_nothing() -> None:
    found = Docket()
    view = fold(found, approvals.decide_worked_out(propose(found), change("t"), 2, has_checks=True))
    view = fold(found, approvals.decide_reject(found, Reject(view.proposal, view.hash, "ada", "no"), 3))
    assert approvals.decide_checked(view, PASSED, 4) == ()


def test_a_newer_proposal_of_the_same_takes_the_place_of_an_open_one() -> None:
    found = Docket()
    first = ready(found)
    second = propose(found)
    assert found.proposals[first.proposal].state is ProposalState.SUPERSEDED
    assert second.state is ProposalState.PROPOSED
    with pytest.raises(IllegalTransition):
        approve(found, first)


def test_only_its_proposer_withdraws_it() -> None:
    found = Docket()
    view = ready(found)
    with pytest.raises(NotPermitted):
        approvals.decide_withdraw(found, Withdraw(view.proposal, "ada", "no"), 3)
    command = Withdraw(view.proposal, "agents/scout", "a mistake")
    assert fold(found, approvals.decide_withdraw(found, command, 3)).state is ProposalState.WITHDRAWN


def test_what_waits_too_long_expires_and_not_before() -> None:
    found = Docket()
    view = ready(found)
    assert approvals.decide_expire(view, 1_000) == ()
    assert fold(found, approvals.decide_expire(view, 1_001)).state is ProposalState.EXPIRED


def test_a_rollback_of_a_branch_that_moved_on_files_a_proposal() -> None:
    found = Docket()
    view = approve(found, ready(found))
    view = fold(found, approvals.decide_outcome(view, "c" * 40, "", 6))
    view = fold(found, approvals.decide_roll_back(found, RollBack(view.proposal, view.hash, "ada", "broken"), 7))
    after = fold(found, approvals.decide_revert(found, view, "r" * 40, 8, TERMS))
    assert (after.state, after.revert) == (ProposalState.APPLIED, "p-2")
    filed = found.proposals[ProposalId("p-2")]
    assert (filed.state, filed.proposer, filed.title) == (ProposalState.PROPOSED, "ada", "Revert p-1: change it")


def test_a_branch_that_moves_voids_the_votes_of_what_is_open_beside_it_and_of_nothing_else() -> None:
    found = Docket()
    first, second = ready(found), ready_by(found, "agents/editor", "high")
    approve(found, second)
    elsewhere = propose_in(found, "other")
    events = approvals.decide_outdated(found, first, 9)
    assert [event.proposal for event in events] == [second.proposal]
    anew = fold(found, events)
    assert (anew.state, anew.votes, anew.hash) == (ProposalState.PROPOSED, (), "")
    assert anew.change is not None, "its head is what is merged again"
    assert found.pending == 1
    assert approvals.is_beside(first, second)
    assert not approvals.is_beside(first, elsewhere)
    with pytest.raises(IllegalTransition):
        approve(found, second, "grace")


def test_in_another_history_what_had_begun_is_foreign_until_it_was_looked_up() -> None:
    found = Docket()
    applying = approve(found, ready(found))
    docket.apply(found, *approvals.decide_epoch(found, 1))
    assert tuple(found.foreign) == (applying.proposal,)
    assert approvals.decide_epoch(found, 1) == ()
    (applied,) = approvals.decide_looked_up(applying, "c" * 40, 9)
    (failed,) = approvals.decide_looked_up(applying, "", 9)
    assert isinstance(applied, ProposalApplied)
    assert "propose it anew" in getattr(failed, "reason", "")
    fold(found, (applied,))
    assert found.foreign == {}
    assert approvals.decide_looked_up(found.proposals[applying.proposal], "", 9) == ()


def test_nothing_need_be_kept_of_what_ended_long_ago() -> None:
    found = Docket()
    ended = fold(found, approvals.decide_reject(found, rejection(ready(found)), 7))
    names = (ended.proposal, ProposalId("p-9"))
    assert docket.forgettable(found, names, 7) == (ended,)
    assert docket.forgettable(found, names, 6) == ()
    still_open = ready_by(found, "agents/editor")
    assert docket.forgettable(found, (still_open.proposal,), 99) == ()


def rejection(view: ProposalView) -> Reject:
    return Reject(view.proposal, view.hash, "ada", "not now")


def ready_by(found: Docket, proposer: str, impact: Impact = "medium") -> ProposalView:
    command = ProposeChange("agora", "main", "change it too", proposer, head="feature", impact=impact)
    view = fold(found, approvals.decide_change(found, command, TARGET, 1, TERMS))
    return fold(found, approvals.decide_worked_out(view, change("u"), 2, has_checks=False))


def propose_in(found: Docket, branch: str) -> ProposalView:
    command = ProposeChange("agora", branch, "change it there", "agents/scout", head="feature")
    target = Target("agora", branch, "feature")
    return fold(found, approvals.decide_change(found, command, target, 1, TERMS))


def test_who_when_why_and_what_stay_in_the_history() -> None:
    found = Docket()
    view = approve(found, ready(found))
    assert [(step.what, step.by, step.reason) for step in view.history] == [
        ("proposal.proposed", "agents/scout", ""),
        ("proposal.ready", "", ""),
        ("proposal.voted", "ada", "looks right"),
        ("proposal.approved", "", ""),
        ("proposal.applying", "", ""),
    ]
    assert view.version == len(view.history)


PEOPLE = st.sampled_from(["ada", "grace", "agents/scout"])
NUMBERS = st.integers(min_value=1, max_value=4)


class Interleavings(RuleBasedStateMachine):
    """Anything in any order: only what was reviewed is applied, once, by enough people, never by its proposer."""

    def __init__(self) -> None:
        super().__init__()
        self.found = Docket()
        self.events: list[ProposalEvent] = []
        self.now_us = 1

    def record(self, events: tuple[ProposalEvent, ...]) -> None:
        self.now_us += 10
        for event in events:
            docket.apply(self.found, event)
        self.events.extend(events)

    def view(self, number: int) -> ProposalView | None:
        return self.found.proposals.get(ProposalId(f"p-{number}"))

    @rule(impact=st.sampled_from(["medium", "high"]), by=PEOPLE)
    def propose(self, impact: Impact, by: str) -> None:
        command = ProposeChange("agora", "main", "change it", by, head="feature", impact=impact)
        self.record(approvals.decide_change(self.found, command, TARGET, self.now_us, TERMS))

    @rule(number=NUMBERS, tree=st.sampled_from("tuv"), has_checks=st.booleans())
    def work_out(self, number: int, tree: str, has_checks: bool) -> None:
        if (view := self.view(number)) is not None:
            self.record(approvals.decide_worked_out(view, change(tree), self.now_us, has_checks=has_checks))

    @rule(number=NUMBERS, code=st.integers(0, 1))
    def checks_end(self, number: int, code: int) -> None:
        if (view := self.view(number)) is not None:
            result = msgspec.structs.replace(PASSED, exit_code=code)
            self.record(approvals.decide_checked(view, result, self.now_us))

    @rule(number=NUMBERS, other=NUMBERS, by=PEOPLE, is_yes=st.booleans())
    def decide(self, number: int, other: int, by: str, is_yes: bool) -> None:
        looked_at = self.view(other)
        if self.view(number) is None or looked_at is None:
            return
        proposal = ProposalId(f"p-{number}")
        try:
            if is_yes:
                command = Approve(proposal, looked_at.hash, by, "yes")
                self.record(approvals.decide_approve(self.found, command, self.now_us))
            else:
                self.record(
                    approvals.decide_reject(self.found, Reject(proposal, looked_at.hash, by, "no"), self.now_us)
                )
        except Refused:
            pass

    @rule(number=NUMBERS, error=st.sampled_from(["", "it moved"]))
    def applying_ends(self, number: int, error: str) -> None:
        if (view := self.view(number)) is not None:
            self.record(approvals.decide_outcome(view, "c" * 40, error, self.now_us))

    @rule(number=NUMBERS)
    def expire(self, number: int) -> None:
        if (view := self.view(number)) is not None:
            self.record(approvals.decide_expire(view, self.now_us))

    @invariant()
    def only_what_enough_people_reviewed_is_applied_once(self) -> None:
        for view in self.found.proposals.values():
            mine = [event for event in self.events if event.proposal == view.proposal]
            applying = [event for event in mine if isinstance(event, ProposalApplying)]
            votes = [event for event in mine if isinstance(event, ProposalVoted)]
            assert len(applying) <= 1
            assert sum(isinstance(event, ProposalApplied) for event in mine) <= len(applying)
            for event in applying:
                assert event.hash == view.hash
                assert {vote.hash for vote in votes} == {view.hash}
                assert len({vote.by for vote in votes}) == view.approvers
                assert view.proposer not in {vote.by for vote in votes}

    @invariant()
    def folding_again_gives_the_same(self) -> None:
        again = Docket()
        for event in self.events:
            docket.apply(again, event)
        assert again == self.found
        assert self.found.pending == sum(v.state is ProposalState.READY for v in again.proposals.values())


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
