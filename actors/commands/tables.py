"""`agora ledger balances` and the other tables, as the server writes them: to stdout, or to a new file."""

import sys
from contextlib import aclosing
from pathlib import Path

import anyio
import anyio.to_thread

from actors.commands.connection import joined
from actors.commands.console import ExitCode, Shell
from bus.errors import BadUsage
from web.tables_client import Table, TableFormat

STDOUT = "-"


async def write(shell: Shell, table: Table, format_: TableFormat, file: str, account: str = "") -> ExitCode:
    """Write one table; `--json` means JSON Lines. Raises AgoraError; BadUsage for a file that is there already."""
    format_ = "jsonl" if shell.is_json else format_
    async with joined(shell) as agora, aclosing(agora.tables.read(table, format_, account=account)) as pieces:
        if file == STDOUT:
            async for piece in pieces:
                await anyio.to_thread.run_sync(sys.stdout.buffer.write, piece)
            await anyio.to_thread.run_sync(sys.stdout.buffer.flush)
            return ExitCode.DONE
        try:
            async with await anyio.open_file(Path(file), "xb") as out:
                async for piece in pieces:
                    await out.write(piece)
        except FileExistsError as error:
            raise BadUsage(f"{file} is there already") from error
    shell.say(f"the {table} are in {file}")
    return ExitCode.DONE
