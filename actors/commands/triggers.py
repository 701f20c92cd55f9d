"""`agora trigger`: tasks that are posted, and actors that are woken, when something has happened."""

import secrets

from rich.table import Table

from actors.commands.connection import joined
from actors.commands.console import ExitCode, Shell
from bus.messages.triggers import TriggerSpec, TriggerView


async def create(shell: Shell, spec: TriggerSpec) -> ExitCode:
    """Let something happen for what comes. Raises AgoraError."""
    async with joined(shell) as agora:
        view = await agora.triggers.create(spec, key=f"trigger/{secrets.token_hex(8)}")
    return _tell(shell, view)


async def list_(shell: Shell) -> ExitCode:
    """All triggers, newest first. Raises AgoraError."""
    async with joined(shell) as agora:
        page = await agora.triggers.all()
    if shell.is_json:
        shell.print_json(page)
    elif not page.triggers:
        shell.say("there is no trigger")
    else:
        table = Table("trigger", "for", "then", "fired", "last", "over")
        for one in page.triggers:
            last = str(one.last) if one.last else ""
            table.add_row(
                one.trigger, _what(one.spec), _then(one.spec), str(one.fired), last, "yes" if one.is_over else ""
            )
        shell.print_table(table)
    return ExitCode.DONE


async def cancel(shell: Shell, trigger: str) -> ExitCode:
    """It fires no more. Raises AgoraError."""
    async with joined(shell) as agora:
        view = await agora.triggers.cancel(trigger)
    return _tell(shell, view)


def _tell(shell: Shell, view: TriggerView) -> ExitCode:
    over = "; it is over" if view.is_over else ""
    words = f"{view.trigger}: {_then(view.spec)} for {_what(view.spec)}; fired {view.fired} times{over}"
    return shell.answer(view, words)


def _what(spec: TriggerSpec) -> str:
    if spec.at:
        return f"position {spec.at}"
    named = (("source", spec.source), ("task", spec.task), ("agent", spec.agent), ("run", spec.run))
    return ", ".join([*spec.types, *(f"{name} {value}" for name, value in named if value)])


def _then(spec: TriggerSpec) -> str:
    return f"post {spec.post.title!r}" if spec.post is not None else f"wake {spec.wake}"
