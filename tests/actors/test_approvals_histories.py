"""Random histories of proposals, pushes, decisions and crashes on a real repository: only what was approved happens.

Each history is folded afterwards from the journal and from git alone: every commit of a proposal on the branch has the
tree that its approval named, stands there once, and has enough yeses of distinct people who did not propose it.
"""

import asyncio
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from actors.runtime.simulation import MemoryJournal
from bus.errors import Refused
from bus.messages.approvals import (
    Approve,
    Impact,
    ListProposals,
    ProposalApplied,
    ProposalApproved,
    ProposalChecking,
    ProposalEvent,
    ProposalOutdated,
    ProposalProposed,
    ProposalReady,
    ProposalState,
    ProposalVoted,
    ProposeChange,
    Reject,
    RollBack,
)
from tests.actors.test_approvals import Queue
from tests.support.repositories import ENVIRONMENT, Sandbox

pytestmark = pytest.mark.slow

PEOPLE = ("ada", "grace", "agents/scout")
UNSETTLED = (
    ProposalState.PROPOSED,
    ProposalState.CHECKING,
    ProposalState.APPLYING,
    ProposalState.APPROVED,
    ProposalState.ROLLING_BACK,
)
BRANCHES = st.sampled_from(["feature", "other"])
NUMBERS = st.integers(0, 3)
STEPS = st.one_of(
    st.tuples(st.just("propose"), BRANCHES, st.sampled_from(["medium", "high"]), st.sampled_from(PEOPLE)),
    st.tuples(st.just("push"), st.sampled_from(["feature", "other", "main"]), NUMBERS, NUMBERS),
    st.tuples(st.just("approve"), NUMBERS, st.sampled_from(PEOPLE), st.booleans()),
    st.tuples(st.just("approve"), NUMBERS, st.sampled_from(PEOPLE), st.just(False)),
    st.tuples(st.just("reject"), NUMBERS, st.sampled_from(PEOPLE), st.booleans()),
    st.tuples(st.just("roll back"), NUMBERS, st.sampled_from(PEOPLE), st.booleans()),
    st.tuples(st.just("settle")),
    st.tuples(st.just("crash")),
)
BEGIN = [("propose", "feature", "medium", "agents/scout"), ("propose", "other", "high", "ada"), ("settle",)]


class World:
    """The repository with its branch checked out nowhere, a clone that pushes to it, and the queue."""

    def __init__(self, path: Path) -> None:
        self.sandbox = Sandbox(path / "r")
        self.sandbox.git("branch", "other", "main")
        self.sandbox.git("checkout", "-q", "--detach", "feature")
        self._clone = path / "clone"
        subprocess.run(["git", "clone", "-q", str(self.sandbox.path), str(self._clone)], env=ENVIRONMENT, check=True)
        self.journal = MemoryJournal()
        self.notes: list[str] = []
        """What has happened, for the statistics."""
        self.pushed = set(self.sandbox.git("rev-list", "--all").split())
        self.push("other", 9, 9)

    def push(self, branch: str, name: int, value: int) -> None:
        """Commit on top of a branch as it stands, and push it, unless it has moved meanwhile."""
        self._git("fetch", "-q", "origin")
        self._git("checkout", "-q", "--detach", f"origin/{branch}")
        (self._clone / f"{name}.txt").write_text(f"{branch} {value} {len(self.pushed)}\n")
        self._git("add", "-A")
        self._git("commit", "-q", "-m", f"push to {branch}")
        self.pushed.add(self._git("rev-parse", "HEAD").stdout.decode().strip())
        self._git("push", "-q", "origin", f"HEAD:{branch}")

    def _git(self, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(["git", *arguments], cwd=self._clone, env=ENVIRONMENT, check=False, capture_output=True)

    async def run(self, steps: list[tuple[object, ...]]) -> None:
        queue = await Queue(self.sandbox, self.journal).__aenter__()
        try:
            for step in [*BEGIN, *steps, ("crash",), ("settle",)]:
                if step[0] == "crash":
                    await queue.__aexit__(None, None, None)
                    queue = await Queue(self.sandbox, self.journal).__aenter__()
                else:
                    await self._do(queue, step)
        finally:
            await queue.__aexit__(None, None, None)

    async def _do(self, queue: Queue, step: tuple[object, ...]) -> None:
        match step:
            case ("settle",):
                async with asyncio.timeout(30.0):
                    while any(view.state in UNSETTLED for view in (await queue.ask(ListProposals())).proposals):
                        pass
            case ("push", str(branch), int(file), int(value)):
                await asyncio.to_thread(self.push, branch, file, value)
            case ("propose", str(head), "medium" | "high" as impact, str(proposer)):
                await queue.ask(_proposal(head, impact, proposer))
            case (str(word), int(number), str(person), bool(is_stale)):
                views = (await queue.ask(ListProposals())).proposals
                view = views[number % len(views)]
                name = "0" * 64 if is_stale else view.hash
                kinds = {"approve": Approve, "reject": Reject, "roll back": RollBack}
                try:
                    await queue.ask(kinds[word](view.proposal, name, person, "a reason"))
                except Refused as refused:
                    self.notes.append(type(refused).__name__)
            case _:
                raise AssertionError(step)

    def check(self) -> None:
        """What is on the branch is what was approved, and nothing else."""
        assert self.sandbox.is_whole()
        events = [record.event for record in self.journal.events if isinstance(record.event, ProposalEvent)]
        on_branch = Counter[str]()
        for commit in self.sandbox.git("rev-list", "main").split():
            if commit in self.pushed:
                continue
            message = self.sandbox.git("log", "-1", "--format=%B", commit)
            (proposal,) = re.findall(r"^Proposal: (p-\d+)$", message, re.MULTILINE)
            own = [one for one in events if one.proposal == proposal]
            if any(isinstance(one, ProposalApplied) and one.commit == commit for one in own):
                on_branch[proposal] += 1
                self._check_approved(own, commit)
            else:  # the parent of such a commit: the head that was proposed, which is a commit of the proposal's own
                assert any(_head_of(one) == commit for one in own), f"{commit} was never approved"
        assert all(count == 1 for count in on_branch.values())
        self.notes.append(f"{len(on_branch)} applied")

    def _check_approved(self, own: list[ProposalEvent], commit: str) -> None:
        proposed = next(one for one in own if isinstance(one, ProposalProposed))
        (approved,) = (one for one in own if isinstance(one, ProposalApproved))
        before = own[: own.index(approved)]
        since = max((index for index, one in enumerate(before) if isinstance(one, ProposalOutdated)), default=-1)
        votes = {one.by for one in before[since + 1 :] if isinstance(one, ProposalVoted) and one.hash == approved.hash}
        assert len(votes - {proposed.proposer}) >= proposed.approvers > 0
        changes = [
            one.change
            for one in before
            if isinstance(one, ProposalReady | ProposalChecking) and one.hash == approved.hash and one.change
        ]
        assert {self.sandbox.git("rev-parse", f"{commit}^{{tree}}")} == {change.tree for change in changes}


def _proposal(head: str, impact: Impact, proposer: str) -> ProposeChange:
    return ProposeChange("r", "main", f"merge {head}", proposer, head=head, impact=impact)


def _head_of(one: ProposalEvent) -> str:
    change = one.change if isinstance(one, ProposalReady | ProposalChecking) else None
    return change.head if change is not None else ""


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEPS, min_size=4, max_size=14))
def test_only_what_was_approved_happens_once_and_by_enough_people(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[object, ...]]
) -> None:
    world = World(tmp_path_factory.mktemp("history"))
    asyncio.run(world.run(steps))
    world.check()
    for note in world.notes:
        event(note)


def test_a_history_that_applies_both_under_pushes_and_crashes_holds_too(tmp_path: Path) -> None:
    world = World(tmp_path)
    steps: list[tuple[object, ...]] = [
        ("push", "main", 1, 1),
        ("approve", 1, "ada", False),  # stale by now: main has moved
        ("settle",),
        ("propose", "feature", "medium", "agents/scout"),
        ("settle",),
        ("approve", 0, "grace", False),
        ("crash",),
        ("settle",),
        ("propose", "other", "high", "ada"),
        ("settle",),
        ("approve", 0, "grace", False),
        ("approve", 0, "ada", False),
        ("crash",),
        ("approve", 0, "agents/scout", False),
        ("settle",),
    ]
    asyncio.run(world.run(steps))
    world.check()
    states = [stored.type for stored in world.journal.stored]
    assert states.count("proposal.applied") == 2
