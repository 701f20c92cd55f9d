"""Checkpoints of much state: ten thousand actors of nine kilobytes, as they are saved while the loop goes on.

How late the loop is, is what a task that wakes every millisecond finds; the baseline is the same task beside nothing.
What is measured is the whole way: the copies, the chunks, the transaction with its sync, and back again to states.
"""

import asyncio
import gc
import random
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from actors import interpreter
from actors.last_copies import LastCopies
from actors.runtime import ActorSystem, ChildSpec, PersistentActor
from actors.runtime.simulation import MemoryJournal
from bus.address import Address
from bus.messages.base import AgentId, Command, Done, Event, RunId, TaskId
from bus.messages.tasks import BidSubmitted
from storage.checkpoints import CheckpointStore
from storage.manifests import Description
from tests.bench.harness import Aim, Figure, Scale, figure, median

ACTORS = 10_000
ENTRIES = 60
"""Of some 150 bytes each."""
WORDS = ("task", "agent", "ledger", "transfer", "auction", "bid", "lease", "brief", "model", "budget", "hold", "post")
ROUNDS = 3
BEAT_S = 0.001
DESCRIPTION = Description("manual", 0, RunId("main"), 0, "", 1, "", "")


class Note(Command[Done], frozen=True):
    """Sent to have one entry changed."""

    wire_name = "bench.note"

    number: int


class Notes(msgspec.Struct):
    """What an actor keeps."""

    texts: dict[str, str] = {}


class Writer(PersistentActor[Notes]):
    """Keeps texts that no other actor has."""

    state_type = Notes

    def __init__(self, number: int) -> None:
        self._number = number

    def initial(self) -> Notes:
        dice = random.Random(self._number)
        return Notes({f"entry-{n}": " ".join(dice.choices(WORDS, k=20)) + str(dice.random()) for n in range(ENTRIES)})

    def apply(self, event: Event) -> None:
        assert isinstance(event, BidSubmitted)
        self.state.texts[f"entry-{event.attempt % ENTRIES}"] = f"changed {event.price_msat} {event.attempt}"

    def on_note(self, command: Note) -> Done:
        self.persist(BidSubmitted(TaskId("t-1"), AgentId("bench"), command.number, command.number))
        return Done()


class Saved(msgspec.Struct, frozen=True):
    """What one save took."""

    elapsed_s: float
    tidied_s: float
    """What followed it: chunks that nothing uses any more went, and the log was copied."""
    written_bytes: int
    size_bytes: int
    state_bytes: int


class Society:
    """The actors, and a store for their checkpoints."""

    def __init__(self, system: ActorSystem, store: CheckpointStore, actors: int) -> None:
        self.system = system
        self._store = store
        self._actors = actors
        self._last = LastCopies()

    async def change(self, one_in: int, round_: int) -> None:
        """Let some of the actors change a little."""
        for number in range(round_, self._actors, one_in):
            await self.system.ask(Address(f"agents/{number}"), Note(round_ * self._actors + number))

    async def save(self) -> Saved:
        """A checkpoint of all, as the journal's actor makes one."""
        began_s = time.perf_counter()
        last = self._last
        await last.take(await self.system.copies(last.number), {})
        view = await self._store.save(DESCRIPTION, last.states, keep=(), changes=last.changes)
        last.were_saved()
        elapsed_s = time.perf_counter() - began_s
        await self._store.list()  # after what follows a save: another one is minutes away
        tidied_s = time.perf_counter() - began_s - elapsed_s
        return Saved(elapsed_s, tidied_s, view.written_bytes, view.size_bytes, sum(view.actors.values()))


async def figures(scale: Scale) -> AsyncIterator[Figure]:
    """Whole, with little changed, and read again."""
    interpreter.share()  # as when it is served
    with TemporaryDirectory() as directory:
        wholes: list[Saved] = []
        lags: list[tuple[float, float]] = []
        parts: list[Saved] = []
        recoveries: list[float] = []
        idle = [await _lag_beside(asyncio.sleep(0.3)) for _ in range(1 if scale.is_quick else ROUNDS)]
        for round_ in range(1 if scale.is_quick else ROUNDS):
            place = Path(directory) / str(round_)
            async with AsyncExitStack() as stack:
                society = await _opened(stack, place, scale.count(ACTORS))
                gc.collect()
                gc.freeze()  # as a society does after its start: what was folded lives long
                stack.callback(gc.unfreeze)
                saving = asyncio.create_task(society.save())
                lags.append(await _lag_beside(saving))
                wholes.append(await saving)
                for change in range(ROUNDS):
                    await society.change(100, change)
                    parts.append(await society.save())
            recoveries.append(await _recovered(place))
    mega = wholes[0].state_bytes / 1e6
    name = f"checkpoint of {mega:.0f} MB"
    yield figure(f"{name}: whole", "ms", median([one.elapsed_s * 1e3 for one in wholes]), None, scale=scale)
    excess = median([p99 for p99, _ in lags]) - median([p99 for p99, _ in idle])
    yield figure(f"{name}: loop lag p99 over idle", "ms", max(0.0, excess), None, scale=scale, aim=Aim(5, "at_most"))
    longest = median([worst for _, worst in lags])
    yield figure(f"{name}: loop lag at most", "ms", longest, None, scale=scale, aim=Aim(20, "at_most"))
    share = median([one.written_bytes / wholes[0].written_bytes for one in parts]) * 100
    yield figure(f"{name}: 1 % changed, bytes", "% of the whole", share, None, scale=scale, aim=Aim(2, "at_most"))
    took = median([one.elapsed_s * 1e3 for one in parts])
    yield figure(f"{name}: 1 % changed, time", "ms", took, None, scale=scale, aim=Aim(50, "at_most"))
    tidied = median([one.tidied_s * 1e3 for one in parts])
    yield figure(f"{name}: 1 % changed, what follows beside all else", "ms", tidied, None, scale=scale)
    back = median(recoveries)
    yield figure(f"recovery of {mega:.0f} MB of state", "s", back, None, scale=scale, aim=Aim(1.5, "at_most"))


async def _opened(stack: AsyncExitStack, place: Path, actors: int) -> Society:
    journal = MemoryJournal()
    store = await stack.enter_async_context(CheckpointStore.open(place))
    system = await stack.enter_async_context(ActorSystem(log=journal.log, history=journal))
    for number in range(actors):
        await system.start(ChildSpec(Address(f"agents/{number}"), lambda number=number: Writer(number)))  # type: ignore[misc]  # a default binds the number of this turn
    return Society(system, store, actors)


async def _lag_beside(work: Awaitable[object]) -> tuple[float, float]:
    """How late a task is that wakes every millisecond while the work runs: p99 and the most, in ms."""
    late_ms: list[float] = []
    working = asyncio.ensure_future(work)
    while not working.done():
        due_s = time.perf_counter() + BEAT_S
        await asyncio.sleep(BEAT_S)
        late_ms.append((time.perf_counter() - due_s) * 1e3)
    late_ms.sort()
    return late_ms[len(late_ms) * 99 // 100], late_ms[-1]


async def _recovered(place: Path) -> float:
    """From the file to the states of all actors."""
    began_s = time.perf_counter()
    async with CheckpointStore.open(place) as store:
        found = await store.load_newest()
        assert found is not None
        for state in found.actors.values():
            msgspec.json.decode(state.state, type=Notes)
    return time.perf_counter() - began_s
