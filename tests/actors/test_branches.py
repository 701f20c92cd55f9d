"""What repositories keep of proposals is told to who asks, and goes when it is old."""

from pathlib import Path

from actors.git.changes import ChangesOptions, RepositoryOptions
from bus.messages.approvals import ProposalId, ProposalState
from bus.messages.repositories import ListBranches
from tests.actors.git.test_errands import P2, two_ready
from tests.actors.test_approvals import P1, Queue
from tests.support.repositories import Sandbox


async def test_refs_are_listed_and_go_when_their_proposals_have_ended(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    async with Queue(sandbox) as queue:
        await two_ready(queue, sandbox)
        branches = (await queue.ask(ListBranches())).branches
        assert [(branch.proposal, branch.state) for branch in branches] == [(P1, "ready"), (P2, "ready")]
        sandbox.git("update-ref", "refs/agora/proposals/p-9/other", "main")
        sandbox.git("update-ref", f"refs/agora/proposals/p-1/{sandbox.tip()}", "main")
        await queue.approve(await queue.read())
        await queue.until(ProposalState.APPLIED)
        await queue.until(ProposalState.READY, proposal=P2)
    options = ChangesOptions((RepositoryOptions("r", str(sandbox.path)),), keep_refs_s=0.0)
    async with Queue(sandbox, queue.journal, changes=options) as again:
        states = {branch.proposal: branch.state for branch in (await again.ask(ListBranches())).branches}
        assert states == {P1: "applied", P2: "ready", ProposalId("p-9"): ""}
        applied = (await again.read()).commit
        left = (await again.ask(ListBranches())).branches
        while applied in [branch.commit for branch in left]:
            left = (await again.ask(ListBranches())).branches
    # Whose commit is not this history's own belongs to another one that shares the repository.
    assert sorted((branch.proposal, branch.state) for branch in left) == [
        (P1, "applied"),
        (P2, "ready"),
        (ProposalId("p-9"), ""),
    ]
