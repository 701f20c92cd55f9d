"""A small society under every kind of fault, and what must hold whatever happens.

Two adders are told to add by clients who retry with nothing but a new number; an echo reacts to each fact, once. While
they work, actors are killed, messages come late or never, commits fail, a subscriber stalls, the wall clock is stepped,
and the process crashes: what was not committed is gone, and a new system starts on what is left.
"""

import asyncio

import msgspec

from actors.runtime import ActorSystem, Job, SupervisionOptions
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.simulation import MemoryJournal
from actors.runtime.virtual_time import Simulation
from actors.runtime.weather import Storm
from bus.address import Address
from bus.errors import AgoraError
from bus.messages.base import Position
from tests.support.virtual import Add, Added, Adder, Echo, Echoed, ReadSum, Total, child, system_in

ADDERS = (Address("adder/1"), Address("adder/2"))
ECHO = Address("echo")
LIVES = 3
"""How often the process starts in one run."""
STEPS = 25
"""Things that happen in one life."""
BUGS = 0.1
"""The part of all commands that run into a bug of the actor's."""
PATIENT = SupervisionOptions(intensity_max=1_000)
"""Actors are killed more often here than any supervisor would bear."""
RECOVERY_S = 120.0
"""Time without faults at the end of the last life: everything must be in order after it."""


class Courier(Echo):
    """Does something outside for each fact that it has recorded: only what is committed may lead to that."""

    def __init__(self, journal: MemoryJournal, outside: list[tuple[Position, Position]]) -> None:
        self._journal = journal
        self._outside = outside

    def on_added(self, fact: Added) -> None:
        self.perform(self._deliver, self.persist(Echoed(fact.amount)))

    async def _deliver(self, job: Job, position: Position) -> None:
        self._outside.append((position, self._journal.head))


class Society:
    """One run. `answered` is what clients were told was done: it must never be undone."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._dice = simulation.dice.split("faults")
        self.journal = MemoryJournal(clock=simulation.clock)
        self._next_amount = 100
        self.answered: list[int] = []
        self.told: list[int] = []
        self.outside: list[tuple[Position, Position]] = []
        """What couriers left with, and what was committed then."""

    async def run(self) -> None:
        """Live several lives, each ended by a crash, and check everything after the last one."""
        for life in range(LIVES):
            left = await self._live(self.journal, is_last=life == LIVES - 1)
            self.journal = self.journal.truncated(left)
        self._check_journal()

    async def _live(self, journal: MemoryJournal, *, is_last: bool) -> Position:
        """One life of the process; returns the head that its crash leaves."""
        storm = None if is_last else Storm(self._dice, lost=0.05, late=0.2)
        async with system_in(self._simulation, journal, PATIENT, storm) as system:
            await system.start(
                child("echo", lambda: Courier(journal, self.outside)), *(child(address, Adder) for address in ADDERS)
            )
            async with asyncio.TaskGroup() as clients:
                for _ in range(STEPS):
                    await self._happen(system, clients)
            if is_last:
                await self._recover(system)
            return system.log.watermark  # a crash now leaves all that is committed, and nothing that is in flight

    async def _happen(self, system: ActorSystem, clients: asyncio.TaskGroup) -> None:
        drawn, dice = self._dice.random(), self._dice
        if drawn < 0.6:
            clients.create_task(self._ask(system, dice.choice(ADDERS)))
        elif drawn < 0.7:
            system.kill(dice.choice((*ADDERS, ECHO)))
        elif drawn < 0.8:
            if not system.log.buffered:  # in the middle of a batch it would add up to a disk that is gone for good
                self.journal.fail_next_writes = dice.index(3)
        elif drawn < 0.9:
            self._stall(system, dice.choice((*ADDERS, ECHO)))
        else:
            self._simulation.clock.step_wall(dice.uniform(-3_600, 3_600))
        if dice.random() < 0.7:
            await self._simulation.pass_time(dice.uniform(0, 3))

    async def _ask(self, system: ActorSystem, to: Address) -> None:
        if self._dice.random() < BUGS:
            amount = 13  # the adder fails after it has persisted
        else:
            self._next_amount += 1
            amount = self._next_amount
            self.told.append(amount)
        try:
            answer = await system.exchange(to, Add(amount), timeout_s=2)
        except AgoraError:
            return
        assert answer.position <= self.journal.head, "nothing leaves that rests on what is not committed"
        self.answered.append(amount)

    def _stall(self, system: ActorSystem, address: Address) -> None:
        states = {statistics.address: statistics.state for statistics in system.statistics()}
        if states[address] is Lifecycle.RUNNING:
            system.pause(address)
        elif states[address] is Lifecycle.PAUSED:
            system.resume(address)

    async def _recover(self, system: ActorSystem) -> None:
        """Let all faults end, and see that live state is what the events say."""
        self.journal.fail_next_writes = 0
        await self._simulation.pass_time(RECOVERY_S)
        for statistics in system.statistics():
            if statistics.state is Lifecycle.PAUSED:
                system.resume(statistics.address)
        await self._simulation.pass_time(RECOVERY_S)
        assert await system.drain(RECOVERY_S), "everything comes to rest"
        for address, snapshot in system.snapshots().items():
            assert snapshot.state == msgspec.json.encode(self._folded(address)), f"{address} is the fold of its events"

    def _folded(self, source: Address) -> Total:
        fold = Total(0, [])
        for record in self.journal.events:
            if record.source == source:
                match record.event:
                    case Added(amount):
                        fold.total += amount
                    case Echoed(amount):
                        fold.heard.append(amount)
        return fold

    def _check_journal(self) -> None:
        events = [record.event for record in self.journal.events]
        added = [event.amount for event in events if isinstance(event, Added)]
        echoed = [event.amount for event in events if isinstance(event, Echoed)]
        assert echoed == added, "each fact has its effect, in order, once"
        assert len(set(added)) == len(added), "nothing was added twice"
        assert set(self.answered) <= set(added) <= set(self.told), "what was answered is there; nothing else is"
        positions = [record.position for record in self.journal.events]
        assert positions == list(range(1, len(positions) + 1)), "positions have no gap"
        assert all(rests_on <= head for rests_on, head in self.outside), "couriers leave after the commit"
        assert self.outside, "couriers leave at all"


async def society(simulation: Simulation) -> None:
    """One run of a small society; raises AssertionError when anything that must hold does not."""
    await Society(simulation).run()


async def queries_at_the_edge(simulation: Simulation) -> None:
    """What a client reads is committed when it reads it, however slow the disk."""
    journal = MemoryJournal(clock=simulation.clock)
    async with system_in(simulation, journal) as system:
        await system.start(child(ADDERS[0], Adder))
        for amount in range(1, 10):
            journal.fail_next_writes = simulation.dice.index(2)
            system.tell(ADDERS[0], Add(amount))
            reply = await system.ask(ADDERS[0], ReadSum())
            committed = sum(record.event.amount for record in journal.events if isinstance(record.event, Added))
            assert reply.total <= committed, "nothing leaves that rests on what is not committed"
