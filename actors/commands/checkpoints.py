"""`agora checkpoints`: list and verify what is kept, and save another.

Listing and verifying read the directory itself, whether a server runs on it or not; saving asks the server, which alone
knows the state.
"""

from datetime import UTC, datetime

from rich.markup import escape
from rich.table import Table

from actors.commands.connection import joined
from actors.commands.console import ExitCode, Shell
from storage.checkpoints import CheckpointStore


async def list_(shell: Shell) -> ExitCode:
    """All kept checkpoints, newest first."""
    async with CheckpointStore.inspect(shell.config.journal.checkpoints_in(shell.data)) as store:
        views = await store.list()
    if shell.is_json:
        shell.print_json(views)
        return ExitCode.DONE
    table = Table("checkpoint", "position", "step", "made", "reason", "label", "size")
    for view in views:
        made = datetime.fromtimestamp(view.created_us / 1e6, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        cells = (view.checkpoint, str(view.position), str(view.step), made, view.reason, view.label)
        table.add_row(*(escape(cell) for cell in cells), f"{view.size_bytes / 1e3:.1f} kB")
    shell.print_table(table)
    return ExitCode.DONE


async def verify(shell: Shell, checkpoint: str) -> ExitCode:
    """Prove one checkpoint, or all: 0 if all are sound, 1 if one is not."""
    async with CheckpointStore.inspect(shell.config.journal.checkpoints_in(shell.data)) as store:
        findings = await store.verify(checkpoint)
    if shell.is_json:
        shell.print_json(findings)
    else:
        for finding in findings:
            shell.say(f"{finding.checkpoint}: {finding.problem or 'sound'}")
    return ExitCode.FAILED if any(finding.problem for finding in findings) else ExitCode.DONE


async def create(shell: Shell, label: str) -> ExitCode:
    """Save a checkpoint now. Raises NotServing when no server runs."""
    async with joined(shell) as agora:
        view = await agora.save_checkpoint(label)
    if shell.is_json:
        shell.print_json(view)
    else:
        shell.say(f"{view.checkpoint} is saved: position {view.position}, {view.size_bytes / 1e3:.1f} kB")
    return ExitCode.DONE
