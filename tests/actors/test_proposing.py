"""The agents' tools for what needs a person's word: with a real repository, and with a budget that is spent."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec
import pytest

from actors import proposing
from actors.approvals import Approvals, ApprovalsOptions
from actors.proposing import SpendAsked
from actors.rules.filing import FilingOptions, Page
from actors.rules.policies import Policy
from actors.runtime import Actor, ActorSystem, ChildSpec, Job
from actors.runtime.simulation import MemoryJournal
from bus.address import Address
from bus.errors import AgoraError
from bus.messages.agents import agent_address
from bus.messages.approvals import (
    APPROVALS,
    Approve,
    ListProposals,
    ProposalId,
    ProposalState,
    ProposalView,
    ReadProposal,
    Reject,
)
from bus.messages.base import AgentId, Command, Done, Message, Request
from bus.messages.completions import ROUTER, ReadRouter, RouterView, SetBudget
from bus.messages.system import JOURNAL
from bus.refusals import ChangeRefused, ForbiddenByPolicy
from tests.actors.test_approvals import ScriptedJournal

R = TypeVar("R", bound=Message)
LIBRARIAN = FilingOptions("librarian", "library")
AGENT = AgentId("librarian")
P1 = ProposalId("p-1")
PAGE = Page("briefs/anyio.md", "# Anyio\n\nIt is structured.\n")
TIMEOUT_S = 20.0


class Propose(Command[Done], frozen=True):
    """Asked of the agent: propose these pages; the answer says when that is done."""

    wire_name = "propose"

    pages: tuple[Page, ...]
    key: str = "k"


class Spend(Command[Done], frozen=True):
    """Asked of the agent: ask people for money, and wait."""

    wire_name = "spend"


class ScriptedAgent(Actor):
    """Uses its tools when it is told to."""

    def __init__(self) -> None:
        self.proposed: list[ProposalView | None] = []
        self.errors: list[AgoraError] = []
        self.asked: list[ProposalId] = []
        self.done = 0

    def on_propose(self, command: Propose) -> Done:
        self.perform(self._propose, command)
        return Done()

    def on_spend(self, _: Spend) -> Done:
        self.perform(self._spend)
        return Done()

    def on_spend_asked(self, message: SpendAsked) -> None:
        self.asked.append(message.proposal)

    async def _propose(self, job: Job, command: Propose) -> None:
        try:
            view = await proposing.propose_change(
                job, LIBRARIAN, command.pages, title="Keep it", detail="", key=command.key, timeout_s=TIMEOUT_S
            )
            self.proposed.append(view)
        except AgoraError as error:
            self.errors.append(error)
        self.done += 1

    async def _spend(self, job: Job) -> None:
        await proposing.request_spend(job, AGENT, more_usd_micros=500, reason="it is spent", timeout_s=TIMEOUT_S)
        self.done += 1


class ScriptedRouter(Actor):
    """Has a budget that can be raised."""

    def __init__(self) -> None:
        self.limit = 1_000
        self.raised: list[int] = []

    def on_read_router(self, _: ReadRouter) -> RouterView:
        return RouterView((), 0, 0, 0, self.limit, 0, True, 0)

    def on_set_budget(self, command: SetBudget) -> Done:
        self.limit = command.run_usd_micros
        self.raised.append(command.run_usd_micros)
        return Done()


class Place:
    """Approvals, an agent and a router; a second one on the same journal is a restart."""

    def __init__(self, path: Path, *policies: Policy, journal: MemoryJournal | None = None) -> None:
        self.journal = journal or MemoryJournal()
        self.library = path / "library"
        self._options = ApprovalsOptions(policies)
        self._work = path / "checks"
        self.agent, self.router = ScriptedAgent(), ScriptedRouter()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.system = await self._stack.enter_async_context(ActorSystem(log=self.journal.log, history=self.journal))
        await self.system.start(
            ChildSpec(JOURNAL, lambda: ScriptedJournal(self.journal)),
            ChildSpec(APPROVALS, lambda: Approvals(self._options, self._work)),
            ChildSpec(ROUTER, lambda: self.router),
            ChildSpec(agent_address(AGENT), lambda: self.agent),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async with asyncio.timeout(TIMEOUT_S):  # what git has begun is let end, so that nothing of it is left
            while any(one.state is ProposalState.PROPOSED for one in (await self.ask(ListProposals())).proposals):
                pass
        await self._stack.aclose()

    async def ask(self, request: Request[R], to: Address = APPROVALS) -> R:
        return await self.system.ask(to, request, timeout_s=TIMEOUT_S)

    async def do(self, command: Propose | Spend) -> None:
        """Let the agent use its tool, to the end."""
        before = self.agent.done
        await self.ask(command, agent_address(AGENT))
        await self.until(lambda: self.agent.done > before)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not holds():
                await self.system.ask(ROUTER, ReadRouter(), timeout_s=TIMEOUT_S)

    async def ready(self, proposal: ProposalId = P1) -> ProposalView:
        while (view := await self.ask(ReadProposal(proposal))).state is ProposalState.PROPOSED:
            pass
        return view


async def test_a_page_becomes_a_proposal_and_after_a_yes_a_file_of_the_library(tmp_path: Path) -> None:
    async with Place(tmp_path) as place:
        await place.do(Propose((PAGE,)))
        view = await place.ready()
        assert (view.proposer, view.impact, view.target and view.target.paths) == (
            "agents/librarian",
            "low",
            ("briefs/anyio.md",),
        )
        await place.ask(Approve(P1, view.hash, "ada", "good"))
        while (await place.ask(ReadProposal(P1))).state is ProposalState.APPLYING:
            pass
        assert (place.library / "briefs" / "anyio.md").read_text() == PAGE.text
        await place.do(Propose((PAGE,), "again"))
        assert place.agent.proposed[-1] is None, "it is kept already"


async def test_a_retry_proposes_once_and_a_changed_page_takes_the_place_of_the_open_one(tmp_path: Path) -> None:
    async with Place(tmp_path) as place:
        await place.do(Propose((PAGE,)))
        await place.do(Propose((PAGE,)))
        assert [view.proposal for view in place.agent.proposed if view] == ["p-1", "p-1"]
        await place.do(Propose((msgspec.structs.replace(PAGE, text="# Anyio\n"),), "k2"))
        assert (await place.ask(ReadProposal(P1))).state is ProposalState.SUPERSEDED


@pytest.mark.parametrize("path", ["README.md", "briefs/../README.md", "/etc/passwd", "briefs/.git/config"])
async def test_an_agent_proposes_nothing_outside_its_paths(tmp_path: Path, path: str) -> None:
    async with Place(tmp_path) as place:
        await place.do(Propose((Page(path, "x\n"),)))
        (error,) = place.agent.errors
        assert isinstance(error, ChangeRefused)
        assert place.journal.stored == []


async def test_what_the_policies_forbid_is_not_even_asked(tmp_path: Path) -> None:
    async with Place(tmp_path, Policy("change", "low", "forbidden")) as place:
        await place.do(Propose((PAGE,)))
        assert isinstance(place.agent.errors[0], ForbiddenByPolicy)


async def test_more_money_is_there_once_a_person_has_said_yes_and_not_before(tmp_path: Path) -> None:
    async with Place(tmp_path) as place:
        await place.ask(Spend(), agent_address(AGENT))
        await place.until(lambda: bool(place.agent.asked))
        view = await place.ask(ReadProposal(P1))
        assert (view.kind, view.subject, view.impact) == ("spend", "budget/run/1500", "high")
        assert place.router.raised == []
        await place.ask(Approve(P1, view.hash, "ada", "it is worth it"))
        await place.until(lambda: place.agent.done == 1)
        assert place.router.raised == [1_500]


async def test_a_no_raises_nothing(tmp_path: Path) -> None:
    async with Place(tmp_path) as place:
        await place.ask(Spend(), agent_address(AGENT))
        await place.until(lambda: bool(place.agent.asked))
        view = await place.ask(ReadProposal(P1))
        await place.ask(Reject(P1, view.hash, "ada", "enough"))
        await place.until(lambda: place.agent.done == 1)
        assert place.router.raised == []


async def test_the_wait_for_a_word_survives_a_restart_and_the_money_comes_once(tmp_path: Path) -> None:
    async with Place(tmp_path) as place:
        await place.ask(Spend(), agent_address(AGENT))
        await place.until(lambda: bool(place.agent.asked))
    async with Place(tmp_path, journal=place.journal) as again:
        view = await again.ask(ReadProposal(P1))
        await again.ask(Approve(P1, view.hash, "ada", "it is worth it"))
        await again.do(Spend())
        assert again.agent.asked == [P1]
        assert again.router.raised == [1_500]
        await again.do(Propose((PAGE,)))


async def test_without_a_limit_there_is_nothing_to_ask_for(tmp_path: Path) -> None:
    async with Place(tmp_path) as place:
        place.router.limit = 0
        await place.do(Spend())
        assert place.journal.stored == []
