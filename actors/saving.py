"""What a checkpoint is made of, and how it is saved.

Rules: it is made of copies of the actors' states, each taken between two turns of its own and only where the state has
changed since the last; it is saved once everything that they rest on is durable. From then on an actor that restarts
folds on top of it. One at a time; whoever asks sees to that.
"""

from collections.abc import Awaitable, Callable

import anyio
import msgspec

from actors.history import JournalHistory
from actors.journal_options import JournalOptions
from actors.last_copies import LastCopies
from actors.rules import checkpoints as rules
from actors.runtime import Copies, GroupCommitLog
from bus.errors import DeadlinePassed, Refused
from bus.messages.base import Microseconds, Position, RunId
from bus.messages.system import CheckpointReason, CheckpointView
from storage.checkpoints import CheckpointStore
from storage.manifests import Description

SAVE_TIMEOUT_S = 60.0
"""For the commit that a checkpoint waits for and for its own; a disk that takes longer has failed."""

TakeCopies = Callable[[int], Awaitable[Copies]]
"""Takes the copies that a checkpoint is made of: of what has changed since those of a number."""


class RunIdentity(msgspec.Struct, frozen=True):
    """What every checkpoint says of the run that made it."""

    run: RunId
    config_hash: str
    agora_version: str


class Saving:
    """The checkpoints that one system makes."""

    def __init__(
        self,
        checkpoints: CheckpointStore,
        history: JournalHistory,
        log: GroupCommitLog,
        *,
        copies: TakeCopies,
        identity: RunIdentity,
        options: JournalOptions,
    ) -> None:
        self._checkpoints = checkpoints
        self._history = history
        self._log = log
        self._copies = copies
        self._identity = identity
        self._keep = options.checkpoint_keep
        self._last = LastCopies(options.checkpoint_leave_out)

    async def take(self) -> Position:
        """Copy what has changed; the position that a checkpoint of it will stand on."""
        await self._last.take(await self._copies(self._last.number), self._history.actors)
        return self._last.highest

    async def save(
        self, reason: CheckpointReason, label: str, *, step: int, created_us: Microseconds
    ) -> CheckpointView:
        """Save what was copied last. Raises Refused where there is nothing, StorageError, DeadlinePassed."""
        last, position = self._last, self._last.highest
        if not last.states:
            raise Refused("no actor has a state that a checkpoint could hold")
        description = self._describe(reason, label, step, created_us)
        try:
            with anyio.fail_after(SAVE_TIMEOUT_S):
                await self._log.committed(position)
                older = await self._checkpoints.older()
                keep = rules.kept([name for name in older if name != f"c-{position}"], self._keep)
                view = await self._checkpoints.save(description, last.states, keep=keep, changes=last.changes)
        except TimeoutError as error:
            raise DeadlinePassed("saving the checkpoint", SAVE_TIMEOUT_S) from error
        self._history.go_on_from(last.states, last.position)
        last.were_saved()
        return view

    def _describe(self, reason: CheckpointReason, label: str, step: int, created_us: Microseconds) -> Description:
        return Description(
            reason=reason,
            created_us=created_us,
            run=self._identity.run,
            step=step,
            label=label,
            epoch=self._log.epoch,
            config_hash=self._identity.config_hash,
            agora_version=self._identity.agora_version,
            includes=dict(sorted(self._last.includes.items())),
            left_out=self._last.left_out,
            behind=self._last.behind,
        )
