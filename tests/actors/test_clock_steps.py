"""The clock on the wall is set while a system runs, and while none does: it is said, and nothing else changes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from actors.history import JournalHistory
from actors.journal import Journal
from actors.journal_options import JournalOptions
from actors.runtime import ActorSystem, ChildSpec, GroupCommitLog
from actors.saving import RunIdentity
from bus.clock import SystemClock
from bus.codec import Catalogue
from bus.dice import Dice
from bus.envelope import StoredEvent
from bus.messages.base import RunId
from bus.messages.catalogue import EVENTS
from bus.messages.system import JOURNAL, ReadEvents, SummariseEvents, SystemWarning
from storage.checkpoints import CheckpointStore
from storage.events import EventStore
from tests.actors.test_journal import COUNTER, TIMEOUT_S, Committed, Counter, TakeSteps

HOUR_S = 3_600


class SetClock(SystemClock):
    """The machine's, and what somebody has set it by."""

    set_by_s = 0

    def now_us(self) -> int:
        return super().now_us() + self.set_by_s * 1_000_000


class Running(msgspec.Struct):
    """A system and its clock."""

    system: ActorSystem
    committed: Committed

    async def step(self) -> None:
        await self.system.ask(COUNTER, TakeSteps(1), timeout_s=TIMEOUT_S)

    async def warning(self, count: int = 1) -> str:
        """What the last of so many warnings says."""
        return _text((await self.committed.first(SystemWarning.wire_name, count))[-1])


def _text(event: StoredEvent) -> str:
    return msgspec.json.decode(event.data, type=dict[str, str])["text"]


@asynccontextmanager
async def _running(directory: Path, clock: SetClock) -> AsyncIterator[Running]:
    off = JournalOptions(checkpoint_every_events=0, checkpoint_every_s=0, checkpoint_every_steps=0)
    async with (
        EventStore.open(directory, Catalogue(EVENTS), clock) as events,
        CheckpointStore.open(off.checkpoints_in(directory)) as checkpoints,
    ):
        history = JournalHistory(events, None)
        log = GroupCommitLog(events, head=events.head, epoch=events.epoch, clock=clock)
        committed = Committed(log)
        async with ActorSystem(log=log, history=history, clock=clock, dice=Dice(1)) as system:

            def journal() -> Journal:
                return Journal(
                    events=events,
                    checkpoints=checkpoints,
                    history=history,
                    log=log,
                    copies=system.copies,
                    identity=RunIdentity(RunId("r-1"), "abc", "0.1.0"),
                    options=off,
                )

            await system.start(ChildSpec(COUNTER, Counter), ChildSpec(JOURNAL, journal))
            yield Running(system, committed)


@pytest.mark.parametrize(("by_s", "said"), [(-HOUR_S, "set back by 3,600 s"), (HOUR_S, "went forward by 3,600 s")])
async def test_a_clock_that_is_set_is_said_once_and_positions_and_order_are_unharmed(
    tmp_path: Path, by_s: int, said: str
) -> None:
    clock = SetClock()
    async with _running(tmp_path, clock) as run:
        await run.step()
        clock.set_by_s = by_s
        await run.step()
        assert said in await run.warning()
        await run.step()
        page = await run.system.ask(JOURNAL, ReadEvents(is_newest_first=False))
        assert [event.position for event in page.events] == [1, 2, 3, 4]
        assert sum(event.type == SystemWarning.wire_name for event in page.events) == 1
        assert (await run.system.ask(JOURNAL, SummariseEvents(2 * HOUR_S))).total == 4


async def test_a_clock_that_was_set_back_while_nothing_ran_is_said_at_the_start(tmp_path: Path) -> None:
    clock = SetClock()
    async with _running(tmp_path, clock) as run:
        await run.step()
    clock.set_by_s = -HOUR_S
    async with _running(tmp_path, clock) as run:
        assert "behind the newest event: it was set back" in await run.warning()
        await run.step()
        page = await run.system.ask(JOURNAL, ReadEvents(is_newest_first=False))
        assert [event.position for event in page.events] == [1, 2, 3]
