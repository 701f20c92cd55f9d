"""`agora trigger …`."""

from functools import partial
from typing import Annotated

import typer

from actors.commands import triggers as trigger_commands
from actors.line.call import call_of
from bus.address import Address
from bus.errors import BadUsage
from bus.messages.base import Position
from bus.messages.tasks import TaskSpec
from bus.messages.triggers import TriggerSpec

app = typer.Typer(help="Tasks that are posted, and actors that are woken, by what happens.", no_args_is_help=True)


@app.command("create")
def create_trigger(
    context: typer.Context,
    title: Annotated[str, typer.Argument(help="The task to post, in a line.", show_default=False)] = "",
    *,
    types: Annotated[
        list[str] | None, typer.Option("--type", help="For these events, such as task.*; may be repeated.")
    ] = None,
    source: Annotated[str, typer.Option(help="Of this actor, such as agents/scout.", show_default=False)] = "",
    task: Annotated[str, typer.Option(help="Of this task.", show_default=False)] = "",
    agent: Annotated[str, typer.Option(help="Of this agent.", show_default=False)] = "",
    run: Annotated[str, typer.Option(help="Of this run.", show_default=False)] = "",
    at: Annotated[int, typer.Option(help="Or once, when this position is reached.", min=0, show_default=False)] = 0,
    wake: Annotated[str, typer.Option(help="Wake this actor instead of posting a task.", show_default=False)] = "",
    pause: Annotated[float, typer.Option(help="At most once in so many seconds.", min=0.1)] = 1.0,
    times: Annotated[int, typer.Option(help="Over after so many times.", min=0, show_default="never")] = 0,
    instructions: Annotated[str, typer.Option(help="What shall be done, in full.", show_default=False)] = "",
    reward: Annotated[int, typer.Option(help="The most to pay, in msat.", min=1)] = 1_000,
    capability: Annotated[str, typer.Option(help="What an agent must be able to do.", show_default="anyone")] = "",
) -> None:
    """Post a task, or wake an actor, for each event that matches, or when a position is reached."""
    if bool(title) == bool(wake):
        raise BadUsage("say what happens: either the title of a task, or --wake ACTOR")
    post = TaskSpec(title=title, instructions=instructions, capability=capability, reward_msat=reward)
    spec = TriggerSpec(
        types=tuple(types or ()),
        source=source,
        task=task,
        agent=agent,
        run=run,
        at=Position(at),
        post=post if title else None,
        wake=Address(wake),
        pause_s=pause,
        fires_max=times,
    )
    shell = call_of(context).shell()
    shell.run(partial(trigger_commands.create, shell, spec))


@app.command("list")
def list_triggers(context: typer.Context) -> None:
    """Show them, newest first, with what they have fired for."""
    shell = call_of(context).shell()
    shell.run(partial(trigger_commands.list_, shell))


@app.command("cancel")
def cancel_trigger(
    context: typer.Context, trigger: Annotated[str, typer.Argument(help="Its id, such as g-1.")]
) -> None:
    """Let it fire no more."""
    shell = call_of(context).shell()
    shell.run(partial(trigger_commands.cancel, shell, trigger))
