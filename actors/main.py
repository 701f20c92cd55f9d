"""The command line: `python -m actors.main`, or `agora`. Without a command it serves.

The one place where errors become words: whatever comes out of a command ends here as one line on stderr and an exit
code (0 done, 1 the work failed, 2 usage or config). No traceback reaches a user unless `--log-level debug` asks for it.
"""

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from actors.commands import settings as settings_command
from actors.commands import status as status_commands
from actors.commands import system as system_commands
from actors.commands import tasks as task_commands
from actors.commands.brief import brief as run_brief
from actors.commands.console import ExitCode, Shell, exit_code_of, first_of, message_of
from actors.commands.serve import SUPERVISED, supervise
from actors.commands.serve import serve as run_serve
from actors.commands.tail import Filters
from actors.commands.tail import tail as run_tail
from actors.line import approvals, cascade, checkpoints, invoices, journal, ledger, memory, schedules, tokens, triggers
from actors.line.call import Call, call_of, hoisted
from bus.messages.tasks import TaskSpec

app = typer.Typer(
    name="agora",
    help="A society of LLM agents, run durably and in the open. Without a command: serve.",
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def global_options(
    context: typer.Context,
    *,
    config: Annotated[
        Path | None, typer.Option(help="The config file (TOML).", envvar="AGORA_CONFIG", show_default=False)
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Where everything that lasts is kept.", show_default="agora-data")
    ] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="The port; 0 takes a free one.", show_default="8080")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.", show_default="info")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Take the options that stand before the command."""
    said = {"data": data, "web.host": host, "web.port": port, "log.level": log_level}
    context.obj = Call(config, {path: value for path, value in said.items() if value is not None}, is_json=json)
    if context.invoked_subcommand is None:
        serve(context)


@app.command("serve")
def serve_command(
    context: typer.Context,
    *,
    supervised: Annotated[
        bool, typer.Option(SUPERVISED, help="Under a small process that restarts it, and takes bad upgrades back.")
    ] = False,
) -> None:
    """Run the society and its pages until Ctrl-C or SIGTERM."""
    if supervised:
        supervise(call_of(context).shell(), sys.argv[1:])
    serve(context)


def serve(context: typer.Context) -> None:
    """Serve in this process."""
    shell = call_of(context).shell()
    shell.run(partial(run_serve, shell), is_server=True)


@app.command()
def brief(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(help="Documents, and folders that hold some.", metavar="PATH...")],
    reward: Annotated[int, typer.Option(help="The most to pay for each brief, in msat.", min=1)] = 1_000,
    sentences: Annotated[int, typer.Option(help="How long each brief shall be.", min=1, max=50)] = 5,
) -> None:
    """Let agents brief documents: *.txt, *.md, *.rst and the METADATA of installed packages."""
    shell = call_of(context).shell()
    shell.run(partial(run_brief, shell, tuple(paths), reward_msat=reward, sentences=sentences))


@app.command()
def post(
    context: typer.Context,
    title: Annotated[str, typer.Argument(help="What shall be done, in a line.")],
    *,
    instructions: Annotated[str, typer.Option(help="What shall be done, in full.")] = "",
    reward: Annotated[int, typer.Option(help="The most to pay, in msat.", min=1)] = 1_000,
    capability: Annotated[str, typer.Option(help="What an agent must be able to do; empty means anyone.")] = "",
    input_: Annotated[Path | None, typer.Option("--input", help="A document to give along.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end, and show the result.")] = False,
) -> None:
    """Post a task to the running server."""
    shell = call_of(context).shell()
    spec = TaskSpec(title=title, instructions=instructions, capability=capability, reward_msat=reward)
    shell.run(partial(task_commands.post, shell, spec, file=input_, is_waited_for=wait))


@app.command()
def wait(
    context: typer.Context,
    tasks: Annotated[list[str], typer.Argument(help="Ids such as t-1.", metavar="TASK...")],
) -> None:
    """Wait until tasks have ended; exit with 1 unless all were completed."""
    shell = call_of(context).shell()
    shell.run(partial(task_commands.wait, shell, tuple(tasks)))


@app.command()
def tail(
    context: typer.Context,
    *,
    from_: Annotated[
        int | None, typer.Option("--from", help="Begin after this position instead of now.", min=0)
    ] = None,
    topics: Annotated[
        list[str] | None, typer.Option("--type", help="Only these events, such as task.*; may be repeated.")
    ] = None,
    task: Annotated[str, typer.Option(help="Only events of this task.")] = "",
    agent: Annotated[str, typer.Option(help="Only events of this agent.")] = "",
    run: Annotated[str, typer.Option(help="Only events of this run; the served society is main.")] = "",
    correlation: Annotated[str, typer.Option(help="Only events of this conversation.")] = "",
) -> None:
    """Show the events as they happen."""
    shell = call_of(context).shell()
    shell.run(partial(run_tail, shell, Filters(tuple(topics or ()), task, agent, run, correlation, from_)))


@app.command()
def status(
    context: typer.Context,
    *,
    actors: Annotated[bool, typer.Option("--actors", help="Show the actor tree and what is wrong instead.")] = False,
) -> None:
    """Show tasks, agents, providers and the journal of the running server."""
    shell = call_of(context).shell()
    shell.run(partial(system_commands.actors if actors else status_commands.status, shell))


@app.command()
def halt(
    context: typer.Context, reason: Annotated[str, typer.Option(help="What to tell the others of it.")] = ""
) -> None:
    """Stop everything: no new turn, call or assignment begins until `resume`."""
    shell = call_of(context).shell()
    shell.run(partial(system_commands.halt, shell, reason))


@app.command()
def resume(context: typer.Context) -> None:
    """Let everything go on where it stood."""
    shell = call_of(context).shell()
    shell.run(partial(system_commands.resume, shell))


@app.command()
def link(context: typer.Context) -> None:
    """Print a fresh link that opens the page with all rights, once."""
    shell = call_of(context).shell()
    shell.run(partial(status_commands.issue_link, shell))


@app.command("config")
def show_config(context: typer.Context) -> None:
    """Show the settings in effect, and where each comes from."""
    call = call_of(context)
    settings = call.settings()
    raise typer.Exit(settings_command.show(Shell(settings.config, is_json=call.is_json), settings))


# Declared after the commands above, so that the help lists them in this order.
app.add_typer(journal.app)
app.add_typer(approvals.decisions)
app.add_typer(checkpoints.app, name="checkpoints")
app.add_typer(tokens.app, name="token")
app.add_typer(ledger.app, name="ledger")
app.add_typer(cascade.app)
app.add_typer(cascade.completions, name="completions")
app.add_typer(invoices.app, name="invoice")
app.add_typer(memory.app, name="memory")
app.add_typer(schedules.app, name="schedule")
app.add_typer(triggers.app, name="trigger")
app.add_typer(approvals.app, name="approvals")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command, and end the process with its exit code."""
    said = sys.argv[1:] if arguments is None else list(arguments)
    try:
        app(args=hoisted(said))
    except Exception as error:  # noqa: BLE001  the command line's last resort: no traceback reaches a user
        cause = first_of(error)
        if isinstance(cause, BrokenPipeError):
            # Whoever read the output has gone, as `head` does; what is still buffered has nowhere to go.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(ExitCode.FAILED)
        print(f"agora: {message_of(cause)}", file=sys.stderr)  # noqa: T201  logging may not be set up yet
        sys.exit(exit_code_of(cause))


if __name__ == "__main__":
    main()
