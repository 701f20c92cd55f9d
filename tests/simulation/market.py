"""The whole market under every kind of fault: post, bid, work, pay, crash.

The coordinator, the ledger, the artifacts, the router and the agents are the real ones; only the disk and the models
are scripted. Clients post, look, cancel and retry. Meanwhile actors are killed, messages come late or never, commits
fail and take their time, actors stall, the wall clock is stepped, checkpoints are taken, and the process crashes: what
was not committed is gone, and a new system starts on what is left. What a client was told must be so for ever.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import msgspec

from actors.agent import Agent
from actors.artifacts import Artifacts, ArtifactsOptions
from actors.coordinator import Coordinator
from actors.floor import CoordinatorOptions
from actors.ledger import Ledger, LedgerOptions
from actors.runtime import ActorSystem, ChildSpec, PersistentActor, SupervisionOptions
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.virtual_time import Simulation
from actors.runtime.weather import Storm
from actors.steps import AgentOptions
from bus.address import Address
from bus.canonical import canonical
from bus.errors import AgoraError
from bus.messages.agents import PauseAgent, Persona, ResumeAgent, agent_address
from bus.messages.artifacts import ARTIFACTS, ReadArtifactContent, WriteArtifact
from bus.messages.base import AgentId, ArtifactId, Message, Request, TaskId
from bus.messages.completions import ROUTER
from bus.messages.ledger import LEDGER, CheckConservation
from bus.messages.system import JOURNAL
from bus.messages.tasks import COORDINATOR, CancelTask, CreateTask, ReadTask, TaskSpec, TaskState
from tests.simulation.market_checks import check_events, check_rest
from tests.simulation.market_parts import MODELS, Disk, ScriptedModel, ScriptedRouter, Shelf
from tests.support.virtual import system_in

R = TypeVar("R", bound=Message)

LIVES = 3
"""How often the process starts in one run."""
STEPS = 20
"""Things that happen in one life."""
GENESIS_MSAT = 9_000
"""Enough for some tasks at once, and not for all."""
DOCUMENT = "A river carries sand. Sand becomes stone. Stone becomes a mountain."
PATIENT = SupervisionOptions(intensity_max=1_000)
"""Actors are killed more often here than any supervisor would bear."""
TIMEOUT_S = 3.0
RECOVERY_S = 30.0
RECOVERIES_MAX = 60
"""Looks without faults at the end of the last life: everything must be in order by then."""
ENDED = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED, TaskState.EXPIRED})

PERSONAS = (
    Persona("scout", ("summarise",), "You are brief.", 300, price_per_1000_characters_msat=100),
    Persona("editor", ("summarise", "review"), "You are exact.", 350, concurrency_max=2),
)
AGENTS = tuple(AgentId(persona.name) for persona in PERSONAS)
ACTORS = (LEDGER, ARTIFACTS, COORDINATOR, ROUTER, *(agent_address(agent) for agent in AGENTS))
"""Everyone who can be killed or stalled."""


class Market:
    """One run. What clients know is kept over all lives of the process."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._dice = simulation.dice.split("faults")
        self.disk = Disk(simulation.dice.split("disk"), simulation.clock)
        self._wanted: dict[str, TaskSpec] = {}
        self._accepted: dict[str, TaskId] = {}
        self._ended: dict[TaskId, TaskState] = {}
        """What clients were told of tasks that had ended."""
        self._input = ArtifactId("")

    async def run(self) -> None:
        """Live several lives, each ended by a crash, and check everything after the last one."""
        for life in range(LIVES):
            await self._live(is_last=life == LIVES - 1)
        ends = check_rest(self.disk.events)
        assert set(self._accepted.values()) <= set(ends), "what was accepted is there"
        for task, told in self._ended.items():
            assert ends[task] is told, f"what was told of {task} stays true"

    async def _live(self, *, is_last: bool) -> None:
        disk = self.disk
        storm = Storm(self._dice, lost=0.03, late=0.15)
        models = {name: ScriptedModel(disk, self._dice.split(name)) for name in MODELS}
        async with system_in(self._simulation, disk, PATIENT, storm) as system:
            await system.start(ChildSpec(JOURNAL, lambda: Shelf(disk)), *_specs(models))
            async with asyncio.TaskGroup() as clients:
                begun = []
                for _ in range(STEPS):
                    begun.extend(self._happen(system, clients))
                    await self._simulation.pass_time(self._dice.uniform(0, 2))
                if not is_last:  # the crash: what is on disk now is all that is left
                    self.disk = disk.left_by_crash()
                    for client in begun:
                        client.cancel()
            if is_last:
                storm.calm()
                await self._recover(system, models)
        check_events(self.disk.events)

    def _happen(self, system: ActorSystem, clients: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        drawn, dice = self._dice.random(), self._dice
        if drawn < 0.65:
            return [clients.create_task(self._be_client(system), name="a client")]
        if drawn < 0.75:
            system.kill(dice.choice(ACTORS))
        elif drawn < 0.81:
            if not system.log.buffered:  # in the middle of a batch it would add up to a disk that is gone for good
                self.disk.fail_next_writes = dice.index(3)
        elif drawn < 0.88:
            _stall(system, dice.choice(ACTORS))
        elif drawn < 0.93:
            self._checkpoint(system)
        else:
            self._simulation.clock.step_wall(dice.uniform(-3_600, 3_600))
        return []

    async def _be_client(self, system: ActorSystem) -> None:
        drawn, dice = self._dice.random(), self._dice
        try:
            if drawn < 0.5 or not self._accepted:
                await self._post(system)
            elif drawn < 0.75:
                await self._look(system, dice.choice(tuple(self._accepted.values())))
            elif drawn < 0.8:
                await self._ask(system, COORDINATOR, CancelTask(dice.choice(tuple(self._accepted.values()))))
            elif drawn < 0.85:
                await self._ask(system, agent_address(dice.choice(AGENTS)), dice.choice((PauseAgent(), ResumeAgent())))
            elif drawn < 0.95:
                assert (await self._ask(system, LEDGER, CheckConservation())).is_conserved, "money is conserved"
            elif self._input:
                content = await self._ask(system, ARTIFACTS, ReadArtifactContent(self._input))
                assert content.text == DOCUMENT, "an artifact never changes"
        except AgoraError:
            return  # the client gives up; another may try again

    async def _post(self, system: ActorSystem) -> None:
        """Post a task, a new one or one whose fate is unknown; twice is once."""
        if not self._input:
            document = WriteArtifact("document", DOCUMENT, idempotency_key="document")
            self._input = (await self._ask(system, ARTIFACTS, document)).artifact
        if not self._wanted or self._dice.random() < 0.7:
            key = f"task {len(self._wanted) + 1}"
            self._wanted[key] = TaskSpec(
                title=key,
                capability=self._dice.choice(("summarise", "summarise", "review", "paint")),
                reward_msat=self._dice.choice((500, 1_000, 2_000)),
                input=self._dice.choice((self._input, ArtifactId(""))),
                deadline_s=self._dice.choice((0.0, 0.0, 60.0)),
            )
        await self._create(system, self._dice.choice(tuple(self._wanted)))

    async def _create(self, system: ActorSystem, key: str) -> None:
        accepted = await self._ask(system, COORDINATOR, CreateTask(self._wanted[key], key))
        assert self._accepted.setdefault(key, accepted.task) == accepted.task, "the same key is the same task"

    async def _look(self, system: ActorSystem, task: TaskId) -> TaskState:
        view = await self._ask(system, COORDINATOR, ReadTask(task))
        if view.state in ENDED:
            assert self._ended.setdefault(task, view.state) is view.state, f"{task} ends once"
        return view.state

    async def _ask(self, system: ActorSystem, to: Address, request: Request[R]) -> R:
        answer = await system.exchange(to, request, timeout_s=TIMEOUT_S)
        assert max(answer.position, answer.after) <= self.disk.head, (
            "nothing leaves that rests on what is not committed"
        )
        return answer.message

    def _checkpoint(self, system: ActorSystem) -> None:
        for address, snapshot in system.snapshots().items():
            if snapshot.position <= self.disk.head:
                self.disk.snapshots[address] = snapshot

    async def _recover(self, system: ActorSystem, models: dict[str, ScriptedModel]) -> None:
        """Let all faults end, and see that every task ends and live state is what the events say."""
        self.disk.fail_next_writes = 0
        for model in models.values():
            model.is_healthy = True
        await self._simulation.pass_time(RECOVERY_S)
        for statistics in system.statistics():
            if statistics.state is Lifecycle.PAUSED:
                system.resume(statistics.address)
        await self._simulation.pass_time(RECOVERY_S)
        for agent in AGENTS:
            await self._ask(system, agent_address(agent), ResumeAgent())
        for key in self._wanted:
            await self._create(system, key)
        for _ in range(RECOVERIES_MAX):
            await self._simulation.pass_time(RECOVERY_S)
            if all([await self._look(system, task) in ENDED for task in self._accepted.values()]):
                break
        assert await system.drain(RECOVERY_S), "everything comes to rest"
        for address, snapshot in system.snapshots().items():
            assert snapshot.state == self._folded(address), f"{address} is the fold of its events"

    def _folded(self, address: Address) -> bytes:
        spec = next(spec for spec in _specs({}) if spec.address == address)
        actor = spec.factory()
        assert isinstance(actor, PersistentActor)
        actor.state = actor.initial()
        for record in self.disk.events:
            if record.source == address:
                actor.apply(record.event)
        state: msgspec.Struct = actor.state
        return canonical(state)


def _specs(models: dict[str, ScriptedModel]) -> tuple[ChildSpec, ...]:
    """The society in its start order."""
    return (
        ChildSpec(LEDGER, lambda: Ledger(LedgerOptions(GENESIS_MSAT))),
        ChildSpec(ARTIFACTS, lambda: Artifacts(ArtifactsOptions())),
        ChildSpec(COORDINATOR, lambda: Coordinator(CoordinatorOptions(lease_s=15.0))),
        ChildSpec(ROUTER, lambda: ScriptedRouter(models)),
        *(ChildSpec(agent_address(AgentId(persona.name)), _agent(persona)) for persona in PERSONAS),
    )


def _agent(persona: Persona) -> Callable[[], Agent]:
    return lambda: Agent(AgentId(persona.name), persona, AgentOptions(completion_deadline_s=30.0))


def _stall(system: ActorSystem, address: Address) -> None:
    states = {statistics.address: statistics.state for statistics in system.statistics()}
    if states[address] is Lifecycle.RUNNING:
        system.pause(address)
    elif states[address] is Lifecycle.PAUSED:
        system.resume(address)


async def market(simulation: Simulation) -> None:
    """One run of the whole market; raises AssertionError when anything that must hold does not."""
    await Market(simulation).run()
