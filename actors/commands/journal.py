"""`agora verify` and `agora prune`: prove the journal; let old events go.

Proving reads the directory itself, whether a server runs on it or not. Pruning asks the server where one runs, which
alone writes, and writes otherwise.
"""

import time

import anyio
import anyio.to_thread

from actors.commands import presence
from actors.commands.connection import joined
from actors.commands.console import ExitCode, Shell, counted
from actors.commands.progress import progress
from bus.clock import SystemClock
from bus.codec import Catalogue
from bus.messages.base import Position
from bus.messages.catalogue import EVENTS
from bus.messages.system import JournalPruned, PruneReport
from bus.refusals import NotFound
from storage import integrity
from storage.checkpoints import CheckpointStore
from storage.events import EventStore, record
from storage.migration import JOURNAL_NAME
from storage.pruning import Pruner


async def verify(shell: Shell) -> ExitCode:
    """Prove every row, blob, index and count: 0 if all is as it was written, 1 if something is not."""
    await _check_there(shell)
    with progress(shell, "events") as step:
        found = await integrity.verify(shell.data, Catalogue(EVENTS), step)
    if shell.is_json:
        shell.print_json(found)
    elif not found.problem:
        shell.say(f"{counted(found.events, 'event')} and {counted(found.blobs, 'blob')} are as they were written")
    else:
        where = f"position {found.position}: " if found.position else ""
        shell.say(f"{where}{found.problem}")
    return ExitCode.FAILED if found.problem else ExitCode.DONE


async def prune(shell: Shell, upto: int) -> ExitCode:
    """Let old events go, up to a position or by the limits that are set."""
    await _check_there(shell)
    if await anyio.to_thread.run_sync(presence.find, shell.data) is not None:
        async with joined(shell) as agora:
            report = await agora.prune_events(Position(upto))
    else:
        report = await _prune(shell, Position(upto))
    if shell.is_json:
        shell.print_json(report)
    elif report.upto:
        freed = f"{report.freed_bytes / 1e6:.1f} MB"
        shell.say(f"{report.events} events up to {report.upto} are gone, {report.kept} stay; {freed} freed")
        if report.blobs:
            shell.say(f"{report.blobs} contents that nothing names any more are gone with them")
    else:
        shell.say(f"nothing is to go: whole files only, and nothing after position {report.floor}")
    return ExitCode.DONE


async def _prune(shell: Shell, upto: Position) -> PruneReport:
    options = shell.config.journal
    async with (
        EventStore.open(shell.data, Catalogue(EVENTS), SystemClock(), options.segments) as events,
        CheckpointStore.open(options.checkpoints_in(shell.data)) as checkpoints,
    ):
        began_s = time.monotonic()
        report = await Pruner(events, checkpoints, options.limits).prune(upto)
        if report.upto:
            elapsed_ms = (time.monotonic() - began_s) * 1_000
            freed = (report.upto, report.events, report.kept, report.freed_bytes)
            await record(events, JournalPruned(*freed, elapsed_ms, report.blobs))
        return report


async def _check_there(shell: Shell) -> None:
    path = shell.data / JOURNAL_NAME
    if not await anyio.Path(path).is_file():
        raise NotFound("journal", str(path))
