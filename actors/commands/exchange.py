"""`agora export`, `agora import` and `agora backup`: the journal leaves and comes back, beside a server or without one.

Rules: an export without `--sealed` shows what anybody may see; with it, the import of it has the same state hash.
Whatever line cannot be taken is told by its number, and the exit code is 1. Where old events were pruned, the export
with `--sealed` holds the checkpoint that stands for them; one that is not what its hash says ends the import.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

import anyio.to_thread

from actors.commands.checkpoints import directory_of
from actors.commands.console import ExitCode, Shell, counted
from actors.commands.progress import progress
from bus.clock import SystemClock
from bus.codec import Catalogue
from bus.errors import BadUsage, StorageError
from bus.messages.catalogue import EVENTS
from storage.backup import back_up
from storage.exchange import export_lines, import_lines
from storage.forks import standing_for
from storage.past import Past


async def export(shell: Shell, file: str, *, has_sealed: bool) -> ExitCode:
    """Write the journal as JSON Lines to a file, or to stdout for `-`."""
    async with Past.inspect(shell.data, Catalogue(EVENTS), SystemClock()) as past, _target(file) as target:
        standing = await standing_for(past, directory_of(shell), past.head) if has_sealed else None
        with progress(shell, "events") as step:
            events = await export_lines(past, target, has_sealed=has_sealed, progress=step, standing=standing)
    if file != "-":
        if shell.is_json:
            shell.print_json({"file": file, "events": events})
        else:
            shell.say(f"{events} events are in {file}")
    return ExitCode.DONE


async def import_(shell: Shell, file: str) -> ExitCode:
    """Make a data directory of JSON Lines from a file, or from stdin for `-`."""
    async with _source(file) as source:
        with progress(shell, "events") as step:
            imported = await import_lines(
                source,
                shell.data,
                checkpoints=directory_of(shell),
                catalogue=Catalogue(EVENTS),
                clock=SystemClock(),
                progress=step,
            )
    if shell.is_json:
        shell.print_json(imported)
    else:
        shell.say(f"{counted(imported.events, 'event')} and {counted(imported.blobs, 'blob')} are in {shell.data}")
        for problem in imported.problems:
            shell.say(f"  line {problem.line}: {problem.reason}")
        if imported.problems_count > len(imported.problems):
            shell.say(f"  and {imported.problems_count - len(imported.problems)} more lines")
        if imported.left_out:
            shell.say(f"  {imported.left_out} events after that were not imported")
    return ExitCode.FAILED if imported.problems_count else ExitCode.DONE


async def backup(shell: Shell, file: Path) -> ExitCode:
    """Copy the data directory into one file, while it is used or not."""
    with progress(shell, "pages") as step:
        done = await back_up(
            shell.data, directory_of(shell), file, catalogue=Catalogue(EVENTS), clock=SystemClock(), progress=step
        )
    if shell.is_json:
        shell.print_json(done)
    else:
        shell.say(f"{file} holds {done.events} events up to position {done.position}, proved ({done.size_bytes} bytes)")
        shell.say(f"  to use it: mkdir DIR && tar -xf {file} -C DIR && agora --data DIR serve")
    return ExitCode.DONE


@asynccontextmanager
async def _target(file: str) -> AsyncIterator[BinaryIO]:
    if file == "-":
        yield sys.stdout.buffer
        return
    try:
        opened = await anyio.to_thread.run_sync(_create, Path(file))
    except FileExistsError as error:
        raise BadUsage(f"{file} is there already; choose another name") from error
    with opened:
        try:
            yield opened
        except StorageError:  # half an export is of no use, and would be in the way of the next
            await anyio.to_thread.run_sync(Path(file).unlink)
            raise


@asynccontextmanager
async def _source(file: str) -> AsyncIterator[BinaryIO]:
    if file == "-":
        if sys.stdin.isatty():
            raise BadUsage("name a file, or pipe an export in: agora export --sealed | agora --data DIR import")
        yield sys.stdin.buffer
        return
    with await anyio.to_thread.run_sync(_open, Path(file)) as opened:
        yield opened


def _create(path: Path) -> BinaryIO:
    """A new file for its owner alone: the keys of personal text are in it."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _open(path: Path) -> BinaryIO:
    return path.open("rb")
