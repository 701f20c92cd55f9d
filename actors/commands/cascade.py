"""`agora reload`, `agora completions …`, `agora ledger reconcile`: the cascade, seen and set from the command line."""

from contextlib import aclosing
from decimal import Decimal, InvalidOperation

import anyio
from rich.markup import escape
from rich.table import Table

from actors.commands.connection import joined
from actors.commands.console import ExitCode, Shell
from actors.completion_log import iso
from actors.rules.transcripts import page_of
from actors.surroundings import recorded
from bus.errors import BadUsage

MICROS = 1_000_000


async def reload(shell: Shell) -> ExitCode:
    """Have the running server read its settings again. Raises AgoraError, with the reason if they cannot be used."""
    async with joined(shell) as agora:
        changed = await agora.cascade.reload()
    if shell.is_json:
        shell.print_json(changed)
        return ExitCode.DONE
    for change in changed.changes:
        shell.say(change)
    for name in changed.waiting:
        shell.say(f"{name}: counts from the next start on")
    if not changed.changes and not changed.waiting:
        shell.say("nothing has changed")
    return ExitCode.DONE


async def list_completions(shell: Shell, agent: str, task: str, limit: int) -> ExitCode:
    """The newest completions that the log keeps."""
    async with joined(shell) as agora:
        page = await agora.cascade.completions(agent=agent, task=task, limit=limit)
    if shell.is_json:
        shell.print_json(page)
        return ExitCode.DONE
    table = Table("completion", "agent", "task", "ended", "provider", "attempts", "seconds", "USD")
    for one in page.transcripts:
        cells = (one.completion, one.agent, one.task, one.ending, one.provider)
        numbers = (str(one.attempts), f"{one.elapsed_s:.2f}", f"{one.cost_usd_micros / MICROS:.6f}")
        table.add_row(*(escape(cell) for cell in cells), *numbers)
    shell.print_table(table)
    if page.kept != "full":
        shell.say(f"of completions the log keeps: {page.kept}")
    return ExitCode.DONE


async def show_completion(shell: Shell, completion: str) -> ExitCode:
    """One completion in full: what was asked, every attempt, the answer."""
    async with joined(shell) as agora:
        transcript = await agora.cascade.completion(completion)
    return shell.answer(transcript, page_of(transcript, iso(transcript.asked_us)))


async def export_completions(shell: Shell, file: str) -> ExitCode:
    """All completions that a data directory keeps as JSON Lines, oldest line; `router.replay` answers from them."""
    if file == "-":
        async with aclosing(recorded(shell.data)) as lines:
            async for line in lines:
                shell.out.out(line.decode(), highlight=False)
        return ExitCode.DONE
    if await anyio.Path(file).exists():
        raise BadUsage(f"{file} is there already; choose another name")
    count = 0
    async with aclosing(recorded(shell.data)) as lines:
        line = await anext(lines, b"")  # before there is a file: a directory without a log leaves none
        async with await anyio.open_file(file, "xb") as out:
            while line:
                await out.write(line + b"\n")
                count += 1
                line = await anext(lines, b"")
    return shell.answer({"file": file, "completions": count}, f"{count} completions are in {file}")


async def reconcile(shell: Shell, provider: str, spent: str, unspent: str) -> ExitCode:
    """Say what a bill says of money of which nobody knew whether it was spent; without amounts, tell how much it is."""
    amounts = [micros_of(text) for text in (spent, unspent)]
    async with joined(shell) as agora:
        left = await agora.cascade.reconcile(
            provider=provider, spent_usd_micros=amounts[0], unspent_usd_micros=amounts[1]
        )
    return shell.answer(
        {"unknown_usd_micros": left}, f"{left / MICROS:.6f} USD count as spent, and nobody knows whether they were"
    )


def micros_of(text: str) -> int:
    """USD as integer micros. Raises BadUsage."""
    try:
        micros = Decimal(text) * MICROS
    except InvalidOperation as error:
        raise BadUsage(f"{text!r} is no amount in USD") from error
    if not micros.is_finite() or micros < 0 or micros != micros.to_integral_value():
        raise BadUsage(f"{text!r} is no amount in USD with at most six decimals")
    return int(micros)
