"""`agora schedule`: tasks that are posted later, or again and again."""

import secrets
from datetime import UTC, datetime

from rich.table import Table

from actors.commands.connection import joined
from actors.commands.console import ExitCode, Shell
from bus.messages.schedules import Missed, ScheduleView
from bus.messages.tasks import TaskSpec


async def create(
    shell: Shell, spec: TaskSpec, *, at: str, delay_s: float, cron: str, zone: str, missed: Missed
) -> ExitCode:
    """Let a task be posted later. Raises AgoraError."""
    async with joined(shell) as agora:
        view = await agora.schedules.create(
            spec, at=at, delay_s=delay_s, cron=cron, zone=zone, missed=missed, key=f"schedule/{secrets.token_hex(8)}"
        )
    return _tell(shell, view)


async def list_(shell: Shell) -> ExitCode:
    """All schedules, newest first. Raises AgoraError."""
    async with joined(shell) as agora:
        page = await agora.schedules.all()
    if shell.is_json:
        shell.print_json(page)
    elif not page.schedules:
        shell.say("there is no schedule")
    else:
        table = Table("schedule", "next", "when", "posted", "task")
        for one in page.schedules:
            table.add_row(one.schedule, _next(one), _when(one), str(one.posted), one.spec.task.title)
        shell.print_table(table)
    return ExitCode.DONE


async def cancel(shell: Shell, schedule: str) -> ExitCode:
    """No more tasks of it. Raises AgoraError."""
    async with joined(shell) as agora:
        view = await agora.schedules.cancel(schedule)
    return _tell(shell, view)


def _tell(shell: Shell, view: ScheduleView) -> ExitCode:
    return shell.answer(view, f"{view.schedule}: {view.spec.task.title!r}, {_when(view)}; next: {_next(view)}")


def _next(view: ScheduleView) -> str:
    if view.is_cancelled:
        return "never: cancelled"
    return _time(view.next_us) if view.next_us else "never again"


def _when(view: ScheduleView) -> str:
    spec = view.spec
    if spec.cron:
        return f"{spec.cron} in {spec.zone}"
    return f"after {spec.delay_s:g} s" if spec.delay_s else f"at {_time(spec.at_us)}"


def _time(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
