"""The upgrades' shell: what it asks of the process above, and what it records of its judgement."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.lowlevel
import msgspec
import pytest

from actors import supervised
from actors.runtime import Actor, ActorSystem, ChildSpec, PersistentActor
from actors.runtime.simulation import MemoryJournal
from actors.supervised import Upgrade
from actors.upgrades import Upgrades
from bus.address import Address
from bus.messages.approvals import APPROVALS, ProposalId, ProposalState, ProposalView, RollBack
from bus.messages.base import Command, Done, Event
from bus.messages.upgrades import (
    UPGRADES,
    UpgradeAsked,
    UpgradeRestarting,
    UpgradeRolledBack,
    UpgradeTaken,
    UpgradeUnattended,
)
from bus.refusals import IllegalTransition

SOURCE = Address("source")
UNTIL_MAX_S = 30.0
P1 = ProposalId("p-1")
ASKED = UpgradeAsked(P1, "c1", "h" * 64, "/r", "main", "b1")
ON_TRIAL = Upgrade("p-1", "h" * 64, "/r", "main", "b1", "c1", 20.0, "trying")
VIEW = ProposalView(P1, "change", "high", "x", "", "", "grace", ProposalState.ROLLING_BACK, 9, 1, "h" * 64, 1, 9, 2)


class Say(Command[Done], frozen=True):
    """Asked of the source: record that an upgrade is asked for."""

    wire_name = "say"


class Nothing(msgspec.Struct):
    """No state."""


class Source(PersistentActor[Nothing]):
    """Records what the approvals would."""

    state_type = Nothing

    def initial(self) -> Nothing:
        return Nothing()

    def apply(self, event: Event) -> None:
        pass

    def on_say(self, _: Say) -> Done:
        self.persist(ASKED)
        return Done()


class ScriptedApprovals(Actor):
    """Takes rollbacks, or refuses them."""

    def __init__(self) -> None:
        self.asked: list[RollBack] = []
        self.is_refusing = False

    def on_roll_back(self, command: RollBack) -> ProposalView:
        self.asked.append(command)
        if self.is_refusing:
            raise IllegalTransition("proposal p-1", "rolled_back", "rolled back")
        return VIEW


class Place:
    """The upgrades of a data directory; a second one on the same journal is a restart."""

    def __init__(self, data: Path, journal: MemoryJournal | None = None, *, is_supervised: bool = True) -> None:
        self.data = data
        self.journal = journal or MemoryJournal()
        self.approvals = ScriptedApprovals()
        self.restarts = 0
        self._restart = self._count if is_supervised else None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ActorSystem]:
        async with ActorSystem(log=self.journal.log, history=self.journal) as system:
            await system.start(
                ChildSpec(SOURCE, Source),
                ChildSpec(APPROVALS, lambda: self.approvals),
                ChildSpec(UPGRADES, lambda: Upgrades(self.data, ready_within_s=20.0, restart=self._restart)),
            )
            yield system

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(UNTIL_MAX_S):
            while not holds():
                await anyio.lowlevel.checkpoint()

    def recorded(self) -> list[Event]:
        return [record.event for record in self.journal.events if record.source == UPGRADES]

    def _count(self) -> None:
        self.restarts += 1


async def until_gone(data: Path) -> None:
    """Wait until the file is removed."""
    async with asyncio.timeout(UNTIL_MAX_S):
        while await asyncio.to_thread(supervised.read, data) is not None:
            pass


async def test_an_applied_change_of_the_server_is_put_on_trial_before_the_restart(tmp_path: Path) -> None:
    place = Place(tmp_path)
    async with place.open() as system:
        await system.ask(SOURCE, Say(), timeout_s=5.0)
        await place.until(lambda: place.restarts == 1)
    assert place.recorded() == [UpgradeRestarting(P1, "c1")]
    assert await asyncio.to_thread(supervised.read, tmp_path) == msgspec.structs.replace(ON_TRIAL, state="begun")


async def test_without_a_process_above_nothing_is_restarted_and_an_event_says_so(tmp_path: Path) -> None:
    place = Place(tmp_path, is_supervised=False)
    async with place.open() as system:
        await system.ask(SOURCE, Say(), timeout_s=5.0)
        await place.until(lambda: place.recorded() == [UpgradeUnattended(P1, "c1")])
    assert await asyncio.to_thread(supervised.read, tmp_path) is None


async def test_the_new_server_waits_for_the_judgement_and_records_it_once(tmp_path: Path) -> None:
    await asyncio.to_thread(supervised.write, tmp_path, ON_TRIAL)
    place = Place(tmp_path)
    async with place.open():
        await anyio.lowlevel.checkpoint()
        assert place.recorded() == []
        await asyncio.to_thread(supervised.write, tmp_path, msgspec.structs.replace(ON_TRIAL, state="taken"))
        await until_gone(tmp_path)
    assert place.recorded() == [UpgradeTaken(P1, "c1")]
    await asyncio.to_thread(
        supervised.write, tmp_path, msgspec.structs.replace(ON_TRIAL, state="taken")
    )  # a kill before it was removed
    again = Place(tmp_path, place.journal)
    async with again.open():
        await until_gone(tmp_path)
    assert again.recorded() == [UpgradeTaken(P1, "c1")]


@pytest.mark.parametrize("is_refusing", [False, True], ids=["written down", "written down already"])
async def test_the_old_server_says_why_it_is_back_and_writes_the_rollback_down(
    tmp_path: Path, is_refusing: bool
) -> None:
    await asyncio.to_thread(
        supervised.write, tmp_path, msgspec.structs.replace(ON_TRIAL, state="rolled_back", reason="SyntaxError")
    )
    place = Place(tmp_path)
    place.approvals.is_refusing = is_refusing
    async with place.open():
        await until_gone(tmp_path)
    assert place.recorded() == [UpgradeRolledBack(P1, "c1", "SyntaxError")]
    (command,) = place.approvals.asked
    assert (command.by, command.hash, command.reason) == ("supervisor", "h" * 64, "SyntaxError")


@pytest.mark.parametrize("state", ["begun", "rolling_back"])
async def test_what_nobody_judges_stays_for_the_next_start_under_the_process_above(
    tmp_path: Path, state: supervised.State
) -> None:
    await asyncio.to_thread(supervised.write, tmp_path, msgspec.structs.replace(ON_TRIAL, state=state))
    place = Place(tmp_path, is_supervised=False)
    async with place.open() as system:
        await system.ask(SOURCE, Say(), timeout_s=5.0)
    found = await asyncio.to_thread(supervised.read, tmp_path)
    assert found is not None
    assert found.state == state
