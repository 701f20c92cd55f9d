"""A market whose agents need no time: tasks from the post to the payment at full durability, nothing thought.

The coordinator, the ledger and the journal are the real ones; the agents bid at once and complete what they win at
once, so that what is measured is the market itself. `OPEN` tasks are posted and not yet paid at any time.
"""

import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import anyio
import anyio.lowlevel
import msgspec

from actors import interpreter
from actors.coordinator import Coordinator
from actors.floor import CoordinatorOptions
from actors.history import JournalHistory
from actors.ledger import Ledger, LedgerOptions
from actors.runtime import Actor, ActorSystem, ChildSpec, GroupCommitLog, PersistentActor, Subscription
from bus.address import Address
from bus.clock import SystemClock
from bus.codec import Catalogue
from bus.messages.agents import AgentJoined, Persona, agent_address
from bus.messages.base import AgentId, ArtifactId, Event, Reply, Request, TaskId
from bus.messages.catalogue import EVENTS
from bus.messages.ledger import LEDGER, CheckConservation, TransferPosted
from bus.messages.tasks import (
    COORDINATOR,
    BidderChanged,
    CompleteTask,
    CreateTask,
    ReadTask,
    SubmitBid,
    TaskAssigned,
    TaskBidding,
    TaskSpec,
    TaskState,
)
from storage.events import EventStore
from tests.bench.harness import Sample, stopwatch
from tests.bench.journal import saturated

OPEN = 1_000
AGENTS = 4
REWARD_MSAT = 1_000
LONG_S = 3_600.0
WARM_SHARE = 0.4
"""Of the tasks, posted before the memory is measured: the journal's page cache is full by then, and so are buffers."""
TIMEOUT_S = 300.0
POSTER = Address("bench/poster")
FILLER = Address("bench/filler")


class NoState(msgspec.Struct):
    """Nothing that has to survive."""


class InstantAgent(PersistentActor[NoState]):
    """Bids on everything and completes what it wins, in the turn in which it hears of it."""

    state_type: ClassVar[type[msgspec.Struct]] = NoState
    mailbox_size_max: ClassVar[int] = 16_384

    def __init__(self, agent: AgentId, price_msat: int, hands: int) -> None:
        self._agent = agent
        self._price_msat = price_msat
        self._hands = hands

    def initial(self) -> NoState:
        return NoState()

    def subscriptions(self) -> tuple[Subscription, ...]:
        return (Subscription("task.bidding"), Subscription("task.assigned", agent=self._agent))

    def apply(self, event: Event) -> None:
        """It remembers nothing."""

    def on_recovered(self) -> None:
        persona = Persona(self._agent, ("work",), "You are quick.", self._price_msat, concurrency_max=self._hands)
        self.persist(AgentJoined(self._agent, persona))

    def on_task_bidding(self, event: TaskBidding) -> None:
        self.tell(COORDINATOR, SubmitBid(event.task, self._agent, self._price_msat))

    def on_task_assigned(self, event: TaskAssigned) -> None:
        self.tell(COORDINATOR, CompleteTask(event.task, self._agent, event.attempt, ArtifactId("a-1"), "done"))


class Paid(Reply, frozen=True):
    """All is paid."""

    wire_name = "bench.paid"

    tasks: int


class PostAll(Request[Paid], frozen=True):
    """Asks for so many tasks, `OPEN` at a time, and for the moment when the last is paid."""

    wire_name = "bench.post_all"

    tasks: int


class Joined(Request[Paid], frozen=True):
    """Asks for the moment when so many agents may bid."""

    wire_name = "bench.joined"

    agents: int


class Poster(PersistentActor[NoState]):
    """Posts a task for each that is paid, so that there are always as many open."""

    state_type: ClassVar[type[msgspec.Struct]] = NoState

    def __init__(self) -> None:
        self._left = self._unpaid = self._tasks = self._members = 0

    def initial(self) -> NoState:
        return NoState()

    def subscriptions(self) -> tuple[Subscription, ...]:
        return (Subscription("transfer.posted"), Subscription("bidder.changed"))

    def apply(self, event: Event) -> None:
        """It records nothing."""

    def on_joined(self, request: Joined) -> None:
        self._awaited, self._joined = request.agents, self.defer()
        self._tell_if_joined()

    def on_bidder_changed(self, event: BidderChanged) -> None:
        self._members += 1
        self._tell_if_joined()

    def on_post_all(self, request: PostAll) -> None:
        self._done = self.defer()
        self._tasks = self._left = self._unpaid = request.tasks
        for _ in range(min(OPEN, request.tasks)):
            self._post()

    def on_transfer_posted(self, event: TransferPosted) -> None:
        if not event.hold:
            return
        self._unpaid -= 1
        if self._left:
            self._post()
        elif not self._unpaid:
            self._done.answer(Paid(self._tasks))

    def _post(self) -> None:
        self._left -= 1
        spec = TaskSpec("Name the moons of Mars", capability="work", reward_msat=REWARD_MSAT)
        self.tell(COORDINATOR, CreateTask(spec))

    def _tell_if_joined(self) -> None:
        if hasattr(self, "_joined") and self._members == self._awaited:
            self._joined.answer(Paid(0))


class Speaker(PersistentActor[NoState]):
    """An agent that only joins; its bids are sent for it."""

    state_type: ClassVar[type[msgspec.Struct]] = NoState

    def __init__(self, agent: AgentId) -> None:
        self._agent = agent

    def initial(self) -> NoState:
        return NoState()

    def apply(self, event: Event) -> None:
        """It remembers nothing."""

    def on_recovered(self) -> None:
        self.persist(AgentJoined(self._agent, Persona(self._agent, ("rare",), "You are rare.", 100)))


class Filler(Actor):
    """Posts tasks that nobody can do, so that their auctions stay open."""

    async def on_post_all(self, request: PostAll) -> Paid:
        for number in range(request.tasks):
            spec = TaskSpec(f"Name moon {number} of Saturn", capability="astronomy", reward_msat=1)
            await self.send(COORDINATOR, CreateTask(spec), timeout_s=TIMEOUT_S)
        return Paid(request.tasks)


@asynccontextmanager
async def market(agents: int = AGENTS, *, hands: int = OPEN) -> AsyncIterator[ActorSystem]:
    """The real market on a real journal in a fresh directory, its agents ready."""
    interpreter.share()  # as when it is served
    clock = SystemClock()
    with TemporaryDirectory() as directory:
        async with EventStore.open(Path(directory), Catalogue(EVENTS), clock) as store:
            log = GroupCommitLog(store, head=store.head, epoch=store.epoch, clock=clock)
            async with ActorSystem(log=log, history=JournalHistory(store, None), clock=clock) as system:
                await system.start(
                    ChildSpec(LEDGER, lambda: Ledger(LedgerOptions())),
                    ChildSpec(COORDINATOR, lambda: Coordinator(CoordinatorOptions(bid_window_s=LONG_S))),
                    ChildSpec(POSTER, Poster),
                )
                for number in range(agents):
                    agent = AgentId(f"agent-{number}")
                    make = partial(InstantAgent, agent, 100 + number, hands)
                    await system.start(ChildSpec(agent_address(agent), make))
                await system.ask(POSTER, Joined(agents), timeout_s=TIMEOUT_S)
                yield system


async def decided_ms(agents: int) -> float:
    """From the last of so many bids on one task to the moment when its winner is on disk."""
    async with market(0) as system:
        spec = TaskSpec("Name the moons of Mars", capability="rare", reward_msat=REWARD_MSAT)
        bidders = [AgentId(f"late-{number}") for number in range(agents)]
        for bidder in bidders:
            await system.start(ChildSpec(agent_address(bidder), partial(Speaker, bidder)))
        await system.ask(POSTER, Joined(agents), timeout_s=TIMEOUT_S)
        task = (await system.ask(COORDINATOR, CreateTask(spec))).task
        await _open(system, task)
        for number, bidder in enumerate(bidders[:-1]):
            await system.ask_inside(COORDINATOR, SubmitBid(task, bidder, 1_000 - number % 500), timeout_s=TIMEOUT_S)
        started = time.perf_counter()
        answer = await system.ask(COORDINATOR, SubmitBid(task, bidders[-1], 1_000))
        elapsed_s = time.perf_counter() - started
        assert answer.state is TaskState.ASSIGNED
    return elapsed_s * 1_000


async def open_tasks_mb(tasks: int) -> float:
    """What so many open auctions with held rewards take in memory, the coordinator and the ledger together."""
    async with market(0) as system:
        await system.start(ChildSpec(FILLER, Filler))
        warm = round(tasks * WARM_SHARE)
        await system.ask(FILLER, PostAll(warm), timeout_s=TIMEOUT_S)
        await _open(system, TaskId(f"t-{warm}"))
        before_mb = _resident_mb()
        await system.ask(FILLER, PostAll(tasks), timeout_s=TIMEOUT_S)
        await _open(system, TaskId(f"t-{tasks + warm}"))
        return _resident_mb() - before_mb


async def _open(system: ActorSystem, task: TaskId) -> None:
    """Wait until the task's auction is open."""
    with anyio.fail_after(TIMEOUT_S):
        while (await system.ask(COORDINATOR, ReadTask(task))).state is not TaskState.BIDDING:
            await anyio.lowlevel.checkpoint()


def _resident_mb() -> float:
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


async def paid_tasks(tasks: int, *, is_saturated: bool = False) -> Sample:
    """So many tasks from the post to the payment, `OPEN` at a time; beside them, perhaps, a loop that never rests."""
    async with market() as system:
        with stopwatch() as watch, saturated(is_saturated):
            await system.ask(POSTER, PostAll(tasks), timeout_s=TIMEOUT_S)
        assert (await system.ask(LEDGER, CheckConservation())).is_conserved
    return watch.sample(tasks)
