"""The approvals' shell: real repositories, a journal in memory, restarts."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import pytest

from actors.approvals import Approvals, ApprovalsOptions
from actors.git.changes import ChangesOptions, RepositoryOptions
from actors.rules.policies import Policy
from actors.runtime import Actor, ActorSystem, ChildSpec
from actors.runtime.simulation import MemoryJournal
from bus.errors import Refused
from bus.messages.approvals import (
    APPROVALS,
    Approve,
    AwaitDecision,
    Impact,
    ProposalId,
    ProposalState,
    ProposalView,
    ProposeChange,
    ReadProposal,
    ReadProposalContent,
    Reject,
    RequestApproval,
    RollBack,
)
from bus.messages.base import Message, Request
from bus.messages.system import JOURNAL, Blob, ReadBlob
from bus.refusals import IllegalTransition, InvalidField, NotFound, StaleDecision
from tests.support.repositories import Sandbox

R = TypeVar("R", bound=Message)
P1 = ProposalId("p-1")


class ScriptedJournal(Actor):
    """Reads blobs from the memory journal."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal

    def on_read_blob(self, query: ReadBlob) -> Blob:
        content = self._journal.blobs.get(query.blob)
        if content is None:
            raise NotFound("blob", query.blob)
        return Blob(query.blob, content)


class Queue:
    """Open it with `async with`; a second one on the same journal is a restart."""

    def __init__(
        self,
        sandbox: Sandbox | None = None,
        journal: MemoryJournal | None = None,
        *,
        checks: tuple[str, ...] = (),
        expiry_s: float = 600.0,
        changes: ChangesOptions | None = None,
        is_supervised: bool = False,
        policies: tuple[Policy, ...] = (Policy("spend", "low", "automatic"), Policy("*", "high", "two")),
    ) -> None:
        self.journal = journal or MemoryJournal()
        repositories = (RepositoryOptions("r", str(sandbox.path), checks),) if sandbox else ()
        changes = changes or ChangesOptions(repositories, checks_timeout_s=20.0, git_timeout_s=20.0)
        self._options = ApprovalsOptions(policies, expiry_s, changes=changes)
        self._work = sandbox.path.parent / "checks" if sandbox else Path("checks")
        self._is_supervised = is_supervised
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.system = await self._stack.enter_async_context(ActorSystem(log=self.journal.log, history=self.journal))
        await self.system.start(
            ChildSpec(JOURNAL, lambda: ScriptedJournal(self.journal)),
            ChildSpec(APPROVALS, lambda: Approvals(self._options, self._work, is_supervised=self._is_supervised)),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def ask(self, request: Request[R]) -> R:
        return await self.system.ask(APPROVALS, request, timeout_s=30.0)

    async def read(self, proposal: ProposalId = P1) -> ProposalView:
        return await self.ask(ReadProposal(proposal))

    async def propose(self, head: str = "feature", impact: Impact = "medium") -> ProposalView:
        return await self.ask(ProposeChange("r", "main", "change it", "agents/scout", head=head, impact=impact))

    async def until(self, *states: ProposalState, proposal: ProposalId = P1) -> ProposalView:
        """Wait until the proposal is in one of the states."""
        async with asyncio.timeout(30.0):
            while True:
                view = await self.read(proposal)
                if view.state in states:
                    return view

    async def ready(self, impact: Impact = "medium") -> ProposalView:
        await self.propose(impact=impact)
        return await self.until(ProposalState.READY)

    async def approve(self, view: ProposalView, by: str = "ada") -> ProposalView:
        return await self.ask(Approve(view.proposal, view.hash, by, "looks right"))


async def test_a_change_that_was_approved_is_what_the_branch_becomes(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    async with Queue(sandbox) as queue:
        view = await queue.ready()
        await queue.approve(view)
        applied = await queue.until(ProposalState.APPLIED)
    assert sandbox.tip() == applied.commit
    assert view.change is not None
    assert sandbox.git("rev-parse", "main^{tree}") == view.change.tree
    assert (sandbox.status(), sandbox.is_whole()) == ("", True)


async def test_the_diff_can_be_read_and_is_the_one_that_is_hashed(tmp_path: Path) -> None:
    async with Queue(Sandbox(tmp_path / "r")) as queue:
        await queue.ready()
        content = await queue.ask(ReadProposalContent(P1, "diff"))
        assert "+new" in content.text
        with pytest.raises(NotFound):
            await queue.ask(ReadProposalContent(P1, "output"))


async def test_a_patch_is_proposed_worked_out_and_applied(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    patch = sandbox.git("diff", "main", "feature") + "\n"
    async with Queue(sandbox) as queue:
        command = ProposeChange("r", "main", "change it", "agents/scout", patch=patch, paths=("a.txt", "new.txt"))
        await queue.ask(command)
        await queue.approve(await queue.until(ProposalState.READY))
        await queue.until(ProposalState.APPLIED)
    assert sandbox.git("show", "main:new.txt") == "new"


async def test_checks_run_before_anyone_is_asked_and_their_output_is_kept(tmp_path: Path) -> None:
    async with Queue(Sandbox(tmp_path / "r"), checks=("sh", "-c", "cat new.txt")) as queue:
        view = await queue.ready()
        assert view.checks is not None
        assert view.checks.exit_code == 0
        assert (await queue.ask(ReadProposalContent(P1, "output"))).text == "new\n"


async def test_checks_that_fail_end_the_proposal_with_the_reason(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    before = sandbox.tip()
    async with Queue(sandbox, checks=("sh", "-c", "echo passed; exit 3")) as queue:
        await queue.propose()
        assert (await queue.until(ProposalState.FAILED)).reason == "the checks ended with exit code 3"
    assert sandbox.tip() == before


async def test_of_a_hundred_approvals_at_once_one_counts(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    async with Queue(sandbox) as queue:
        view = await queue.ready()
        outcomes: list[type[Refused] | None] = []

        async def approve(number: int) -> None:
            try:
                await queue.approve(view, f"person-{number}")
                outcomes.append(None)
            except Refused as error:
                outcomes.append(type(error))

        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(approve(number))
        await queue.until(ProposalState.APPLIED)
    assert (outcomes.count(None), outcomes.count(IllegalTransition)) == (1, 99)
    assert sandbox.git("rev-list", "--count", "main") == "3"


async def test_a_push_to_the_base_after_the_approval_fails_and_nothing_moves(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    async with Queue(sandbox) as queue:
        view = await queue.ready()
        sandbox.write("c.txt", "slipped in\n")
        pushed = sandbox.commit("push")
        await queue.approve(view)
        failed = await queue.until(ProposalState.FAILED)
    assert "main has moved" in failed.reason
    assert sandbox.tip() == pushed


async def test_a_decision_on_an_older_proposal_of_the_same_branch_is_refused(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    async with Queue(sandbox) as queue:
        first = await queue.ready()
        sandbox.git("checkout", "-q", "feature")
        sandbox.write("more.txt", "more\n")
        sandbox.commit("more")
        sandbox.git("checkout", "-q", "main")
        await queue.propose()
        second = await queue.until(ProposalState.READY, proposal=ProposalId("p-2"))
        with pytest.raises(IllegalTransition, match="superseded"):
            await queue.approve(first)
        with pytest.raises(StaleDecision):
            await queue.ask(Approve(second.proposal, first.hash, "ada", "looks right"))
        assert second.hash != first.hash


async def test_a_rollback_restores_the_tree_and_is_written_down(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    before = sandbox.tip()
    async with Queue(sandbox) as queue:
        view = await queue.ready()
        await queue.approve(view)
        await queue.until(ProposalState.APPLIED)
        await queue.ask(RollBack(P1, view.hash, "ada", "it broke"))
        await queue.until(ProposalState.ROLLED_BACK)
    assert (sandbox.tip(), sandbox.status()) == (before, "")


async def test_a_rollback_of_a_branch_that_moved_on_files_a_proposal_that_a_person_approves(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    async with Queue(sandbox) as queue:
        view = await queue.ready()
        await queue.approve(view)
        await queue.until(ProposalState.APPLIED)
        sandbox.write("c.txt", "later\n")
        sandbox.commit("later")
        await queue.ask(RollBack(P1, view.hash, "ada", "it broke"))
        kept = await queue.until(ProposalState.APPLIED)
        assert kept.revert == "p-2"
        revert = await queue.until(ProposalState.READY, proposal=kept.revert)
        await queue.approve(revert, "grace")
        await queue.until(ProposalState.APPLIED, proposal=kept.revert)
    assert not sandbox.git("ls-tree", "main", "new.txt")
    assert sandbox.git("show", "main:c.txt") == "later"


async def test_any_actor_waits_for_a_decision_and_asks_again_after_a_restart() -> None:
    command = RequestApproval("spend", "buy a book", "agents/scout", idempotency_key="book")
    async with Queue() as queue:
        view = await queue.ask(command)
    async with Queue(journal=queue.journal) as again:
        assert await again.ask(command) == view
        waiting = asyncio.create_task(again.ask(AwaitDecision(view.proposal)))
        await again.read()
        assert not waiting.done()
        await again.approve(view)
        assert (await waiting).state is ProposalState.APPROVED
        assert (await again.ask(AwaitDecision(view.proposal))).state is ProposalState.APPROVED


async def test_an_unknown_repository_and_a_spend_as_a_change_are_refused() -> None:
    async with Queue() as queue:
        with pytest.raises(NotFound, match="no repository"):
            await queue.propose()
        with pytest.raises(InvalidField, match="kind"):
            await queue.ask(RequestApproval("change", "x", "agents/scout"))
        assert queue.journal.stored == []


async def test_a_rejection_leaves_the_branch_alone(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    before = sandbox.tip()
    async with Queue(sandbox) as queue:
        view = await queue.ready()
        rejected = await queue.ask(Reject(P1, view.hash, "ada", "not now"))
    assert (rejected.state, rejected.reason) == (ProposalState.REJECTED, "not now")
    assert sandbox.tip() == before
