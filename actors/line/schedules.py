"""`agora schedule …`."""

from functools import partial
from typing import Annotated

import typer

from actors.commands import schedules as schedule_commands
from actors.line.call import call_of
from bus.messages.schedules import Missed
from bus.messages.tasks import TaskSpec

app = typer.Typer(help="Tasks that are posted later, or again and again.", no_args_is_help=True)


@app.command("create")
def create_schedule(
    context: typer.Context,
    title: Annotated[str, typer.Argument(help="What shall be done, in a line.")],
    *,
    at: Annotated[str, typer.Option(help="When, in RFC 3339, such as 2030-01-01T09:00:00Z.", show_default=False)] = "",
    delay: Annotated[float, typer.Option(help="Or after so many seconds.", min=0, show_default=False)] = 0.0,
    cron: Annotated[str, typer.Option(help="Or by cron: minute, hour, day, month, weekday.", show_default=False)] = "",
    zone: Annotated[str, typer.Option(help="The time zone of --cron, by its IANA name.")] = "UTC",
    missed: Annotated[Missed, typer.Option(help="What becomes of times that passed while nothing ran.")] = "run_once",
    instructions: Annotated[str, typer.Option(help="What shall be done, in full.", show_default=False)] = "",
    reward: Annotated[int, typer.Option(help="The most to pay, in msat.", min=1)] = 1_000,
    capability: Annotated[str, typer.Option(help="What an agent must be able to do.", show_default="anyone")] = "",
) -> None:
    """Post a task at a time, after a delay, or by cron."""
    shell = call_of(context).shell()
    spec = TaskSpec(title=title, instructions=instructions, capability=capability, reward_msat=reward)
    shell.run(partial(schedule_commands.create, shell, spec, at=at, delay_s=delay, cron=cron, zone=zone, missed=missed))


@app.command("list")
def list_schedules(context: typer.Context) -> None:
    """Show them, newest first, with their next time."""
    shell = call_of(context).shell()
    shell.run(partial(schedule_commands.list_, shell))


@app.command("cancel")
def cancel_schedule(
    context: typer.Context, schedule: Annotated[str, typer.Argument(help="Its id, such as s-1.")]
) -> None:
    """Post no more tasks of it; those that are posted stay."""
    shell = call_of(context).shell()
    shell.run(partial(schedule_commands.cancel, shell, schedule))
