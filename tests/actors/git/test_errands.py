"""What the approvals do outside: watched, repeated after a branch moved, looked up in another history, tidied."""

import asyncio
from pathlib import Path

import pytest

from actors import supervised
from actors.git.changes import ChangesOptions, RepositoryOptions
from actors.supervised import Upgrade
from bus.messages.approvals import Approve, ProposalId, ProposalState, ProposeChange, RollBack
from bus.messages.base import Position
from bus.messages.repositories import FollowOutput, ReadRepositoryFile
from bus.messages.upgrades import UpgradeAsked
from bus.refusals import IllegalTransition, NotFound
from tests.actors.test_approvals import P1, Queue
from tests.support.repositories import Sandbox

P2 = ProposalId("p-2")


async def two_ready(queue: Queue, sandbox: Sandbox) -> None:
    """Two changes of one branch that are both open: of a branch, and of a patch."""
    await queue.ready()
    patch = "diff --git a/c.txt b/c.txt\nnew file mode 100644\n--- /dev/null\n+++ b/c.txt\n@@ -0,0 +1 @@\n+c\n"
    await queue.ask(ProposeChange("r", "main", "add c", "agents/editor", patch=patch, paths=("c.txt",)))
    await queue.until(ProposalState.READY, proposal=P2)


async def test_running_checks_are_heard_as_they_speak_and_to_their_end(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = f"echo begun; while [ ! -e {gate} ]; do :; done; echo ended"
    async with Queue(Sandbox(tmp_path / "r"), checks=("sh", "-c", script)) as queue:
        await queue.propose()
        await queue.until(ProposalState.CHECKING)
        first = await queue.ask(FollowOutput(P1))
        assert (first.text, first.is_over) == ("begun\n", False)
        waiting = asyncio.create_task(queue.ask(FollowOutput(P1, first.next)))
        await queue.read()
        assert not waiting.done()
        gate.touch()
        rest = await waiting
        if not rest.is_over:
            assert rest.text == "ended\n"
        await queue.until(ProposalState.READY)
        assert (await queue.ask(FollowOutput(P1, 11))).is_over


async def test_a_branch_that_moves_has_its_other_changes_worked_out_anew_and_every_yes_void(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    async with Queue(sandbox) as queue:
        await two_ready(queue, sandbox)
        before = await queue.read(P2)
        await queue.approve(await queue.read())
        await queue.until(ProposalState.APPLIED)
        anew = await queue.until(ProposalState.READY, proposal=P2)
        while anew.hash in ("", before.hash):
            anew = await queue.until(ProposalState.READY, proposal=P2)
        assert (anew.votes, anew.reason) == ((), "p-1 has moved the branch")
        assert anew.change is not None
        assert anew.change.base == sandbox.tip()
        with pytest.raises(IllegalTransition):
            await queue.approve(before)
        await queue.approve(anew)
        await queue.until(ProposalState.APPLIED, proposal=P2)
    assert (sandbox.git("show", "main:c.txt"), sandbox.git("show", "main:new.txt")) == ("c", "new")
    assert (sandbox.status(), sandbox.is_whole()) == ("", True)


async def test_one_of_two_needed_votes_does_not_outlive_what_it_was_for(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    async with Queue(sandbox) as queue:
        await two_ready(queue, sandbox)
        await queue.ask(ProposeChange("r", "main", "risky", "agents/scout", head="feature~1", impact="high"))
        await queue.until(ProposalState.FAILED, proposal=ProposalId("p-3"))  # it changes nothing
        voted = await queue.ask(Approve(P2, (await queue.read(P2)).hash, "ada", "looks right"))
        assert voted.state is ProposalState.APPLYING
        await queue.until(ProposalState.APPLIED, proposal=P2)


async def test_a_file_of_a_repository_is_read_and_an_unknown_one_is_not(tmp_path: Path) -> None:
    async with Queue(Sandbox(tmp_path / "r")) as queue:
        assert (await queue.ask(ReadRepositoryFile("r", "main", "a.txt"))).text == "one\ntwo\nthree\n"
        assert not (await queue.ask(ReadRepositoryFile("r", "main", "none.txt"))).is_there
        with pytest.raises(NotFound):
            await queue.ask(ReadRepositoryFile("other", "main", "a.txt"))


async def test_what_another_history_had_begun_to_apply_is_looked_up_and_never_done_again(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    before = sandbox.tip()
    async with Queue(sandbox) as queue:
        await queue.approve(await queue.ready())
        after = (await queue.until(ProposalState.APPLIED)).commit
        await queue.ask(RollBack(P1, (await queue.read()).hash, "ada", "it broke"))
        await queue.until(ProposalState.ROLLED_BACK)
    names = [stored.type for stored in queue.journal.stored]
    expected = {
        ("proposal.approved", before): ProposalState.FAILED,
        ("proposal.approved", after): ProposalState.FAILED,
        ("proposal.applying", before): ProposalState.FAILED,
        ("proposal.applying", after): ProposalState.APPLIED,
        ("proposal.rolling_back", after): ProposalState.APPLIED,
        ("proposal.rolling_back", before): ProposalState.ROLLED_BACK,
    }
    for (name, tip), state in expected.items():
        sandbox.git("checkout", "-q", "--detach", "feature")
        sandbox.git("update-ref", "refs/heads/main", tip)
        sandbox.git("checkout", "-q", "main")
        forked = queue.journal.truncated(Position(names.index(name) + 1))
        forked.epoch = 2
        async with Queue(sandbox, forked) as fork:
            ended = await fork.until(ProposalState.FAILED, ProposalState.APPLIED, ProposalState.ROLLED_BACK)
        assert (name, tip == after, ended.state) == (name, tip == after, state)
        assert sandbox.tip() == tip, "the fork has moved nothing"
        async with Queue(sandbox, forked) as again:
            assert (await again.read()).state is state
    assert sandbox.status() == ""


async def test_what_was_restored_to_before_its_approval_is_approved_again_and_happens_once(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    async with Queue(sandbox) as queue:
        await queue.approve(await queue.ready())
        after = (await queue.until(ProposalState.APPLIED)).commit
    names = [stored.type for stored in queue.journal.stored]
    restored = queue.journal.truncated(Position(names.index("proposal.ready") + 1))
    restored.epoch = 2
    async with Queue(sandbox, restored) as again:
        await again.approve(await again.read(), "grace")
        assert (await again.until(ProposalState.APPLIED)).commit == after
    assert sandbox.tip() == after
    assert sandbox.git("rev-list", "--count", "main") == "3"


async def test_a_change_of_the_server_is_on_trial_before_its_branch_moves_and_off_when_it_could_not(
    tmp_path: Path,
) -> None:
    sandbox = Sandbox(tmp_path / "r")
    options = ChangesOptions((RepositoryOptions("r", str(sandbox.path), restarts=True),), ready_within_s=7.0)
    async with Queue(sandbox, changes=options, is_supervised=True) as queue:
        view = await queue.ready()
        sandbox.write("a.txt", "mine\n")
        await queue.approve(view)
        await queue.until(ProposalState.FAILED)
        assert await asyncio.to_thread(supervised.read, tmp_path) is None
        sandbox.git("checkout", "-q", "--", "a.txt")
        again = await queue.propose()
        await queue.approve(await queue.until(ProposalState.READY, proposal=again.proposal))
        applied = await queue.until(ProposalState.APPLIED, proposal=again.proposal)
        on_trial = await asyncio.to_thread(supervised.read, tmp_path)
        assert on_trial is not None
        assert applied.change is not None
        assert (on_trial.commit, on_trial.base, on_trial.ready_within_s) == (applied.commit, applied.change.base, 7.0)
        await queue.ask(RollBack(applied.proposal, applied.hash, "ada", "not so"))
        await queue.until(ProposalState.ROLLED_BACK, proposal=applied.proposal)
    asked = [record.event for record in queue.journal.events if isinstance(record.event, UpgradeAsked)]
    assert [(one.base, one.commit) for one in asked] == [
        (on_trial.base, on_trial.commit),
        (on_trial.commit, on_trial.base),
    ]


async def test_a_second_upgrade_is_refused_while_one_is_on_trial(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    options = ChangesOptions((RepositoryOptions("r", str(sandbox.path), restarts=True),))
    await asyncio.to_thread(supervised.write, tmp_path, Upgrade("p-9", "h", "/r", "main", "b", "c", 5.0, "trying"))
    async with Queue(sandbox, changes=options, is_supervised=True) as queue:
        await queue.approve(await queue.ready())
        failed = await queue.until(ProposalState.FAILED)
    assert "the upgrade by p-9 is not settled yet" in failed.reason
    found = await asyncio.to_thread(supervised.read, tmp_path)
    assert found is not None
    assert found.proposal == "p-9"
    # One that was begun and whose branch never moved, as after a kill, is in nobody's way.
    stale = Upgrade("p-9", "h", str(sandbox.path), "main", "b", "c", 5.0)
    await asyncio.to_thread(supervised.write, tmp_path, stale)
    async with Queue(sandbox, queue.journal, changes=options, is_supervised=True) as again:
        anew = await again.propose()
        await again.approve(await again.until(ProposalState.READY, proposal=anew.proposal))
        await again.until(ProposalState.APPLIED, proposal=anew.proposal)
