"""`agora replay`: fold the journal from nothing, and see whether the checkpoints say the same.

Rules: each actor's state in a checkpoint is compared at the position that it stands for, with the fold of the actor's
own events up to there. Where the journal's beginning was pruned, the oldest checkpoint stands in for it. Exit code 1 if
anything differs. The overview of the page is a projection that every start makes again, and is not compared.
"""

from collections.abc import Sequence

import msgspec

from actors.commands.checkpoints import directory_of
from actors.commands.console import ExitCode, Shell
from actors.commands.folding import Folded
from actors.commands.progress import progress
from actors.rules.differences import is_same
from bus.address import Address
from bus.clock import SystemClock
from bus.codec import Catalogue
from bus.errors import BadUsage
from bus.messages.base import Position
from bus.messages.catalogue import EVENTS
from bus.refusals import NotFound
from storage.checkpoints import Checkpoint, CheckpointStore
from storage.errors import CorruptCheckpoint, PastPruned
from storage.forks import stands_on
from storage.past import Past


class Compared(msgspec.Struct, frozen=True):
    """One actor in one checkpoint."""

    checkpoint: str
    actor: Address
    position: Position
    is_same: bool


class Replayed(msgspec.Struct, frozen=True):
    """What the fold came to."""

    position: Position
    events: int
    state_hash: str
    actors: dict[str, str]
    """SHA-256 of each actor's state."""
    compared: int
    differences: tuple[Compared, ...]
    unreadable: tuple[str, ...]
    """Checkpoints that are damaged and could not be compared."""


class _Due(msgspec.Struct, frozen=True):
    checkpoint: str
    actor: Address
    position: Position
    state: bytes


async def replay(shell: Shell, to: int | None) -> ExitCode:
    """Fold, compare and say."""
    async with Past.inspect(shell.data, Catalogue(EVENTS), SystemClock()) as past:
        upto = past.head if to is None else Position(to)
        if not 0 <= upto <= past.head:
            raise BadUsage(f"there is no position {upto}; the journal has {past.oldest} to {past.head}")
        checkpoints, unreadable = await _checkpoints(shell, past)
        folded = Folded(shell.config)
        after, used = _beginning(past, checkpoints, folded, upto)
        due = _due([one for one in checkpoints if one.view.checkpoint != used], after, upto)
        compared = await _fold(shell, past, folded, due, (after, upto))
    differences = tuple(one for one in compared if not one.is_same)
    hashes: dict[str, str] = {address: folded.hash_of(address) for address in sorted(folded.states())}
    done = Replayed(folded.position, folded.events, folded.hash, hashes, len(compared), differences, unreadable)
    _tell(shell, done)
    return ExitCode.FAILED if differences else ExitCode.DONE


async def _checkpoints(shell: Shell, past: Past) -> tuple[list[Checkpoint], tuple[str, ...]]:
    """Those of this timeline, oldest first, and the names of those that cannot be read."""
    found: list[Checkpoint] = []
    unreadable: list[str] = []
    try:
        async with CheckpointStore.inspect(directory_of(shell)) as store:
            for finding in await store.verify():
                try:
                    checkpoint = await store.load(finding.checkpoint)
                except CorruptCheckpoint:
                    unreadable.append(finding.checkpoint)
                    continue
                if past.holds(checkpoint.view.epoch, checkpoint.view.position):
                    found.insert(0, checkpoint)
    except NotFound:
        pass  # none was made yet, and there is nothing to compare with
    return found, tuple(unreadable)


def _beginning(past: Past, checkpoints: Sequence[Checkpoint], folded: Folded, upto: Position) -> tuple[Position, str]:
    """Where the fold begins: at nothing, or where the journal was pruned, at the oldest checkpoint and its name.

    Raises PastPruned.
    """
    pruned_to = past.layout.pruned_to
    if not pruned_to:
        return Position(0), ""
    for checkpoint in checkpoints:
        first = stands_on(checkpoint)
        if pruned_to <= first and checkpoint.view.position <= upto:
            folded.begin_with(checkpoint.actors)
            return first, checkpoint.view.checkpoint
    raise PastPruned(upto, pruned_to)


def _due(checkpoints: Sequence[Checkpoint], after: Position, upto: Position) -> list[_Due]:
    due = [
        _Due(checkpoint.view.checkpoint, address, state.position, state.state)
        for checkpoint in checkpoints
        for address, state in checkpoint.actors.items()
        if not state.follows and after < state.position <= upto
    ]
    return sorted(due, key=lambda one: one.position)


async def _fold(
    shell: Shell, past: Past, folded: Folded, due: list[_Due], bounds: tuple[Position, Position]
) -> list[Compared]:
    after, upto = bounds
    compared: list[Compared] = []

    def compare(position: Position) -> None:
        """All that is due before the event at a position."""
        while due and due[0].position < position:
            one = due.pop(0)
            compared.append(
                Compared(
                    one.checkpoint, one.actor, one.position, is_same(folded.state(one.actor) or b"null", one.state)
                )
            )

    with progress(shell, "events") as step:
        async for batch in past.facts(("#",), None, after, upto):
            for record in batch:
                compare(record.position)
                folded.apply(record)
            step(folded.position, upto)
        compare(Position(upto + 1))
    return compared


def _tell(shell: Shell, done: Replayed) -> None:
    if shell.is_json:
        shell.print_json(done)
        return
    shell.say(f"position {done.position}: {done.events} events folded, state hash {done.state_hash}")
    shell.say(f"  {done.compared} states of checkpoints compared, {len(done.differences)} differ")
    for one in done.differences:
        shell.say(f"  {one.actor} in {one.checkpoint} is not what its events say at position {one.position}")
    for name in done.unreadable:
        shell.say(f"  {name} is damaged and was not compared")
