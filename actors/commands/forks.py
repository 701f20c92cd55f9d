"""`agora checkpoints restore AT` and `fork AT --into DIR`: go on from an earlier position.

Rules: nothing is deleted. A fork is a new directory with a new epoch; a restore makes one, moves the old directory
aside under a name that says so, and puts the new one in its place; killed in between, the next start finishes it. What
has left the society since then cannot be taken back, and is listed. AT is a checkpoint (id, label, time, `step:N`,
`newest`) or any position that the journal has.
"""

import shutil
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from actors.commands.checkpoints import directory_of
from actors.commands.console import ExitCode, Shell
from actors.commands.progress import progress
from actors.composition import TOKEN_NAME, TOKENS_NAME
from actors.git.library import LIBRARY
from actors.journal_options import CHECKPOINTS_NAME
from actors.proving import time_us_of
from actors.rules import checkpoints as rules
from actors.rules.effects import EFFECTS, irreversible
from bus.clock import SystemClock
from bus.codec import Catalogue
from bus.errors import BadUsage
from bus.messages.base import Position
from bus.messages.catalogue import EVENTS
from bus.messages.system import CheckpointView
from bus.refusals import NotFound
from storage.checkpoints import CheckpointStore
from storage.directory import DirectoryLock, draft_of, exchange
from storage.forks import check_empty, fork_checkpoints, fork_journal, standing_for
from storage.past import Past

EFFECTS_SHOWN = 20


class Forked(msgspec.Struct, frozen=True):
    """What came of it."""

    position: Position
    directory: str
    checkpoints: tuple[str, ...]
    includes: dict[str, tuple[str, ...]]
    """What the checkpoint that it goes on from holds; the rest is folded from the journal."""
    left_out: tuple[str, ...]
    events_after: int
    """Events of the old timeline that the new one does not have."""
    effects: int
    """Of them, those that cannot be taken back."""
    effects_first: tuple[str, ...]
    old: str = ""
    """Where the directory is now that was there before."""
    old_checkpoints: str = ""
    """Where its checkpoints are now, if they are kept elsewhere."""


async def fork(shell: Shell, at: str, into: Path) -> ExitCode:
    """Make another directory that goes on from there."""
    forked = await _fork(shell, at, into, into / CHECKPOINTS_NAME)
    _tell(shell, forked, f"agora --data {into} serve")
    if _outside(shell) is not None and not shell.is_json:
        shell.say("  with a `journal.checkpoint_directory` of its own, or none: the one in effect is this journal's")
    return ExitCode.DONE


async def restore(shell: Shell, at: str) -> ExitCode:
    """Go on from there in this directory; what it holds is moved aside. Raises DirectoryInUse beside a server."""
    data = shell.data.absolute()
    lock = await anyio.to_thread.run_sync(DirectoryLock.acquire, data)
    try:
        draft, outside = draft_of(data), _outside(shell)
        await anyio.to_thread.run_sync(_remove, draft)
        checkpoints = draft / CHECKPOINTS_NAME
        if outside is not None:
            checkpoints = draft_of(outside)
            await anyio.to_thread.run_sync(_remove, checkpoints)
        forked = await _fork(shell, at, draft, checkpoints)
        old = await anyio.to_thread.run_sync(_exchange_outside, outside, forked.position)
        aside = await anyio.to_thread.run_sync(_exchange, data, forked.position)
    finally:
        lock.release()
    forked = msgspec.structs.replace(forked, directory=str(data), old=str(aside), old_checkpoints=old)
    _tell(shell, forked, f"agora --data {shell.data} serve")
    return ExitCode.DONE


async def _fork(shell: Shell, at: str, into: Path, checkpoints: Path) -> Forked:
    catalogue, clock = Catalogue(EVENTS), SystemClock()
    await check_empty(into)
    async with Past.inspect(shell.data, catalogue, clock) as past:
        position = await position_of(shell, past, at)
        await standing_for(past, directory_of(shell), position)
        with progress(shell, "events") as step:
            await fork_journal(past, into, position, catalogue=catalogue, clock=clock, progress=step)
        names = await fork_checkpoints(past, directory_of(shell), checkpoints, position)
        effects = [
            words
            async for batch in past.facts(EFFECTS, None, position, past.head)
            for record in batch
            if (words := irreversible(record.event))
        ]
        events_after = past.head - position
    views: tuple[CheckpointView, ...] = ()
    if names:
        async with CheckpointStore.inspect(checkpoints) as store:
            views = await store.list()
    return Forked(
        position=position,
        directory=str(into),
        checkpoints=names,
        includes=views[0].includes if views else {},
        left_out=views[0].left_out if views else (),
        events_after=events_after,
        effects=len(effects),
        effects_first=tuple(effects[:EFFECTS_SHOWN]),
    )


async def position_of(shell: Shell, past: Past, at: str) -> Position:
    """The position that is meant: the one itself, or that of a checkpoint. Raises NotFound, BadUsage."""
    if at.isdecimal():
        if not 0 < int(at) <= past.head:
            raise BadUsage(f"there is no position {at}; the journal has {past.oldest} to {past.head}")
        return Position(int(at))
    try:
        async with CheckpointStore.inspect(directory_of(shell)) as store:
            page = await store.page()
        for damaged in page.damaged:
            if damaged.checkpoint == at:
                raise BadUsage(f"{at} is damaged: {damaged.problem}; choose another, or a position")
        view = rules.find(page.checkpoints, at, time_us_of(at))
    except NotFound as error:
        if error.kind == "checkpoint":
            raise
        raise NotFound("checkpoint", at, "none is kept yet") from error
    if not past.holds(view.epoch, view.position):
        raise BadUsage(f"{view.checkpoint} stands on a position that the journal has lost")
    return view.position


def _exchange(data: Path, position: Position) -> Path:
    """Put the new directory in the place of the old one, which stays beside it; where that is."""
    for name in (TOKEN_NAME, TOKENS_NAME):
        if (data / name).exists():
            shutil.copy2(data / name, draft_of(data) / name)
    if (data / LIBRARY).exists():  # what was approved and kept stays kept, whatever position is gone back to
        shutil.copytree(data / LIBRARY, draft_of(data) / LIBRARY, symlinks=True)
    aside = _aside_of(data, position)
    for _ in exchange(data, aside):
        pass
    return aside


def _outside(shell: Shell) -> Path | None:
    """Where the checkpoints are kept, if that is not in the data directory."""
    directory = directory_of(shell).absolute()
    return None if directory.is_relative_to(shell.data.absolute()) else directory


def _exchange_outside(outside: Path | None, position: Position) -> str:
    """The same for checkpoints that are kept elsewhere, before the journal: fewer of them do it no harm.

    Where the directory cannot be moved, it stays: a start passes over those that stand on what is not there any more.
    """
    if outside is None or not draft_of(outside).exists():
        return ""
    lock = DirectoryLock.acquire(outside)
    try:
        aside = _aside_of(outside, position)
        for _ in exchange(outside, aside):
            pass
    except OSError:  # another file system is mounted there
        _remove(draft_of(outside))
        return ""
    finally:
        lock.release()
    return str(aside)


def _aside_of(directory: Path, position: Position) -> Path:
    number = 1
    while (aside := directory.with_name(f"{directory.name}.before-{position}-{number}")).exists():
        number += 1
    return aside


def _remove(draft: Path) -> None:
    """What a restore left that was killed before it was done."""
    if draft.exists():
        shutil.rmtree(draft)


def _tell(shell: Shell, forked: Forked, start: str) -> None:
    if shell.is_json:
        shell.print_json(forked)
        return
    shell.say(f"{forked.directory} goes on from position {forked.position}, without {forked.events_after} later events")
    if forked.old:
        shell.say(f"  what was there is kept: {forked.old}")
    if forked.old_checkpoints:
        shell.say(f"  and its checkpoints: {forked.old_checkpoints}")
    if forked.checkpoints:
        held = "; ".join(f"{kind}: {', '.join(fields)}" for kind, fields in forked.includes.items())
        shell.say(f"  it starts from {forked.checkpoints[0]}, which holds {held or 'every actor'}")
        if forked.left_out:
            shell.say(f"  folded from the journal alone: {', '.join(forked.left_out)}")
    else:
        shell.say("  it has no checkpoint yet: everything is folded from the journal")
    if forked.effects:
        shell.say(f"  {forked.effects} effects since then cannot be taken back:")
        for words in forked.effects_first:
            shell.say(f"    {words}")
        if forked.effects > len(forked.effects_first):
            shell.say(f"    and {forked.effects - len(forked.effects_first)} more")
    shell.say(f"  start it: {start}")
