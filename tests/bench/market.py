"""The whole market: a document is posted as a task, bid for, read, briefed, written as an artifact and paid.

The documents are the descriptions of the packages that are installed here, which nobody wrote for this. The answers
come from the extractive provider, so the baseline is that provider alone, asked the same questions one after the
other, without tasks, auctions, money or a journal: the ratio says what the society costs around the thinking.

The market by itself is measured with agents that need no time (`tests.bench.instant`).
"""

from collections.abc import AsyncIterator, Sequence
from functools import partial
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
from tests.bench.harness import Aim, Figure, Sample, Scale, compare_rates, figure, median, stopwatch, take_turns
from tests.bench.instant import decided_ms, open_tasks_mb, paid_tasks

TASKS = 200
POSTERS = 16
"""Documents that are posted at the same time; more only wait."""
REWARD_MSAT = 20_000
INSTRUCTIONS = "Write a brief of five sentences."
TIMEOUT_S = 300.0
INSTANT_TASKS = 10_000
TASKS_PER_S = 1_000.0
BIDDERS = 1_000
DECIDED_MS_MAX = 50.0
OPEN_TASKS = 100_000
OPEN_MB_MAX = 200.0

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

    async for one in compare_rates("brief tasks, posted to paid", "tasks", ours, baseline, scale=scale):
        yield one
    async for one in _instant(scale):
        yield one


async def _instant(scale: Scale) -> AsyncIterator[Figure]:
    """The market alone, its agents instant."""
    tasks = scale.count(INSTANT_TASKS, at_least=50)
    idle, busy = partial(paid_tasks, tasks), partial(paid_tasks, tasks, is_saturated=True)
    with_busy, with_idle = await take_turns(busy, idle, scale)
    rates = [median([sample.done / sample.wall_s for sample in samples]) for samples in (with_idle, with_busy)]
    aim = Aim(TASKS_PER_S)
    yield figure("instant tasks, posted to paid, 1,000 open", "tasks/s", rates[0], None, scale=scale, aim=aim)
    yield figure("the same beside a saturated loop", "tasks/s", rates[1], rates[0], scale=scale, aim=Aim(0.5))
    elapsed_ms = median([await decided_ms(scale.count(BIDDERS, at_least=5)) for _ in range(min(3, scale.rounds))])
    aim = Aim(DECIDED_MS_MAX, "at_most")
    yield figure("1,000 bids decided after the last", "ms", elapsed_ms, None, scale=scale, aim=aim)
    size_mb = await open_tasks_mb(scale.count(OPEN_TASKS, at_least=100))
    yield figure("100,000 open tasks in memory", "MB", size_mb, None, scale=scale, aim=Aim(OPEN_MB_MAX, "at_most"))


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
