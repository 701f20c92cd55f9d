"""`agora token`: tokens of agents whose programs run elsewhere, and of people and programs with scopes."""

from collections.abc import Sequence

from actors.commands.connection import joined
from actors.commands.console import ExitCode, Shell


async def create(shell: Shell, agent: str, name: str, scopes: Sequence[str] = ()) -> ExitCode:
    """Make a token for one agent or with scopes, and show it this once. Raises AgoraError."""
    async with joined(shell) as agora:
        issued = await agora.tokens.issue(agent, name, scopes)
    return shell.answer(issued, issued.token)


async def list_(shell: Shell) -> ExitCode:
    """The tokens that are good, without their secrets. Raises AgoraError."""
    async with joined(shell) as agora:
        kept = await agora.tokens.all()
    if shell.is_json:
        shell.print_json(kept)
    elif not kept:
        shell.say("there is no token but the first one")
    for one in () if shell.is_json else kept:
        shell.say(f"{one.name} for agent {one.agent}" if one.agent else f"{one.name} may {', '.join(one.scopes)}")
    return ExitCode.DONE


async def revoke(shell: Shell, name: str) -> ExitCode:
    """Let a token be good no more. Raises AgoraError."""
    async with joined(shell) as agora:
        await agora.tokens.revoke(name)
    shell.say(f"the token {name} is good no more")
    return ExitCode.DONE
