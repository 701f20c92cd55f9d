"""The upgrades: let an applied change of the server's own files take effect, and record how that went.

Rules: under the process above it (`actors/supervised.py`) the server stops with a checkpoint and is started again from
the new tree; that process judges, and its file says what came of it. Without it nothing is restarted, and an event says
so. A rolled back upgrade is written down as a rollback of its proposal, by `supervisor`, with the reason.
"""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import anyio
import anyio.to_thread

from actors import supervised
from actors.rules import upgrades
from actors.rules.upgrades import UpgradeState
from actors.runtime import Job, PersistentActor, Subscription
from actors.supervised import Upgrade
from bus.errors import AgoraError, Refused
from bus.messages.approvals import APPROVALS, ProposalId, RollBack
from bus.messages.base import Command, Done, Event
from bus.messages.upgrades import SUPERVISOR, UpgradeAsked

LOOK_S = 0.25
"""How often the file of the process above is looked at while it judges: it has no other way to tell."""
JUDGING_MORE_S = 60.0
"""What judging may take beyond the time that a server has to be ready."""
ASK_TIMEOUT_S = 30.0


class UpgradeSettled(Command[Done], frozen=True):
    """Asked of oneself when the process above has judged."""

    wire_name = "upgrade.settled"

    proposal: ProposalId
    commit: str
    reason: str


class Upgrades(PersistentActor[UpgradeState]):
    """The one actor that restarts the server."""

    state_type: ClassVar[type[UpgradeState]] = UpgradeState
    reads_past: ClassVar[bool] = False

    def __init__(self, data: Path, *, ready_within_s: float, restart: Callable[[], None] | None = None) -> None:
        """`restart` asks for a stop after which the process above starts the server again; None where there is none."""
        self._data = data
        self._ready_within_s = ready_within_s
        self._restart = restart

    def initial(self) -> UpgradeState:
        return UpgradeState()

    def subscriptions(self) -> tuple[Subscription, ...]:
        return (Subscription(UpgradeAsked.wire_name),)

    def apply(self, event: Event) -> None:
        upgrades.apply(self.state, event)

    def on_recovered(self) -> None:
        self.perform(self._watch)

    def on_upgrade_asked(self, asked: UpgradeAsked) -> None:
        self.persist(*upgrades.decide_asked(asked, is_supervised=self._restart is not None))
        if self._restart is not None:
            self.perform(self._begin, asked, self._restart)

    def on_upgrade_settled(self, settled: UpgradeSettled) -> Done:
        events = upgrades.decide_settled(self.state, settled.proposal, settled.commit, settled.reason)
        if events:
            self.persist(*events)
        return Done()

    async def _begin(self, _: Job, asked: UpgradeAsked, restart: Callable[[], None]) -> None:
        upgrade = Upgrade(
            asked.proposal, asked.hash, asked.path, asked.branch, asked.base, asked.commit, self._ready_within_s
        )
        await anyio.to_thread.run_sync(supervised.write, self._data, upgrade)
        restart()

    async def _watch(self, job: Job) -> None:
        """Record how the last upgrade ended, once the process above has judged it."""
        found = await anyio.to_thread.run_sync(supervised.read, self._data)
        if found is None:
            return
        with anyio.move_on_after(found.ready_within_s + JUDGING_MORE_S):
            while found is not None and found.state == "trying":
                await anyio.sleep(LOOK_S)
                found = await anyio.to_thread.run_sync(supervised.read, self._data)
        if found is None or found.state not in ("taken", "rolled_back"):
            return  # nobody judges: it is tried again at the next start under the process above
        reason = (found.reason or "it was not healthy") if found.state == "rolled_back" else ""
        settled = UpgradeSettled(ProposalId(found.proposal), found.commit, reason)
        try:
            await job.ask(self.address, settled, timeout_s=ASK_TIMEOUT_S)
            if reason:
                await self._write_down(job, found, reason)
        except AgoraError:
            return  # it could not be recorded: the next start finds the file again
        await anyio.to_thread.run_sync(supervised.remove, self._data)

    async def _write_down(self, job: Job, found: Upgrade, reason: str) -> None:
        key = f"upgrade/{found.proposal}/{found.commit[:12]}"
        command = RollBack(ProposalId(found.proposal), found.hash, SUPERVISOR, reason[:2_000], key)
        try:
            await job.ask(APPROVALS, command, timeout_s=ASK_TIMEOUT_S)
        except Refused:
            return  # it is written down already, or was never recorded as applied
