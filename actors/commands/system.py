"""`agora halt`, `agora resume` and `agora status --actors`: the stop-everything switch, and who is there."""

from collections.abc import Iterator, Sequence

from actors.commands.connection import joined
from actors.commands.console import ExitCode, Shell
from web.system_client import ActorAnswer


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
    for line in lines_of(system.actors):
        shell.say(line)
    for alert in system.alerts:
        shell.say(f"{alert.alert}: {alert.cause}")
    if system.is_halted:
        shell.say("all is halted")
    return ExitCode.DONE


def lines_of(found: Sequence[ActorAnswer]) -> Iterator[str]:
    """Actors below those that supervise them, two spaces deeper."""
    depths: dict[str, int] = {}
    for actor in found:
        depth = depths[actor.address] = depths.get(actor.parent, -1) + 1
        yield "  " * depth + _line(actor)


def _line(actor: ActorAnswer) -> str:
    parts = [f"{actor.address} ({actor.kind}): {actor.state}, {actor.handled} handled"]
    if actor.jobs:
        parts.append(f"{actor.jobs} jobs")
    if actor.restarts:
        parts.append(f"{actor.restarts} restarts, last: {actor.last_error}")
    if actor.parked_at:
        parts.append(f"parked at {actor.parked_at}")
    return ", ".join(parts)
