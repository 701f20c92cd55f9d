"""`agora checkpoints`: list, verify and compare what is kept; save another; let one stay; remove the others.

Listing, verifying and comparing read the directory itself, whether a server runs on it or not. Saving asks the server,
which alone knows the state. Pinning and pruning ask the server where one runs, which alone writes, and write otherwise.
A checkpoint is named by its id, a position, `step:N`, its label, `newest`, or a time such as `2026-01-31T12:00`.
"""

from datetime import UTC, datetime
from pathlib import Path

import anyio
import anyio.to_thread
from rich.markup import escape
from rich.table import Table

from actors.commands import presence
from actors.commands.connection import joined
from actors.commands.console import ExitCode, Shell
from actors.proving import differences, found_name
from bus.messages.checkpoints import Keys
from bus.messages.system import CheckpointView
from storage.checkpoints import CheckpointStore


async def list_(shell: Shell) -> ExitCode:
    """All kept checkpoints, newest first, and after them the damaged ones with what is wrong with them."""
    async with CheckpointStore.inspect(directory_of(shell)) as store:
        page = await store.page()
    views = page.checkpoints
    if shell.is_json:
        shell.print_json((*views, *page.damaged))
        return ExitCode.DONE
    if not views and not page.damaged:
        shell.say("No checkpoint is kept yet; `agora checkpoints create` saves one.")
        return ExitCode.DONE
    table = Table("checkpoint", "position", "step", "made", "reason", "label", "pinned", "size", "new")
    for view in views:
        pinned = "pinned" if view.is_pinned else ""
        cells = (view.checkpoint, str(view.position), str(view.step), made(view), view.reason, view.label, pinned)
        table.add_row(*(escape(cell) for cell in cells), kilobytes(view.size_bytes), kilobytes(view.written_bytes))
    for damaged in page.damaged:
        table.add_row(escape(damaged.checkpoint), "", "", "", "damaged")
    shell.print_table(table)
    for damaged in page.damaged:
        shell.say(f"{damaged.checkpoint} is damaged, and nothing goes on from it: {damaged.problem}")
    return ExitCode.DONE


async def verify(shell: Shell, wanted: str) -> ExitCode:
    """Prove one checkpoint, or all: 0 if all are sound, 1 if one is not."""
    async with CheckpointStore.inspect(directory_of(shell)) as store:
        findings = await store.verify(await found_name(store, wanted) if wanted else "")
    if shell.is_json:
        shell.print_json(findings)
    else:
        for finding in findings:
            shell.say(f"{finding.checkpoint}: {finding.problem or 'sound'}")
    return ExitCode.FAILED if any(finding.problem for finding in findings) else ExitCode.DONE


async def create(shell: Shell, label: str) -> ExitCode:
    """Save a checkpoint now. Raises NotServing when no server runs."""
    async with joined(shell) as agora:
        view = await agora.checkpoints.save(label)
    if shell.is_json:
        shell.print_json(view)
    else:
        size, new = kilobytes(view.size_bytes), kilobytes(view.written_bytes)
        shell.say(f"{view.checkpoint} is saved: position {view.position}, {size}, {new} of it new")
    return ExitCode.DONE


async def pin(shell: Shell, wanted: str, *, is_pinned: bool) -> ExitCode:
    """Let a checkpoint stay, or go its way with the others."""
    async with CheckpointStore.inspect(directory_of(shell)) as store:
        name = await found_name(store, wanted)
    if await anyio.to_thread.run_sync(presence.find, shell.data) is not None:
        async with joined(shell) as agora:
            view = await agora.checkpoints.pin(name, is_pinned=is_pinned)
    else:
        async with CheckpointStore.open(directory_of(shell)) as store:
            view = await store.pin(name, is_pinned=is_pinned)
    return shell.answer(view, f"{name} {'stays until it is unpinned' if is_pinned else 'is not pinned any more'}")


async def prune(shell: Shell, keep: int) -> ExitCode:
    """Remove all but the newest and the pinned ones."""
    if await anyio.to_thread.run_sync(presence.find, shell.data) is not None:
        async with joined(shell) as agora:
            removed = (await agora.checkpoints.prune(keep)).removed
    else:
        await _check_there(directory_of(shell))
        async with CheckpointStore.open(directory_of(shell)) as store:
            removed = await store.prune([view.checkpoint for view in await store.list()][:keep])
    return shell.answer({"removed": removed}, f"{len(removed)} removed{': ' if removed else ''}{', '.join(removed)}")


async def diff(shell: Shell, first: str, second: str) -> ExitCode:
    """What changed from one checkpoint to another, actor by actor."""
    async with CheckpointStore.inspect(directory_of(shell)) as store:
        names = [await found_name(store, wanted) for wanted in (first, second)]
        found = await differences(store, names[0], names[1])
    if shell.is_json:
        shell.print_json(found)
        return ExitCode.DONE
    if not found:
        shell.say(f"No actor differs between {names[0]} and {names[1]}.")
        return ExitCode.DONE
    table = Table("actor", "added", "removed", "changed", "bytes", title=f"{names[0]} to {names[1]}")
    for one in found:
        cells = (one.actor, _words(one.added), _words(one.removed), _words(one.changed))
        table.add_row(*(escape(cell) for cell in cells), f"{one.bytes_before} to {one.bytes_after}")
    shell.print_table(table)
    return ExitCode.DONE


def directory_of(shell: Shell) -> Path:
    """Where the checkpoints are kept."""
    return shell.config.journal.checkpoints_in(shell.data)


def made(view: CheckpointView) -> str:
    """When a checkpoint was made, in this machine's time."""
    return datetime.fromtimestamp(view.created_us / 1e6, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def kilobytes(size: int) -> str:
    return f"{size / 1e3:.1f} kB"


async def _check_there(directory: Path) -> None:
    """Raises NotFound where there are no checkpoints: opening would make some."""
    async with CheckpointStore.inspect(directory):
        pass


def _words(keys: Keys) -> str:
    if keys.count > 3:
        return f"{keys.count}: {', '.join(keys.first[:3])}, ..."
    return ", ".join(keys.first)
