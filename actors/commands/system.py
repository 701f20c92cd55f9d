"""`agora halt`, `agora resume` and `agora status --actors`: the stop-everything switch, and who is there."""

from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.table import Table

from actors.commands.connection import joined
from actors.commands.console import ExitCode, Shell
from web.system_client import ActorAnswer

WAITS_LONG_S = 30.0
"""A message that has waited for so long means that its actor is stuck, as for the monitor's default."""
HEADINGS = (
    "actor",
    "state",
    "waiting",
    "most",
    "oldest",
    "p50",
    "p99",
    "held up",
    "handled",
    "restarts",
    "trouble",
)
WIDTH_OF_ALL = 120
"""What all columns need."""


async def halt(shell: Shell, reason: str) -> ExitCode:
    """Stop everything: no new turn, call or assignment begins. Raises AgoraError."""
    async with joined(shell) as agora:
        await agora.system.halt(reason)
    shell.say("all is halted; what was under way ends, and `agora resume` lets it go on")
    return ExitCode.DONE


async def resume(shell: Shell) -> ExitCode:
    """Let everything go on where it stood. Raises AgoraError."""
    async with joined(shell) as agora:
        await agora.system.resume()
    shell.say("all goes on where it stood")
    return ExitCode.DONE


async def actors(shell: Shell) -> ExitCode:
    """The actor tree, and what is wrong. Raises AgoraError."""
    async with joined(shell) as agora:
        system = await agora.system.show()
    if shell.is_json:
        shell.print_json(system)
        return ExitCode.DONE
    shell.print_table(table_of(system.actors, shell.out.width))
    for alert in system.alerts:
        shell.say(f"{alert.alert}: {alert.cause}")
    for complaint in system.complaints:
        shell.say(complaint)
    if system.is_halted:
        shell.say("all is halted")
    return ExitCode.DONE


def table_of(found: Sequence[ActorAnswer], width: int) -> Table:
    """Actors below those that supervise them; where there is little room, without the columns that say nothing."""
    rows = [row_of(depth, actor) for depth, actor in in_tree(found)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    shown = [
        number
        for number in range(len(HEADINGS))
        if width >= WIDTH_OF_ALL or any(cells[number] not in ("", "0") for cells, _ in rows)
    ]
    for number in shown:
        is_text = number in (0, 1, len(HEADINGS) - 1)
        table.add_column(HEADINGS[number], justify="left" if is_text else "right", no_wrap=number == 0)
    for cells, is_stuck in rows:
        table.add_row(*(escape(cells[number]) for number in shown), style="bold red" if is_stuck else None)
    return table


def row_of(depth: int, actor: ActorAnswer) -> tuple[tuple[str, ...], bool]:
    """The cells of an actor, and whether it is stuck."""
    cells = (
        "  " * depth + actor.address,
        state_of(actor),
        f"{actor.mailbox.depth}/{actor.mailbox.size_max}",
        str(actor.mailbox.high_water),
        time_of(actor.oldest_s),
        time_of(actor.handle_p50_s),
        time_of(actor.handle_p99_s),
        time_of(actor.backpressure_s),
        str(actor.handled),
        str(actor.restarts),
        trouble_of(actor),
    )
    return cells, bool(actor.parked_at) or actor.oldest_s >= WAITS_LONG_S


def in_tree(found: Sequence[ActorAnswer]) -> Iterator[tuple[int, ActorAnswer]]:
    """Each actor below the one that supervises it, with how deep it stands; those of one parent in start order."""
    teams: dict[str, list[ActorAnswer]] = {}
    for actor in found:
        teams.setdefault(actor.parent, []).append(actor)

    def below(parent: str, depth: int) -> Iterator[tuple[int, ActorAnswer]]:
        for actor in teams.get(parent, ()):
            yield depth, actor
            yield from below(actor.address, depth + 1)

    return below("", 0)


def state_of(actor: ActorAnswer) -> str:
    """The state, and whether it is at work."""
    if actor.is_busy or actor.jobs:
        jobs = f", {actor.jobs} job{'s' if actor.jobs > 1 else ''}" if actor.jobs else ""
        return f"{actor.state}{', busy' if actor.is_busy else ''}{jobs}"
    return actor.state


def trouble_of(actor: ActorAnswer) -> str:
    """What is wrong, or was: stuck first, then what was lost, then the last error."""
    parts = []
    if actor.parked_at:
        parts.append(f"parked at {actor.parked_at}")
    if actor.oldest_s >= WAITS_LONG_S:
        parts.append("stuck")
    if actor.mailbox.parked:
        parts.append(f"{actor.mailbox.parked} senders wait")
    if actor.lag:
        parts.append(f"{actor.lag} behind the bus")
    if lost := actor.mailbox.refused + actor.mailbox.dropped:
        parts.append(f"{lost} refused or dropped")
    if actor.last_error:
        parts.append(actor.last_error)
    return "; ".join(parts)


def time_of(seconds: float) -> str:
    """A time in the unit that suits it; nothing for none."""
    if seconds <= 0:
        return ""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
