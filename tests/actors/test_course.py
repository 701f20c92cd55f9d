"""What a proposal's state asks for is begun, begun again after a crash, and ended with what it was for."""

from pathlib import Path

from bus.messages.approvals import AwaitDecision, ProposalState, RequestApproval, Withdraw
from bus.messages.base import Position
from tests.actors.test_approvals import P1, Queue
from tests.support.repositories import Sandbox


async def test_what_waits_too_long_expires_and_whoever_waits_hears_of_it() -> None:
    async with Queue(expiry_s=0.05) as queue:
        view = await queue.ask(RequestApproval("spend", "buy a book", "agents/scout"))
        assert (await queue.ask(AwaitDecision(view.proposal))).state is ProposalState.EXPIRED


async def test_time_that_passed_while_nobody_served_counts() -> None:
    async with Queue(expiry_s=0.01) as queue:
        view = await queue.ask(RequestApproval("spend", "buy a book", "agents/scout"))
    kept = queue.journal.truncated(Position(2))
    async with Queue(journal=kept) as again:
        assert (await again.ask(AwaitDecision(view.proposal))).state is ProposalState.EXPIRED


async def test_a_withdrawal_ends_the_checks(tmp_path: Path) -> None:
    async with Queue(Sandbox(tmp_path / "r"), checks=("sleep", "600")) as queue:
        await queue.propose()
        await queue.until(ProposalState.CHECKING)
        await queue.ask(Withdraw(P1, "agents/scout", "a mistake"))
        assert (await queue.read()).state is ProposalState.WITHDRAWN


async def test_a_crash_at_any_event_leaves_the_branch_before_or_after_and_a_restart_ends_what_was_begun(
    tmp_path: Path,
) -> None:
    sandbox = Sandbox(tmp_path / "r")
    before = sandbox.tip()
    async with Queue(sandbox, checks=("true",)) as queue:
        view = await queue.ready()
        await queue.approve(view)
        after = (await queue.until(ProposalState.APPLIED)).commit
    names = [stored.type for stored in queue.journal.stored]
    inside_a_turn = {names.index("proposal.voted") + 1, names.index("proposal.approved") + 1}  # which no crash splits
    for head in sorted({*range(1, len(names) + 1)} - inside_a_turn):
        began = "proposal.applying" in names[:head]
        for tip in {before, after} - ({after} if not began else {before} if head == len(names) else set()):
            sandbox.git("checkout", "-q", "--detach", "feature")
            sandbox.git("update-ref", "refs/heads/main", tip)
            sandbox.git("checkout", "-q", "main")
            journal = queue.journal.truncated(Position(head))
            async with Queue(sandbox, journal, checks=("true",)) as again:
                ended = await again.until(ProposalState.READY, ProposalState.APPLIED, ProposalState.FAILED)
            if began:
                assert (ended.state, sandbox.tip()) == (ProposalState.APPLIED, after)
            else:
                assert sandbox.tip() == tip
            assert (sandbox.status(), sandbox.is_whole()) == ("", True)
