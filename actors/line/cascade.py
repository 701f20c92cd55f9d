"""`agora reload` and `agora completions …`."""

from functools import partial
from typing import Annotated

import typer

from actors.commands import cascade as cascade_commands
from actors.line.call import call_of

app = typer.Typer()
completions = typer.Typer(help="What was asked of models, and what they said.", no_args_is_help=True)


@app.command()
def reload(context: typer.Context) -> None:
    """Have the running server read its settings again; those of the cascade count at once."""
    shell = call_of(context).shell()
    shell.run(partial(cascade_commands.reload, shell))


@completions.command("list")
def list_completions(
    context: typer.Context,
    *,
    agent: Annotated[str, typer.Option(help="Only those of this agent.")] = "",
    task: Annotated[str, typer.Option(help="Only those of this task.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=200)] = 20,
) -> None:
    """Show the newest completions that the log keeps."""
    shell = call_of(context).shell()
    shell.run(partial(cascade_commands.list_completions, shell, agent, task, limit))


@completions.command("show")
def show_completion(
    context: typer.Context, completion: Annotated[str, typer.Argument(help="An id such as m-1.")]
) -> None:
    """Show one in full: what was asked, every attempt, the answer."""
    shell = call_of(context).shell()
    shell.run(partial(cascade_commands.show_completion, shell, completion))


@completions.command("export")
def export_completions(
    context: typer.Context, file: Annotated[str, typer.Argument(help="A new file, or - for stdout.")]
) -> None:
    """Write all of them as JSON Lines; `router.replay` answers from such a file."""
    shell = call_of(context).shell()
    shell.run(partial(cascade_commands.export_completions, shell, file))
