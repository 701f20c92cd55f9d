"""Programs that work as agents: what the society records of them, and that they are held to the same rules."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from actors.approvals import Approvals, ApprovalsOptions
from actors.coordinator import Coordinator, CoordinatorOptions
from actors.ledger import Ledger, LedgerOptions
from actors.rules.policies import Policy
from actors.runtime import ActorSystem, ChildSpec
from actors.runtime.simulation import MemoryJournal
from actors.visitors import Visitors
from bus.messages.agents import (
    VISITORS,
    AgentAccepted,
    AgentStatusName,
    AgentView,
    PauseAgent,
    ReadAgent,
    RegisterAgent,
    ResumeAgent,
    RetireAgent,
    agent_address,
)
from bus.messages.approvals import APPROVALS, Approve, ProposalId, ReadProposal, Reject
from bus.messages.base import AccountId, AgentId, ArtifactId, TaskId
from bus.messages.ledger import LEDGER, ReadBalances
from bus.messages.tasks import COORDINATOR, CompleteTask, CreateTask, RenewLease, SubmitBid, TaskState
from bus.refusals import LeaseNotHeld, NotEligible, NotPermitted
from tests.support.market import spec

GREETER = AgentId("greeter")
HERE = agent_address(GREETER)
UNTIL_MAX_S = 30.0


class Society:
    """A market with a register; a second one on the same journal is a restart."""

    def __init__(self, system: ActorSystem, journal: MemoryJournal, changed: asyncio.Event) -> None:
        self.system = system
        self._journal = journal
        self._changed = changed

    async def register(self) -> None:
        """Register, and wait until the coordinator knows."""
        await self.system.ask(VISITORS, RegisterAgent(GREETER, ("greet",)))
        await self.until("bidder.changed")

    async def assigned(self) -> TaskId:
        """A task that the visitor has won."""
        task = (await self.system.ask(COORDINATOR, CreateTask(spec(capability="greet")))).task
        await self.until("task.bidding")
        await self.system.ask(COORDINATOR, SubmitBid(task, GREETER, 100))
        await self.until("agent.status")
        return task

    async def until(self, name: str, count: int = 1) -> None:
        """Wait until so many events of a name are committed."""
        async with asyncio.timeout(UNTIL_MAX_S):
            while self.names.count(name) < count:
                self._changed.clear()
                await self._changed.wait()

    @property
    def names(self) -> list[str]:
        return [stored.type for stored in self._journal.stored]

    async def view(self) -> AgentView:
        return await self.system.ask(HERE, ReadAgent())


@asynccontextmanager
async def society(journal: MemoryJournal, *, lease_s: float = 3_600.0) -> AsyncIterator[Society]:
    options = CoordinatorOptions(bid_window_s=3_600.0, lease_s=lease_s, invite_delay_s=0.01)
    log, changed = journal.log, asyncio.Event()
    log.on_commit(lambda _: changed.set())
    async with ActorSystem(log=log, history=journal) as system:
        await system.start(
            ChildSpec(LEDGER, lambda: Ledger(LedgerOptions())),
            ChildSpec(COORDINATOR, lambda: Coordinator(options)),
            ChildSpec(VISITORS, lambda: Visitors(frozenset({AgentId("scout")}))),
        )
        yield Society(system, journal, changed)


async def test_a_program_registers_bids_works_and_is_paid_like_any_agent() -> None:
    async with society(MemoryJournal()) as here:
        await here.register()
        task = await here.assigned()
        assert (await here.view()).tasks == (task,)
        done = CompleteTask(task, GREETER, 1, ArtifactId("a-1"), "hello")
        assert (await here.system.ask(COORDINATOR, done)).state is TaskState.COMPLETED
        await here.until("transfer.posted", 2)  # genesis is the first
        await here.until("step.completed")
        balances = (await here.system.ask(LEDGER, ReadBalances(AccountId("agents/greeter")))).balances
        assert [balance.net for balance in balances] == [100]
        view = await here.view()
        assert (view.status, view.tasks, view.outcomes["greet"].completed) == (AgentStatusName.IDLE, (), 1)


async def test_it_is_known_after_a_restart_and_keeps_what_it_holds() -> None:
    journal = MemoryJournal()
    async with society(journal) as here:
        await here.register()
        task = await here.assigned()
    async with society(journal) as here:
        assert (await here.view()).tasks == (task,)
        await here.system.ask(COORDINATOR, RenewLease(task, GREETER, 1))
        await here.system.ask(COORDINATOR, CompleteTask(task, GREETER, 1, ArtifactId("a-1")))
        await here.until("step.completed")
        assert here.names.count("agent.joined") == 1


async def test_a_program_that_falls_silent_loses_its_lease_and_the_task_goes_on() -> None:
    async with society(MemoryJournal(), lease_s=0.05) as here:
        await here.register()
        task = await here.assigned()
        await here.until("task.bidding", 2)
        with pytest.raises(LeaseNotHeld):
            await here.system.ask(COORDINATOR, CompleteTask(task, GREETER, 1, ArtifactId("a-1")))
        await here.until("step.completed")
        assert (await here.view()).outcomes["greet"].failed == 1


async def test_a_paused_program_may_not_bid_until_it_is_resumed() -> None:
    async with society(MemoryJournal()) as here:
        await here.register()
        await here.system.ask(HERE, PauseAgent())
        await here.until("bidder.changed", 2)
        task = (await here.system.ask(COORDINATOR, CreateTask(spec(capability="greet")))).task
        await here.until("task.bidding")
        with pytest.raises(NotEligible, match="it is paused"):
            await here.system.ask(COORDINATOR, SubmitBid(task, GREETER, 100))
        await here.system.ask(HERE, ResumeAgent())
        await here.until("bidder.changed", 3)
        await here.system.ask(COORDINATOR, SubmitBid(task, GREETER, 100))


async def test_a_retired_program_gives_back_what_it_holds_and_stays_away_until_it_registers_again() -> None:
    journal = MemoryJournal()
    async with society(journal) as here:
        await here.register()
        task = await here.assigned()
        await here.system.ask(HERE, RetireAgent("its machine is needed"))
        await here.until("task.bidding", 2)
        await here.until("agent.left")
    async with society(journal) as here:
        assert ((await here.view()).status, (await here.view()).tasks) == (AgentStatusName.LEFT, ())
        with pytest.raises(NotEligible):
            await here.system.ask(COORDINATOR, SubmitBid(task, GREETER, 100))
        await here.system.ask(VISITORS, RegisterAgent(GREETER, ("greet",)))
        await here.until("agent.joined", 2)


async def test_the_societys_own_names_are_not_for_visitors() -> None:
    async with society(MemoryJournal()) as here:
        with pytest.raises(NotPermitted):
            await here.system.ask(VISITORS, RegisterAgent(AgentId("scout"), ("greet",)))


ASKED = RegisterAgent(GREETER, ("greet",))


@asynccontextmanager
async def guarded(journal: MemoryJournal, tmp_path: Path, *policies: Policy) -> AsyncIterator[ActorSystem]:
    """A register at whose door people are asked."""
    options = ApprovalsOptions(policies)
    async with ActorSystem(log=journal.log, history=journal) as system:
        await system.start(
            ChildSpec(APPROVALS, lambda: Approvals(options, tmp_path / "checks")),
            ChildSpec(VISITORS, lambda: Visitors(frozenset(), is_asked=True)),
        )
        yield system


async def registered(system: ActorSystem) -> AgentAccepted:
    """The answer once the word that was given has reached the register."""
    async with asyncio.timeout(UNTIL_MAX_S):
        while True:
            try:
                return await system.ask(VISITORS, ASKED)
            except NotPermitted:
                continue


async def test_where_a_policy_says_so_a_person_decides_who_joins_and_the_word_survives_a_restart(
    tmp_path: Path,
) -> None:
    journal = MemoryJournal()
    async with guarded(journal, tmp_path, Policy("agent", "*", "one")) as system:
        for _ in range(2):
            with pytest.raises(NotPermitted, match="p-1 waits for a decision on greeter"):
                await system.ask(VISITORS, ASKED)
        view = await system.ask(APPROVALS, ReadProposal(ProposalId("p-1")))
        assert (view.kind, view.proposer, view.title) == ("agent", "agents/greeter", "Let greeter join")
    async with guarded(journal, tmp_path, Policy("agent", "*", "one")) as system:
        await system.ask(APPROVALS, Approve(view.proposal, view.hash, "ada", "a friend"))
        assert (await registered(system)).capabilities == ("greet",)
        with pytest.raises(NotPermitted, match="p-2 waits"):
            await system.ask(VISITORS, RegisterAgent(GREETER, ("greet", "rule"), 64))
    names = [stored.type for stored in journal.stored]
    assert (names.count("agent.registered"), names.count("proposal.proposed")) == (1, 2)


async def test_who_was_turned_down_hears_why_and_an_automatic_policy_lets_all_in(tmp_path: Path) -> None:
    async with guarded(MemoryJournal(), tmp_path, Policy("agent", "*", "one")) as system:
        with pytest.raises(NotPermitted):
            await system.ask(VISITORS, ASKED)
        view = await system.ask(APPROVALS, ReadProposal(ProposalId("p-1")))
        await system.ask(APPROVALS, Reject(view.proposal, view.hash, "ada", "a stranger"))
        with pytest.raises(NotPermitted, match="p-1 is rejected: a stranger"):
            await system.ask(VISITORS, ASKED)
    async with guarded(MemoryJournal(), tmp_path, Policy("agent", "*", "automatic")) as system:
        assert (await system.ask(VISITORS, ASKED)).agent == GREETER
    async with guarded(MemoryJournal(), tmp_path, Policy("agent", "*", "forbidden")) as system:
        with pytest.raises(NotPermitted, match="forbid"):
            await system.ask(VISITORS, ASKED)
