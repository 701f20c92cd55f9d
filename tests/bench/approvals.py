"""Approvals on a repository of 10,000 files: how long a change takes to be ready and to be applied, and what the loop
feels of it; and a page of the newest of 10,000 proposals.

Proposals are real ones: git works them out beside the society's own process, and each apply moves a branch that is
checked out. Only the loop's own delays are taken while git works.
"""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

from actors.approvals import Approvals, ApprovalsOptions
from actors.git.changes import ChangesOptions, RepositoryOptions
from actors.runtime import ActorSystem, ChildSpec
from actors.runtime.simulation import MemoryJournal
from bus.messages.approvals import (
    APPROVALS,
    Approve,
    ListProposals,
    ProposalId,
    ProposalState,
    ProposalView,
    ProposeChange,
    ReadProposal,
    RequestApproval,
)
from tests.bench.harness import Aim, Figure, Scale, figure
from tests.support.repositories import ENVIRONMENT

FILES = 10_000
FOLDERS = 100
PROPOSALS = 10_000
ROUNDS = 10
STEP_AIM_MS = 150.0
LOOP_AIM_MS = 10.0
LIST_AIM_MS = 20.0
TICK_S = 0.001
WANTED_S = 60.0


async def figures(scale: Scale) -> AsyncIterator[Figure]:
    """Proposed to ready, approved to applied, the loop meanwhile, and a page."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "r"
        rounds = scale.count(ROUNDS, at_least=2)
        await asyncio.to_thread(_repository, path, scale.count(FILES, at_least=200), rounds)
        ready_ms, applied_ms, stall_ms = await _changes(path, rounds)
    for name, value, most in (
        ("change proposed to ready, 10,000 files, median", ready_ms, STEP_AIM_MS),
        ("change approved to applied, 10,000 files, median", applied_ms, STEP_AIM_MS),
        ("longest pause of the loop while changes are applied", stall_ms, LOOP_AIM_MS),
    ):
        yield figure(name, "ms", value, None, scale=scale, aim=Aim(most, "at_most"))
    page_ms = await _page_ms(scale.count(PROPOSALS, at_least=200))
    aim = Aim(LIST_AIM_MS, "at_most")
    yield figure("page of 10,000 proposals listed, median", "ms", page_ms, None, scale=scale, aim=aim)


def _repository(path: Path, files: int, branches: int) -> None:
    """A repository with many files, and branches that each add one."""
    for number in range(files):
        file = path / f"folder-{number % FOLDERS}" / f"file-{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"line {number}\n" * 20, encoding="utf-8")
    _git(path, "init", "-q", "-b", "main")
    _git(path, "add", "-A")
    _git(path, "commit", "-q", "-m", "first")
    for number in range(branches):
        _git(path, "checkout", "-q", "-b", f"feature-{number}", "main")
        (path / f"new-{number}.txt").write_text("new\n", encoding="utf-8")
        _git(path, "add", "-A")
        _git(path, "commit", "-q", "-m", f"add {number}")
    _git(path, "checkout", "-q", "main")


def _git(path: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=path, env=ENVIRONMENT, check=True, timeout=300)


async def _changes(path: Path, rounds: int) -> tuple[float, float, float]:
    options = ApprovalsOptions(changes=ChangesOptions((RepositoryOptions("r", str(path)),)))
    journal = MemoryJournal()
    ready: list[float] = []
    applied: list[float] = []
    async with ActorSystem(log=journal.log, history=journal) as system:
        await system.start(ChildSpec(APPROVALS, lambda: Approvals(options, path.parent / "checks")))
        pauses = Pauses()
        watching = asyncio.create_task(pauses.watch())
        for number in range(rounds):
            command = ProposeChange("r", "main", "add a file", "agents/scout", head=f"feature-{number}")
            started = time.perf_counter()
            proposal = (await system.ask(APPROVALS, command)).proposal
            view = await _until(system, proposal, ProposalState.READY)
            ready.append(time.perf_counter() - started)
            started = time.perf_counter()
            await system.ask(APPROVALS, Approve(proposal, view.hash, "ada", "looks right"))
            await _until(system, proposal, ProposalState.APPLIED)
            applied.append(time.perf_counter() - started)
        watching.cancel()
    return median_ms(ready), median_ms(applied), pauses.longest_s * 1_000


class Pauses:
    """The longest time by which a short sleep was late."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def watch(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(TICK_S)
            self.longest_s = max(self.longest_s, time.perf_counter() - before - TICK_S)


async def _until(system: ActorSystem, proposal: ProposalId, state: ProposalState) -> ProposalView:
    async with asyncio.timeout(WANTED_S):
        while True:
            view = await system.ask(APPROVALS, ReadProposal(proposal))
            assert view.state is not ProposalState.FAILED, view.reason
            if view.state is state:
                return view
            await asyncio.sleep(TICK_S)


async def _page_ms(count: int) -> float:
    journal = MemoryJournal()
    times: list[float] = []
    async with ActorSystem(log=journal.log, history=journal) as system:
        await system.start(ChildSpec(APPROVALS, lambda: Approvals(ApprovalsOptions(), Path("checks"))))
        for number in range(count):
            system.tell(APPROVALS, RequestApproval("spend", f"buy {number}", "agents/scout"))
            if number % 500 == 0:
                await system.ask(APPROVALS, ListProposals(limit=1))
        for _ in range(50):
            started = time.perf_counter()
            page = await system.ask(APPROVALS, ListProposals(limit=50))
            times.append(time.perf_counter() - started)
        assert page.pending == count
    return median_ms(times)


def median_ms(times: list[float]) -> float:
    """What half stayed within, in milliseconds."""
    return sorted(times)[len(times) // 2] * 1_000
