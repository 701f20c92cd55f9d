"""The whole market: a document is posted as a task, bid for, read, briefed, written as an artifact and paid.

The documents are the descriptions of the packages that are installed here, which nobody wrote for this. The answers
come from the extractive provider, so the baseline is that provider alone, asked the same questions one after the
other, without tasks, auctions, money or a journal: the ratio says what the society costs around the thinking.
"""

from collections.abc import AsyncIterator, Sequence
from importlib.metadata import distributions
from itertools import cycle, islice
from tempfile import TemporaryDirectory
from typing import ClassVar

import anyio
import msgspec

from actors.composition import running
from actors.config import Config
from actors.personas import DEFAULT_PERSONAS, SUMMARISE
from actors.providers import Prompt, Transport, open_provider
from actors.providers.discovery import EXTRACTIVE
from actors.router import RouterOptions
from actors.rules import agency
from actors.runtime import ActorSystem, ChildSpec, Deferred, PersistentActor, Subscription
from actors.steps import AgentOptions
from bus.address import Address
from bus.messages.artifacts import ARTIFACTS, WriteArtifact
from bus.messages.base import Event, Query, Reply
from bus.messages.tasks import COORDINATOR, CreateTask, TaskCompleted, TaskFailed, TaskSpec
from tests.bench.harness import Figure, Sample, Scale, compare_rates, stopwatch

TASKS = 200
POSTERS = 16
"""Documents that are posted at the same time; more only wait."""
REWARD_MSAT = 20_000
INSTRUCTIONS = "Write a brief of five sentences."
TIMEOUT_S = 300.0

WATCHER = Address("bench/watcher")


class Ended(Reply, frozen=True):
    """How the tasks ended."""

    wire_name = "bench.ended"

    completed: int
    failed: int


class AwaitEnds(Query[Ended], frozen=True):
    """Asks for the ends of so many tasks, as soon as there are so many."""

    wire_name = "bench.await_ends"

    tasks: int


class WatcherState(msgspec.Struct):
    """Nothing that has to survive."""


class Watcher(PersistentActor[WatcherState]):
    """Counts ends of tasks as any subscriber to facts would."""

    state_type: ClassVar[type[msgspec.Struct]] = WatcherState

    def __init__(self) -> None:
        self._completed = 0
        self._failed = 0
        self._awaited: tuple[int, Deferred[Ended]] | None = None

    def initial(self) -> WatcherState:
        return WatcherState()

    def subscriptions(self) -> tuple[Subscription, ...]:
        return (Subscription("task.completed"), Subscription("task.failed"))

    def apply(self, event: Event) -> None:
        """It records nothing."""

    def on_task_completed(self, event: TaskCompleted) -> None:
        self._completed += 1
        self._tell_if_all()

    def on_task_failed(self, event: TaskFailed) -> None:
        self._failed += 1
        self._tell_if_all()

    def on_await_ends(self, query: AwaitEnds) -> None:
        self._awaited = (query.tasks, self.defer())
        self._tell_if_all()

    def _tell_if_all(self) -> None:
        if self._awaited is not None and self._completed + self._failed >= self._awaited[0]:
            self._awaited[1].answer(Ended(self._completed, self._failed))
            self._awaited = None


async def figures(scale: Scale) -> AsyncIterator[Figure]:
    """Whole tasks a second, from the post to the end."""
    documents = tuple(islice(cycle(_documents()), scale.count(TASKS, at_least=5)))

    async def ours() -> Sample:
        return await _market(documents)

    async def baseline() -> Sample:
        return await _answers(documents)

    async for figure in compare_rates("brief tasks, posted to paid", "tasks", ours, baseline, scale=scale):
        yield figure


async def _market(documents: Sequence[str]) -> Sample:
    with TemporaryDirectory() as directory:
        config = Config(data=directory, router=RouterOptions(providers=(EXTRACTIVE,)))
        async with running(config, {}, web=False) as society:
            await society.system.start(ChildSpec(WATCHER, Watcher))
            with stopwatch() as watch:
                await _post(society.system, documents)
                ended = await society.system.ask(WATCHER, AwaitEnds(len(documents)), timeout_s=TIMEOUT_S)
    assert ended == Ended(len(documents), 0), "every task must be completed"
    return watch.sample(len(documents))


async def _post(system: ActorSystem, documents: Sequence[str]) -> None:
    limiter = anyio.CapacityLimiter(POSTERS)

    async def post(text: str) -> None:
        async with limiter:
            artifact = await system.ask(ARTIFACTS, WriteArtifact("METADATA", text), timeout_s=TIMEOUT_S)
            spec = _spec(title="Brief a document")
            task = msgspec.structs.replace(spec, input=artifact.artifact)
            await system.ask(COORDINATOR, CreateTask(task), timeout_s=TIMEOUT_S)

    async with anyio.create_task_group() as tasks:
        for text in documents:
            tasks.start_soon(post, text)


async def _answers(documents: Sequence[str]) -> Sample:
    options = AgentOptions()
    async with Transport() as transport:
        provider = open_provider(EXTRACTIVE, transport, {})
        with stopwatch() as watch:
            for text in documents:
                messages = agency.prompt(
                    DEFAULT_PERSONAS[0],
                    _spec(title="Brief a document"),
                    text,
                    document_characters_max=options.document_characters_max,
                )
                reply = await provider.complete(Prompt(messages, options.tokens_max, ""), limit_s=TIMEOUT_S)
                assert reply.text
    return watch.sample(len(documents))


def _spec(title: str) -> TaskSpec:
    return TaskSpec(title=title, instructions=INSTRUCTIONS, capability=SUMMARISE, reward_msat=REWARD_MSAT)


def _documents() -> tuple[str, ...]:
    """The metadata of every installed package, by name."""
    found = {item.metadata["Name"]: item.read_text("METADATA") for item in distributions()}
    return tuple(text for _, text in sorted(found.items()) if text)
