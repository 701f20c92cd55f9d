"""What an agent needs around it, scripted: a coordinator that says what it is told to, artifacts, and a router."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from actors.agent import Agent
from actors.memory import Memory
from actors.quotas import Quotas
from actors.rules.quotas import QuotasOptions
from actors.runtime import Actor, ActorSystem, ChildSpec, PersistentActor
from actors.runtime.simulation import MemoryJournal
from actors.steps import AgentOptions
from bus.errors import Refused
from bus.messages.agents import Persona, agent_address
from bus.messages.artifacts import (
    ARTIFACTS,
    ArtifactContent,
    ArtifactView,
    ReadArtifact,
    ReadArtifactContent,
    WriteArtifact,
)
from bus.messages.base import AgentId, ArtifactId, BlobId, Command, CompletionId, Done, Event, Message, Request, TaskId
from bus.messages.completions import ROUTER, CancelCompletion, Complete, Completion, ReadRouter, RouterView
from bus.messages.memory import MEMORY
from bus.messages.quotas import QUOTAS
from bus.messages.tasks import (
    COORDINATOR,
    CompleteTask,
    DeclineBid,
    FailTask,
    LeaseRenewed,
    ReadTask,
    RenewLease,
    StartWork,
    SubmitBid,
    TaskAccepted,
    TaskAssigned,
    TaskBidding,
    TaskCompleted,
    TaskSpec,
    TaskState,
    TaskView,
)
from bus.refusals import IllegalTransition, NotFound

AGENT = "scout"
UNTIL_MAX_S = 30.0
"""What a test waits for something that takes milliseconds; passing it is a failure."""

E = TypeVar("E", bound=Event)
M = TypeVar("M", bound=Message)
R = TypeVar("R", bound=Message)


class Say(Command[Done], frozen=True):
    """Sent by a test: record this event as the coordinator's."""

    wire_name = "say"

    event: Event


class Nothing(msgspec.Struct):
    """A state without content."""


class ScriptedCoordinator(PersistentActor[Nothing]):
    """Records what it is told to say, and keeps what agents say to it."""

    state_type = Nothing

    def __init__(self, heard: "Heard") -> None:
        self._heard = heard

    def initial(self) -> Nothing:
        return Nothing()

    def apply(self, event: Event) -> None:
        return

    def on_say(self, message: Say) -> Done:
        self.persist(message.event)
        return Done()

    def on_read_task(self, message: ReadTask) -> TaskView:
        view = self._heard.tasks.get(message.task)
        if view is None:
            raise NotFound("task", message.task)
        return view

    def on_command(self, message: SubmitBid | DeclineBid | StartWork | CompleteTask | FailTask) -> TaskAccepted:
        self._heard.add(message)
        self._refuse_if_told(message)
        return TaskAccepted(message.task, TaskState.RUNNING)

    def on_renew_lease(self, message: RenewLease) -> LeaseRenewed:
        self._heard.add(message)
        self._refuse_if_told(message)
        return LeaseRenewed(message.task, self._heard.lease_s)

    def _refuse_if_told(self, message: Message) -> None:
        if isinstance(message, self._heard.refuses):
            raise IllegalTransition("task", "someone else's", "touched")


class ScriptedArtifacts(Actor):
    """One text for every artifact, and a number for each that is written."""

    def __init__(self, heard: "Heard") -> None:
        self._heard = heard

    def on_read_artifact(self, message: ReadArtifact) -> ArtifactView:
        return self._view(message.artifact)

    def on_read_content(self, message: ReadArtifactContent) -> ArtifactContent:
        if self._heard.document is None:
            raise NotFound("artifact", message.artifact)
        return ArtifactContent(self._view(message.artifact), self._heard.document)

    def on_write_artifact(self, message: WriteArtifact) -> ArtifactView:
        self._heard.add(message)
        return self._view(ArtifactId("a-9"))

    def _view(self, artifact: ArtifactId) -> ArtifactView:
        size = len(self._heard.document or "")
        return ArtifactView(artifact, "name", "text/plain", size, BlobId("0"), "", TaskId(""), 0)


class ScriptedRouter(Actor):
    """Answers each completion with the next thing of its script, and the last one for ever."""

    def __init__(self, heard: "Heard") -> None:
        self._heard = heard

    def on_complete(self, message: Complete) -> Completion | None:
        self._heard.add(message)
        script = self._heard.answers
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, Refused):
            raise answer
        if answer is None:
            # Never answered: the test ends or cancels the step meanwhile.
            self.defer()
            return None
        return answer

    def on_cancel_completion(self, message: CancelCompletion) -> Done:
        self._heard.add(message)
        return Done()

    def on_read_router(self, message: ReadRouter) -> RouterView:
        self._heard.add(message)
        return RouterView((), 0, 0, 0, 0, 0, self._heard.is_exhausted, 0)


ANSWER = Completion(
    completion=CompletionId("m-1"),
    text="A brief.",
    provider="extractive",
    model="sentences",
    tokens_in=10,
    tokens_out=5,
    cost_usd_micros=0,
    finish_reason="stop",
    elapsed_s=0.1,
    attempts=(),
)


class Heard:
    """What the scripted actors were sent, and what they shall answer."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.tasks: dict[TaskId, TaskView] = {}
        self.document: str | None = "A document. It has two sentences."
        self.answers: list[Completion | Refused | None] = [ANSWER]
        self.refuses: tuple[type[Message], ...] = ()
        self.lease_s = 30.0
        self.is_exhausted = False
        """What the router says of the budgets that all share."""
        self.changed = asyncio.Event()

    def add(self, message: Message) -> None:
        self.messages.append(message)
        self.changed.set()

    def of(self, kind: type[M]) -> list[M]:
        """The messages of one class, in order."""
        return [message for message in self.messages if isinstance(message, kind)]


class Society:
    """One agent among scripted others, on a journal in memory. A second one on the same journal is a restart."""

    def __init__(
        self,
        persona: Persona | None,
        *,
        journal: MemoryJournal,
        heard: Heard,
        options: AgentOptions,
        quotas: QuotasOptions | None = None,
    ) -> None:
        self._quotas = quotas
        self.journal = journal
        self.heard = heard
        self.agent = AgentId(AGENT)
        self._persona = persona
        self._options = options

    async def __aenter__(self) -> Self:
        log = self.journal.log
        log.on_commit(lambda _: self.heard.changed.set())
        self._system = ActorSystem(log=log, history=self.journal)
        await self._system.__aenter__()
        agent, persona, options, heard = self.agent, self._persona, self._options, self.heard
        quotas = self._quotas
        await self._system.start(
            ChildSpec(COORDINATOR, lambda: ScriptedCoordinator(heard)),
            ChildSpec(ARTIFACTS, lambda: ScriptedArtifacts(heard)),
            ChildSpec(ROUTER, lambda: ScriptedRouter(heard)),
            ChildSpec(QUOTAS, lambda: Quotas(quotas or QuotasOptions())),
            ChildSpec(MEMORY, Memory),
            ChildSpec(agent_address(agent), lambda: Agent(agent, persona, options, has_quotas=quotas is not None)),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._system.__aexit__(kind, error, trace)

    def kill(self) -> None:
        """Let the agent's actor fail as a bug would; its supervisor decides."""
        self._system.kill(agent_address(self.agent))

    async def say(self, event: Event) -> None:
        """Let the coordinator record an event."""
        await self._system.ask(COORDINATOR, Say(event))

    async def offer(self, task: str = "t-1", *, capability: str = "summarise", reward: int = 1_000) -> None:
        """Open an auction."""
        spec = TaskSpec(title="Brief", capability=capability, reward_msat=reward, input=ArtifactId("a-1"))
        self.heard.tasks[TaskId(task)] = TaskView(
            task=TaskId(task), state=TaskState.ASSIGNED, spec=spec, created_us=0, updated_us=0, attempt=1
        )
        closes_us = self._system.clock.now_us() + 60_000_000
        await self.say(TaskBidding(TaskId(task), 1, "Brief", capability, reward, "lowest_price", 0, closes_us))

    async def assign(self, task: str = "t-1", *, attempt: int = 1, price: int = 300) -> None:
        """Give the task to the agent, whether it bid or not."""
        if TaskId(task) not in self.heard.tasks:
            await self.offer(task)
        spec = self.heard.tasks[TaskId(task)].spec
        await self.say(TaskAssigned(TaskId(task), self.agent, attempt, price, self.heard.lease_s, spec))

    async def ask(self, request: Request[R]) -> R:
        """Ask the agent."""
        return await self._system.ask(agent_address(self.agent), request)

    async def ask_memory(self, request: Request[R]) -> R:
        """Ask the memory."""
        return await self._system.ask(MEMORY, request)

    def pause_memory(self) -> None:
        """Let the memory answer nobody."""
        self._system.pause(MEMORY)

    async def tell_and_wait(self, request: Request[Message]) -> None:
        """Ask the agent for the sake of its refusal."""
        await self._system.ask(agent_address(self.agent), request)

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until something was heard or recorded that makes `holds` true; at most `UNTIL_MAX_S`."""
        async with asyncio.timeout(UNTIL_MAX_S):
            while not holds():
                self.heard.changed.clear()
                await self.heard.changed.wait()

    def recorded(self, kind: type[E]) -> list[E]:
        """The agent's committed events of one class."""
        return [event for record in self.journal.events if isinstance(event := record.event, kind)]


T1, T2 = TaskId("t-1"), TaskId("t-2")
SCOUT = AgentId(AGENT)
FLAT = Persona(name="scout", capabilities=("summarise",), prompt="You read.", price_msat=300)
BY_LENGTH = Persona(
    name="scout", capabilities=("summarise",), prompt="", price_msat=300, price_per_1000_characters_msat=100
)
REMEMBERING = Persona(name="scout", capabilities=("summarise",), prompt="You read.", price_msat=300, remembers=True)
QUICK = AgentOptions(retry_wait_s=0.01, budget_retry_s=30.0, heartbeat_s=0.02, backlog_max=1)


def society(
    persona: Persona | None = FLAT,
    journal: MemoryJournal | None = None,
    heard: Heard | None = None,
    options: AgentOptions = QUICK,
    quotas: QuotasOptions | None = None,
) -> Society:
    """An agent among others, on a journal of its own unless one is given."""
    return Society(persona, journal=journal or MemoryJournal(), heard=heard or Heard(), options=options, quotas=quotas)


def completed(task: TaskId, attempt: int = 1) -> TaskCompleted:
    """The coordinator's word that the agent's result is accepted."""
    return TaskCompleted(task, SCOUT, attempt, 300, ArtifactId("a-9"), "")
