"""Random days of a society under a chain of checkpoints: each one is what a look at everybody would have found.

The chain is cut as the journal cuts it, of what was touched alone, while turns, timers, crashes, stops and starts go
on, and some saves fail. Each saved checkpoint is read back and held against the fold of the events up to where each
state says that it stands; where nothing is under way, against a copy of everybody too; and at the end a start from the
newest is held against a start from the events alone.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.last_copies import LastCopies
from actors.runtime import Actor, ActorSystem, ChildSpec, PersistentActor, Snapshot, Stand, Subscription
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.simulation import MemoryJournal
from actors.runtime.supervision import SupervisionOptions
from bus.address import Address
from bus.canonical import canonical
from bus.dice import Dice
from bus.envelope import StoredEvent
from bus.errors import Undeliverable
from bus.messages.base import Command, Done, Event, Message, Position, Query, Reply
from storage.checkpoints import CheckpointStore
from storage.manifests import ActorState, state_hash
from tests.storage.writer import description

pytestmark = pytest.mark.slow

NAMES = tuple(Address(name) for name in ("ledger", "agents/scout", "agents/scribe", "agents/critic"))
COUNT = Address("count")
TIMEOUT_S = 20.0
TIMERS_PASS_S = 0.03
"""After which each timer has told what it had to tell."""
HEAVY = 2_000
"""Texts of the ledger's state: more than a slice of the loop, so that turns come between the pieces of a copy."""


class Give(Command[Done], frozen=True):
    """Sent to have something recorded, now or after a timer."""

    wire_name = "test.give"

    amount: int
    is_later: bool = False


class Later(Message, frozen=True):
    """Told to itself by a timer."""

    wire_name = "test.later"

    amount: int


class Look(Query["Seen"], frozen=True):
    """Sent to learn the state."""

    wire_name = "test.look"


class Seen(Reply, frozen=True):
    """The state, as canonical JSON."""

    wire_name = "test.seen"

    state: bytes


class Given(Event, frozen=True):
    """Recorded for what was given, with what the dice said."""

    wire_name = "test.given"

    amount: int
    face: int


class Heard(Event, frozen=True):
    """Recorded by each other actor that minds a fact."""

    wire_name = "test.heard"

    amount: int


class Tally(msgspec.Struct):
    """What is remembered of one's own doings and of the others'."""

    given: list[int] = []
    heard: list[int] = []
    texts: list[str] = []


class Member(PersistentActor[Tally]):
    """Records what it is given, and each even amount that others were given; of odd ones it only moves its cursor."""

    state_type = Tally

    def initial(self) -> Tally:
        return Tally(texts=[f"text {number} " * 20 for number in range(HEAVY if self.address == NAMES[0] else 1)])

    def subscriptions(self) -> tuple[Subscription, ...]:
        return (Subscription(Given.wire_name),)

    def apply(self, event: Event) -> None:
        fold(self.state, event)

    def on_give(self, command: Give) -> Done:
        if command.is_later:
            self.start_timer(f"{command.amount}", 0.002, Later(command.amount))
        else:
            self.persist(Given(command.amount, self.dice.index(6)))
        return Done()

    def on_later(self, later: Later) -> None:
        self.persist(Given(later.amount, self.dice.index(6)))

    def on_given(self, fact: Given) -> None:
        if fact.amount % 2 == 0:
            self.persist(Heard(fact.amount))

    def on_look(self, query: Look) -> Seen:
        return Seen(canonical(self.state))


class Counted(msgspec.Struct):
    """How many events are durable."""

    events: int


class Count(Actor):
    """A projection: it changes with every commit, and nobody touches it."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal

    def snapshot(self) -> Snapshot:
        stand = self.stand()
        return Snapshot(stand.position, stand.cursor, canonical(stand.state))

    def stand(self) -> Stand:
        head = self._journal.head
        return Stand(head, head, Counted(head), head, follows=True)


def fold(tally: Tally, event: Event) -> None:
    """What an event makes of a state."""
    match event:
        case Given(amount, face):
            tally.given = [*tally.given, amount * 10 + face]
        case Heard(amount):
            tally.heard = [*tally.heard, amount]
        case _:
            raise AssertionError(event)


class Day:
    """One society, its journal, and the chain of checkpoints over it."""

    def __init__(self, system: ActorSystem, journal: MemoryJournal, store: CheckpointStore) -> None:
        self._system = system
        self._journal = journal
        self._store = store
        self._last = LastCopies()
        self._saved: dict[Address, ActorState] = {}
        self._amount = 0
        self.newest = ""

    async def do(self, step: str, number: int) -> None:
        """One thing that happens to one actor; one that is not there is left alone."""
        address = NAMES[number % len(NAMES)]
        try:
            match step:
                case "give" | "give later":
                    self._amount += 1
                    self._system.tell(address, Give(self._amount, step == "give later"))
                case "kill":
                    self._system.kill(address)
                case "stop":
                    await self._system.stop_actor(address)
                case "start":
                    await self._system.start(ChildSpec(address, Member))
                case "hold":
                    self._pause_or_resume(address)
                case "wait":
                    await asyncio.sleep(0.001 * number)
        except (Undeliverable, ValueError):
            pass  # it is not there, or it is there already

    def _pause_or_resume(self, address: Address) -> None:
        state = {one.address: one.state for one in self._system.statistics()}.get(address)
        if state is Lifecycle.RUNNING:
            self._system.pause(address)
        elif state is Lifecycle.PAUSED:
            self._system.resume(address)

    async def cut(self, during: Sequence[tuple[str, int]], *, is_saved: bool) -> None:
        """A checkpoint of what was touched, with the rest of the day going on meanwhile."""
        copying = asyncio.ensure_future(self._system.copies(self._last.number))
        for step in during:
            await asyncio.sleep(0)
            await self.do(*step)
        await self._last.take(await copying, self._saved)
        await self._system.log.committed(self._last.highest)
        if not is_saved or not self._last.states:
            return
        last = self._last
        told = msgspec.structs.replace(description(), behind=last.behind)
        view = await self._store.save(told, last.states, keep=(), changes=last.changes)
        self._saved = {
            address: state if state.follows else _moved(state, last.position) for address, state in last.states.items()
        }
        last.were_saved()
        self.newest = view.checkpoint
        await self._prove()

    async def begin_anew(self) -> None:
        """The journal's actor starts again, and knows only what was saved."""
        self._last = LastCopies()

    async def come_to_rest(self) -> None:
        """Everybody is there and has nothing left to do."""
        for address in NAMES:
            await self.do("start", NAMES.index(address))
        for one in self._system.statistics():
            if one.state is Lifecycle.PAUSED:
                self._system.resume(one.address)
        before = Position(0)
        while before != self._system.log.head:  # whoever looks twice has heard what came of the first look
            before = self._system.log.head
            for address in NAMES * 2:
                await self._system.ask(address, Look(), timeout_s=TIMEOUT_S)
            await asyncio.sleep(TIMERS_PASS_S)
        await self._system.log.committed(before)

    async def compare_with_everybody(self) -> None:
        """At rest, the chain's newest is a copy of all there are."""
        await self.cut((), is_saved=True)
        found = (await self._store.load(self.newest)).actors
        everybody = self._system.snapshots()
        assert {address: state.state for address, state in found.items()} == {
            address: snapshot.state for address, snapshot in everybody.items()
        }
        (view, *_) = await self._store.list()
        whole = {a: ActorState.of(s.position, s.cursor, s.state) for a, s in everybody.items()}
        assert view.state_hash == state_hash(whole)

    async def _prove(self) -> None:
        checkpoint = await self._store.load(self.newest)
        for address, state in checkpoint.actors.items():
            if address == COUNT:
                assert state.state == canonical(Counted(state.position))
            else:
                assert state.state == _folded(self._journal.stored, address, state.position), (address, state.position)
                waiting = _facts_between(self._journal.stored, address, state.cursor, state.position)
                assert not waiting or address in (checkpoint.view.behind or ()), (address, state.cursor, waiting)


def _moved(state: ActorState, position: Position) -> ActorState:
    return msgspec.structs.replace(state, position=max(state.position, position))


def _events(stored: Sequence[StoredEvent]) -> list[Event]:
    types = {Given.wire_name: Given, Heard.wire_name: Heard}
    return [msgspec.json.decode(event.data, type=types[event.type]) for event in stored]


def _folded(stored: Sequence[StoredEvent], address: Address, upto: Position) -> bytes:
    tally = Tally(texts=[f"text {number} " * 20 for number in range(HEAVY if address == NAMES[0] else 1)])
    for event in _events([one for one in stored if one.source == address and one.position <= upto]):
        fold(tally, event)
    return canonical(tally)


def _facts_between(stored: Sequence[StoredEvent], address: Address, after: Position, upto: Position) -> list[Position]:
    """Those of others that it would have recorded something of."""
    facts = [e for e in stored[after:upto] if e.type == Given.wire_name and e.source != address]
    return [e.position for e, given in zip(facts, _events(facts), strict=True) if _is_minded(given)]


def _is_minded(event: Event) -> bool:
    return isinstance(event, Given) and event.amount % 2 == 0


def _system(journal: MemoryJournal) -> ActorSystem:
    patient = SupervisionOptions(intensity_max=1_000, backoff_first_s=0.001, backoff_max_s=0.002)
    return ActorSystem(log=journal.log, history=journal, dice=Dice(1), supervision=patient)


def _everybody(journal: MemoryJournal) -> list[ChildSpec]:
    return [*(ChildSpec(address, Member) for address in NAMES), ChildSpec(COUNT, lambda: Count(journal))]


async def _started_again(journal: MemoryJournal) -> dict[Address, bytes]:
    """The states once every fact is handled."""
    async with _system(journal) as system:
        await system.start(*_everybody(journal))
        return {address: (await system.ask(address, Look(), timeout_s=TIMEOUT_S)).state for address in NAMES}


STEP = st.tuples(
    st.sampled_from(["give", "give", "give", "give later", "kill", "stop", "start", "hold", "wait"]), st.integers(0, 3)
)
DAYS = st.lists(
    st.one_of(
        STEP,
        STEP,
        st.tuples(st.just("cut"), st.lists(STEP, max_size=6), st.booleans()),
        st.tuples(st.sampled_from(["rest", "begin anew"])),
    ),
    max_size=30,
)


@given(DAYS)
@settings(max_examples=40)
def test_a_chain_of_checkpoints_is_what_a_look_at_everybody_would_have_found(
    steps: list[tuple[str, int] | tuple[str, list[tuple[str, int]], bool] | tuple[str]],
) -> None:
    async def live() -> None:
        journal = MemoryJournal()
        with tempfile.TemporaryDirectory() as directory:
            async with CheckpointStore.open(Path(directory)) as store:
                async with _system(journal) as system:
                    await system.start(*_everybody(journal))
                    day = Day(system, journal, store)
                    for step in steps:
                        match step:
                            case ("cut", list(during), bool(is_saved)):
                                await day.cut(during, is_saved=is_saved)
                            case ("rest",):
                                await day.come_to_rest()
                                await day.compare_with_everybody()
                            case ("begin anew",):
                                await day.begin_anew()
                            case (str(word), int(number)):
                                await day.do(word, number)
                    await day.cut((), is_saved=True)
                saved = (await store.load(day.newest)).actors if day.newest else {}
        snapshots = {a: Snapshot(s.position, s.cursor, s.state) for a, s in saved.items() if a != COUNT}
        alone = await _started_again(MemoryJournal(journal.events))
        assert await _started_again(MemoryJournal(journal.events, snapshots=snapshots)) == alone

    asyncio.run(live())
