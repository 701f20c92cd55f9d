"""The whole society under every kind of fault: post, bid, work, pay, approve, watch, crash.

It is the society that is served: the composition root makes it, on the journal's twin instead of a disk, with scripted
models, and behind the real application. People ask it; programs of others bid and work over live sockets; watchers
follow everything. Meanwhile actors are killed, messages come late or never, commits fail and take their time, actors
and readers stall, connections are lost, the wall clock is stepped, checkpoints are taken, and the process crashes: what
was not committed is gone, and a new one starts on what is left. What anyone outside was told must be so for ever.
"""

import asyncio
import hashlib

import msgspec

from actors.composition import edge_of, populate
from actors.config import Config
from actors.floor import CoordinatorOptions
from actors.ledger import LedgerOptions
from actors.population import persistent_actor, population
from actors.rules.overview import Overview
from actors.runtime import ActorSystem, ChildSpec, SupervisionOptions
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.virtual_time import Simulation
from actors.runtime.weather import Storm
from actors.steps import AgentOptions
from bus.address import Address
from bus.canonical import canonical
from bus.messages.agents import Persona
from bus.messages.base import MAIN_RUN, AgentId, TaskId
from bus.messages.system import BROADCASTER, JOURNAL
from bus.messages.tasks import TaskCreated
from bus.messages.upgrades import UPGRADES
from tests.simulation.market_checks import check_events, check_leases, check_rest
from tests.simulation.market_edge import EPOCH, Door, Guest, Page, Watcher
from tests.simulation.market_operators import ENDED, Operators
from tests.simulation.market_parts import MODELS, PROVIDERS, Disk, Net, ScriptedModel, Shelf, scripted
from tests.simulation.market_streams import Reader
from tests.simulation.market_visitors import Program
from tests.support.virtual import system_in
from web.app import build_app
from web.auth import Keyring, Principal
from web.hub import Hub
from web.options import WebOptions
from web.ring import Ring
from web.wire import encode, encode_event

LIVES = 3
"""How often the process starts in one run."""
STEPS = 20
"""Things that happen in one life."""
GENESIS_MSAT = 9_000
"""Enough for some tasks at once, and not for all."""
RING_EVENTS = 48
"""So few that a client which was away reads from the journal until it meets the ring."""
LEASE_S = 15.0
PATIENT = SupervisionOptions(intensity_max=1_000)
"""Actors are killed more often here than any supervisor would bear."""
RECOVERY_S = 30.0
RECOVERIES_MAX = 60
"""Looks without faults at the end of the last life: everything must be in order by then."""

PERSONAS = (
    Persona("scout", ("summarise",), "You are brief.", 300, price_per_1000_characters_msat=100),
    Persona("editor", ("summarise", "review"), "You are exact.", 350, concurrency_max=2, remembers=True),
)
AGENTS = tuple(AgentId(persona.name) for persona in PERSONAS)
PAINTER, READER = AgentId("painter"), AgentId("reader")
"""Programs of others."""
CONFIG = Config(
    data="/a directory that is never opened",
    coordinator=CoordinatorOptions(lease_s=LEASE_S),
    ledger=LedgerOptions(GENESIS_MSAT),
    agents=AgentOptions(completion_deadline_s=30.0),
    has_default_personas=False,
    personas=PERSONAS,
)
OUTSIDE = frozenset({UPGRADES})
"""Whose whole work is outside: a file, and the process above the server."""


class Market:
    """One run. What anyone outside knows is kept over all lives of the process."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._dice = simulation.dice.split("faults")
        self.disk = Disk(simulation.dice.split("disk"), simulation.clock)
        self.problems: list[str] = []
        """What clients have seen that must not be."""
        self._operators = Operators(self, simulation.dice.split("operators"), AGENTS)
        self._watcher = Watcher("the watcher", self, simulation.dice.split("watcher"))
        self._reader = Reader("the reader", self, simulation.dice.split("stream"))
        self._page = Page("the page", self, simulation.dice.split("page"))

    async def run(self) -> None:
        """Live several lives, each ended by a crash, and check everything after the last one."""
        async with asyncio.TaskGroup() as outside:
            dice = self._simulation.dice
            self._programs = (
                Program(PAINTER, ("paint", "summarise"), self, dice.split(PAINTER), outside),
                Program(READER, ("review",), self, dice.split(READER), outside),
            )
            guests: tuple[Guest, ...] = (self._watcher, self._reader, self._page, *self._programs)
            visits = [outside.create_task(guest.run(), name=guest.name) for guest in guests]
            for life in range(LIVES):
                await self._live(guests, is_last=life == LIVES - 1)
            for visit in visits:
                visit.cancel()
            for program in self._programs:
                program.rest()
        self._check()

    async def _live(self, guests: tuple[Guest, ...], *, is_last: bool) -> None:
        disk = self.disk
        storm = Storm(self._dice, lost=0.03, late=0.15)
        models = {name: ScriptedModel(disk, self._dice.split(name), self.problems) for name in MODELS}
        net = Net(self._dice.split("net"))
        async with system_in(self._simulation, disk, PATIENT, storm) as system:
            ring = Ring(EPOCH, MAIN_RUN, events_max=RING_EVENTS, bytes_max=1_000_000)
            hub = Hub(epoch=EPOCH, ring=ring, clock=self._simulation.clock)
            await populate(system, _people(system, disk, hub, models, net))
            async with asyncio.TaskGroup() as tasks:
                door = Door(build_app(edge_of(system, hub, self._keyring(), WebOptions())), tasks)
                door.begin(hub.run(), "the hub")
                try:
                    for guest in guests:
                        guest.door = door
                    for _ in range(STEPS):
                        self._happen(system, door)
                        await self._simulation.pass_time(self._dice.uniform(0, 2))
                    if is_last:
                        storm.calm()
                        await self._recover(system, models, guests)
                    else:  # the crash: what is on disk now is all that is left
                        self.disk = disk.left_by_crash()
                finally:
                    door.shut()
        check_events(self.disk.events)

    def _happen(self, system: ActorSystem, door: Door) -> None:
        drawn, dice = self._dice.random(), self._dice
        if drawn < 0.65:
            door.begin(self._operators.act(system), "an operator")
        elif drawn < 0.75:
            system.kill(dice.choice(tuple(_states(system))))
        elif drawn < 0.81:
            if not system.log.buffered:  # in the middle of a batch it would add up to a disk that is gone for good
                self.disk.fail_next_writes = dice.index(3)
        elif drawn < 0.88:
            _stall(system, dice.choice(tuple(_states(system))))
        elif drawn < 0.93:
            self._checkpoint(system)
        else:
            self._simulation.clock.step_wall(dice.uniform(-3_600, 3_600))

    def _checkpoint(self, system: ActorSystem) -> None:
        for address, snapshot in system.snapshots().items():
            if snapshot.position <= self.disk.head:
                self.disk.snapshots[address] = snapshot

    def _keyring(self) -> Keyring:
        keyring = Keyring(self._simulation.clock)
        for program in self._programs:
            token = Principal(f"agents/{program.agent}", frozenset(("read", "agent")), program.agent)
            keyring.add_digest(hashlib.sha256(program.token.encode()).digest(), token)
        return keyring

    async def _recover(self, system: ActorSystem, models: dict[str, ScriptedModel], guests: tuple[Guest, ...]) -> None:
        """Let all faults end, and see that every task ends and live state is what the events say."""
        self.disk.fail_next_writes = 0
        for model in models.values():
            model.is_healthy = True
        for guest in guests:
            guest.is_calm = True
        await self._simulation.pass_time(RECOVERY_S)
        for statistics in system.statistics():
            if statistics.state is Lifecycle.PAUSED:
                system.resume(statistics.address)
        await self._simulation.pass_time(RECOVERY_S)
        await self._operators.go_on(system)
        for _ in range(RECOVERIES_MAX):
            await self._simulation.pass_time(RECOVERY_S)
            if all([await self._operators.look(system, task) in ENDED for task in self._created()]):
                break
        assert await system.drain(RECOVERY_S), "everything comes to rest"
        await self._simulation.pass_time(RECOVERY_S)
        for address, snapshot in system.snapshots().items():
            assert snapshot.state == self._folded(address), f"{address} is the fold of its events"

    def _created(self) -> list[TaskId]:
        return [record.event.task for record in self.disk.events if isinstance(record.event, TaskCreated)]

    def _folded(self, address: Address) -> bytes:
        if address == BROADCASTER:
            return canonical(self._overview().state)
        actor = persistent_actor(CONFIG, address)
        assert actor is not None, f"{address} can be folded"
        for record in self.disk.events:
            if record.source == address:
                actor.apply(record.event)
        state: msgspec.Struct = actor.state
        return canonical(state)

    def _overview(self) -> Overview:
        overview = Overview(providers=MODELS, budget_run_usd_micros=CONFIG.router.budget_run_usd_micros)
        for record in self.disk.events:
            overview.apply(record)
        return overview

    def _check(self) -> None:
        """What must be so when all is over."""
        assert not self.problems, "; ".join(self.problems)
        ends = check_rest(self.disk.events)
        assert set(self._operators.accepted.values()) <= set(ends), "what was accepted is there"
        for task, told in self._operators.ended.items():
            assert ends[task] is told, f"what was told of {task} stays true"
        journal = [encode_event(event, EPOCH) for event in self.disk.stored]
        assert self._watcher.seen == journal, "what was shown is the journal, to the byte"
        assert self._reader.seen == journal, "over plain HTTP as well"
        shown, overview = self._page.state, msgspec.json.decode(encode(self._overview().view()), type=dict[str, object])
        assert {key: shown[key] for key in overview} == overview, "what the page shows is what the events add up to"
        renewed_s = {(one.agent, *of): at_s for one in self._programs for of, at_s in one.renewed.items()}
        check_leases(self.disk.events, self.disk.committed_s, renewed_s, LEASE_S)


def _people(
    system: ActorSystem, disk: Disk, hub: Hub, models: dict[str, ScriptedModel], net: Net
) -> tuple[ChildSpec, ...]:
    """The served society, with the journal's twin and scripted models."""
    journal = ChildSpec(JOURNAL, lambda: Shelf(disk))
    people = population(CONFIG, system=system, journal=journal, history=disk, hub=hub, providers=PROVIDERS)
    return tuple(scripted(spec, models, net) for spec in people if spec.address not in OUTSIDE)


def _states(system: ActorSystem) -> dict[Address, Lifecycle]:
    return {statistics.address: statistics.state for statistics in system.statistics()}


def _stall(system: ActorSystem, address: Address) -> None:
    state = _states(system)[address]
    if state is Lifecycle.RUNNING:
        system.pause(address)
    elif state is Lifecycle.PAUSED:
        system.resume(address)


async def market(simulation: Simulation) -> None:
    """One run of the whole market; raises AssertionError when anything that must hold does not."""
    await Market(simulation).run()
