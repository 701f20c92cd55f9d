"""A coordinator and a ledger on a journal in memory, with scripted agents around them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from actors.coordinator import Coordinator
from actors.floor import CoordinatorOptions
from actors.ledger import Ledger, LedgerOptions
from actors.runtime import ActorSystem, ChildSpec, GroupCommitLog, PersistentActor, Subscription
from actors.runtime.simulation import MemoryJournal
from bus.clock import SystemClock
from bus.envelope import Recorded
from bus.messages.agents import AgentJoined, AgentLeft, AgentStatus, AgentStatusName, agent_address
from bus.messages.base import AgentId, ArtifactId, BlobId, Command, Done, Event, Message, Position, Request, TaskId
from bus.messages.ledger import LEDGER, Balances, CheckConservation, ReadBalances
from bus.messages.tasks import (
    COORDINATOR,
    CompleteTask,
    CreateTask,
    Invite,
    ReadTask,
    StartWork,
    SubmitBid,
    TaskAssigned,
    TaskBidding,
    TaskSpec,
    TaskState,
    TaskView,
)
from tests.support.market import persona, spec

UNTIL_MAX_S = 30.0
"""What a test waits for something that takes milliseconds; passing it is a failure."""
LONG_S = 3_600.0
"""A time that never passes in a test."""

E = TypeVar("E", bound=Event)
R = TypeVar("R", bound=Message)


class Say(Command[Done], frozen=True):
    """Sent by a test: record this as the agent's own event."""

    wire_name = "say"

    event: Event


class Nothing(msgspec.Struct):
    """A state without content."""


class Puppet(PersistentActor[Nothing]):
    """An agent that records what it is told to, and keeps the invitations that it gets."""

    state_type = Nothing

    def __init__(self, agent: str, invitations: list[TaskBidding], changed: asyncio.Event) -> None:
        self._agent = AgentId(agent)
        self._invitations = invitations
        self._changed = changed

    def initial(self) -> Nothing:
        return Nothing()

    def apply(self, event: Event) -> None:
        return

    def on_say(self, message: Say) -> Done:
        self.persist(message.event)
        return Done()

    def on_task_bidding(self, message: TaskBidding) -> None:
        self._invitations.append(message)
        self._changed.set()

    def on_invite(self, message: Invite) -> None:
        self.on_task_bidding(message.bidding)


class Worker(Puppet):
    """An agent that bids its price on everything and finishes what it wins at once.

    It remembers nothing: after a restart it hears all facts again and repeats itself, which must do no harm.
    """

    def __init__(self, agent: str, price_msat: int, invitations: list[TaskBidding], changed: asyncio.Event) -> None:
        super().__init__(agent, invitations, changed)
        self._price_msat = price_msat

    def subscriptions(self) -> tuple[Subscription, ...]:
        return (Subscription("task.bidding"), Subscription("task.assigned", agent=self._agent))

    def on_task_bidding(self, message: TaskBidding) -> None:
        self.tell(COORDINATOR, SubmitBid(message.task, self._agent, self._price_msat))

    def on_task_assigned(self, fact: TaskAssigned) -> None:
        self.tell(COORDINATOR, StartWork(fact.task, self._agent, fact.attempt))
        self.tell(COORDINATOR, CompleteTask(fact.task, self._agent, fact.attempt, ArtifactId("a-1"), "done"))


class TurnLog(GroupCommitLog):
    """Notes where each turn ends: a turn is appended whole, so these are the places where a crash can cut."""

    def __init__(self, journal: MemoryJournal, ends: list[Position]) -> None:
        super().__init__(journal, head=journal.head, epoch=1, clock=SystemClock())
        self._ends = ends

    def append(self, records: Sequence[Recorded], blobs: Mapping[BlobId, bytes] | None = None) -> None:
        super().append(records, blobs)
        self._ends.append(records[-1].position)


class Marketplace:
    """Open it with `async with`; a second one on the same journal is a restart."""

    def __init__(
        self,
        *,
        journal: MemoryJournal | None = None,
        puppets: tuple[str, ...] = (),
        workers: dict[str, int] | None = None,
        options: CoordinatorOptions | None = None,
        ledger: LedgerOptions | None = None,
    ) -> None:
        self.journal = journal or MemoryJournal()
        self._puppets = puppets
        self._workers = workers or {}
        self.invitations: dict[str, list[TaskBidding]] = {agent: [] for agent in (*puppets, *self._workers)}
        self._options = options or CoordinatorOptions(bid_window_s=LONG_S, invite_delay_s=0.01)
        self._ledger = ledger or LedgerOptions()
        self._changed = asyncio.Event()
        self.turn_ends: list[Position] = []

    async def __aenter__(self) -> Self:
        log = TurnLog(self.journal, self.turn_ends)
        log.on_commit(lambda _: self._changed.set())
        self._system = ActorSystem(log=log, history=self.journal)
        await self._system.__aenter__()
        try:
            await self._system.start(
                ChildSpec(LEDGER, lambda: Ledger(self._ledger)),
                ChildSpec(COORDINATOR, lambda: Coordinator(self._options)),
            )
            for agent in self._puppets:
                await self._start(agent, partial(Puppet, agent, self.invitations[agent], self._changed))
            for agent, price in self._workers.items():
                await self._start(agent, partial(Worker, agent, price, self.invitations[agent], self._changed))
        except BaseException:
            await self._system.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._system.__aexit__(kind, error, trace)

    async def _start(self, agent: str, make: Callable[[], Puppet]) -> None:
        await self._system.start(ChildSpec(agent_address(AgentId(agent)), make))

    async def join(self, agent: str, *capabilities: str, concurrency_max: int = 1) -> None:
        """Let an agent join, and wait until the coordinator knows."""
        event = AgentJoined(AgentId(agent), persona(agent, *capabilities, concurrency_max=concurrency_max))
        await self.say(agent, event)

    async def join_once(self, *agents: str) -> None:
        """Let those agents join that have not done so before a restart."""
        known = {event.agent for event in self.recorded(AgentJoined)}
        for agent in agents:
            if AgentId(agent) not in known:
                await self._system.ask(agent_address(AgentId(agent)), Say(AgentJoined(AgentId(agent), persona(agent))))

    async def leave(self, agent: str) -> None:
        """Let an agent leave, and wait until the coordinator knows."""
        await self.say(agent, AgentLeft(AgentId(agent), "it is no longer configured"))

    async def idle(self, agent: str) -> None:
        """Let an agent say that it is idle."""
        await self._system.ask(agent_address(AgentId(agent)), Say(AgentStatus(AgentId(agent), AgentStatusName.IDLE)))

    async def say(self, agent: str, event: AgentJoined | AgentLeft | AgentStatus) -> None:
        """Let an agent record what changes its part in the market, and wait until the coordinator knows."""
        before = len(self.recorded_names("bidder.changed"))
        await self._system.ask(agent_address(AgentId(agent)), Say(event))
        await self.until(lambda: len(self.recorded_names("bidder.changed")) > before)

    async def post(self, of: TaskSpec | None = None, key: str = "") -> TaskId:
        """Post a task, and wait until its first auction is open."""
        task = await self.create(of, key)
        await self.until(lambda: any(event.task == task for event in self.recorded(TaskBidding)))
        return task

    async def create(self, of: TaskSpec | None = None, key: str = "") -> TaskId:
        """Post a task."""
        return (await self.ask(CreateTask(of or spec(), key))).task

    async def assigned(self, agent: str = "scout", of: TaskSpec | None = None) -> TaskId:
        """A task that the agent has won for 100 msat, being the only one that is free."""
        task = await self.post(of)
        await self.bid(task, agent, 100)
        await self.until_state(task, TaskState.ASSIGNED)
        return task

    async def bid(self, task: TaskId, agent: str, price_msat: int) -> None:
        await self.ask(SubmitBid(task, AgentId(agent), price_msat))

    async def ask(self, request: Request[R]) -> R:
        """Ask the coordinator."""
        return await self._system.ask(COORDINATOR, request)

    async def ask_ledger(self, request: Request[R]) -> R:
        """Ask the ledger."""
        return await self._system.ask(LEDGER, request)

    async def view(self, task: TaskId) -> TaskView:
        return await self.ask(ReadTask(task))

    async def net(self, account: str) -> int:
        """An account's net in msat."""
        balances = await self.ask_ledger(ReadBalances())
        return _net(balances, account)

    async def is_conserved(self) -> bool:
        return (await self.ask_ledger(CheckConservation())).is_conserved

    async def until_state(self, task: TaskId, state: TaskState) -> TaskView:
        """Wait until the task is in a state."""
        async with asyncio.timeout(UNTIL_MAX_S):
            while (view := await self.view(task)).state is not state:
                self._changed.clear()
                await self._changed.wait()
        return view

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until something was recorded or heard that makes `holds` true."""
        async with asyncio.timeout(UNTIL_MAX_S):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    def recorded(self, kind: type[E]) -> list[E]:
        """The committed events of one class."""
        return [event for record in self.journal.events if isinstance(event := record.event, kind)]

    def recorded_names(self, *names: str) -> list[str]:
        """The names of the committed events, of all or of some."""
        return [stored.type for stored in self.journal.stored if not names or stored.type in names]


def _net(balances: Balances, account: str) -> int:
    return sum(one.net for one in balances.balances if one.account == account and one.currency == "msat")
