"""The command line: `python -m actors.main`, or `agora`. Without a command it serves.

The one place where errors become words: whatever comes out of a command ends here as one line on stderr and an exit
code (0 done, 1 the work failed, 2 usage or config). No traceback reaches a user unless `--log-level debug` asks for it.
"""

import os
import sys
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from actors.commands import approvals as approval_commands
from actors.commands import checkpoints as checkpoint_commands
from actors.commands import exchange as exchange_commands
from actors.commands import forks as fork_commands
from actors.commands import journal as journal_commands
from actors.commands import settings as settings_command
from actors.commands import status as status_commands
from actors.commands import system as system_commands
from actors.commands import tasks as task_commands
from actors.commands import tokens as token_commands
from actors.commands.brief import brief as run_brief
from actors.commands.console import ExitCode, Shell, exit_code_of, first_of, message_of
from actors.commands.replay import replay as run_replay
from actors.commands.serve import serve as run_serve
from actors.commands.tail import Filters
from actors.commands.tail import tail as run_tail
from actors.commands.view import view as run_view
from actors.config import Settings
from bus.messages.tasks import TaskSpec

app = typer.Typer(
    name="agora",
    help="A society of LLM agents, run durably and in the open. Without a command: serve.",
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
checkpoints_app = typer.Typer(help="List, verify, compare, save, pin and go back to checkpoints.", no_args_is_help=True)
tokens_app = typer.Typer(help="Tokens of agents, people and programs.", no_args_is_help=True)
ledger_app = typer.Typer(help="Look after the money.", no_args_is_help=True)
app.add_typer(checkpoints_app, name="checkpoints")
app.add_typer(ledger_app, name="ledger")
app.add_typer(tokens_app, name="token")
approvals_app = typer.Typer(help="What waits for a person's word.", no_args_is_help=True)
app.add_typer(approvals_app, name="approvals")


OnlyState = Annotated[str, typer.Option("--state", help="Only those in this state, such as ready.")]
Proposal = Annotated[str, typer.Argument(help="Its id, such as p-1.", metavar="ID")]
Reason = Annotated[str, typer.Option(help="Why. Asked for when it is left out.")]
Hash = Annotated[str, typer.Option("--hash", help="Decide only if this is still its hash.")]
Which = Annotated[str, typer.Argument(help="An id, a position, step:N, a label, a time, or `newest`.")]
What = Annotated[Path, typer.Argument(help="A data directory, a mirror, or an export.")]
Into = Annotated[Path, typer.Option(help="An empty or new directory.")]
NewFile = Annotated[Path, typer.Argument(help="A new file.")]
Keep = Annotated[int, typer.Option(help="How many stay beside the pinned ones.", min=1)]
At = Annotated[str, typer.Argument(help="A position, or a checkpoint's id, label, time, step:N or `newest`.")]

GLOBAL_OPTIONS = frozenset({"--config", "--data", "--host", "--port", "--log-level"})
GLOBAL_FLAGS = frozenset({"--json"})


class Call:
    """The global options, and what they amount to once a command is known to need the settings."""

    def __init__(self, file: Path | None, flags: dict[str, object], *, is_json: bool) -> None:
        self._file = file
        self._flags = flags
        self.is_json = is_json

    def settings(self) -> Settings:
        return Settings(self._file, os.environ, self._flags)

    def shell(self) -> Shell:
        return Shell(self.settings().config, is_json=self.is_json)


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


@app.command()
def serve(context: typer.Context) -> None:
    """Run the society and its pages until Ctrl-C or SIGTERM."""
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
) -> None:
    """Show the events as they happen."""
    shell = call_of(context).shell()
    shell.run(partial(run_tail, shell, Filters(tuple(topics or ()), task, agent, from_)))


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


@checkpoints_app.command("list")
def list_checkpoints(context: typer.Context) -> None:
    """List what is kept, newest first."""
    shell = call_of(context).shell()
    shell.run(partial(checkpoint_commands.list_, shell))


@checkpoints_app.command("verify")
def verify_checkpoints(
    context: typer.Context,
    checkpoint: Annotated[str, typer.Argument(help="Its id; without one, all of them.")] = "",
) -> None:
    """Prove that checkpoints are whole."""
    shell = call_of(context).shell()
    shell.run(partial(checkpoint_commands.verify, shell, checkpoint))


@checkpoints_app.command("create")
def create_checkpoint(
    context: typer.Context,
    label: Annotated[str, typer.Option(help="A name to find it by.")] = "",
) -> None:
    """Save a checkpoint now."""
    shell = call_of(context).shell()
    shell.run(partial(checkpoint_commands.create, shell, label))


@checkpoints_app.command("pin")
def pin_checkpoint(context: typer.Context, checkpoint: Which) -> None:
    """Let one stay, whatever comes after it."""
    shell = call_of(context).shell()
    shell.run(partial(checkpoint_commands.pin, shell, checkpoint, is_pinned=True))


@checkpoints_app.command("unpin")
def unpin_checkpoint(context: typer.Context, checkpoint: Which) -> None:
    """Let one go its way with the others."""
    shell = call_of(context).shell()
    shell.run(partial(checkpoint_commands.pin, shell, checkpoint, is_pinned=False))


@checkpoints_app.command("diff")
def diff_checkpoints(context: typer.Context, first: Which, second: Which) -> None:
    """Show what changed from one to another, actor by actor."""
    shell = call_of(context).shell()
    shell.run(partial(checkpoint_commands.diff, shell, first, second))


@checkpoints_app.command("prune")
def prune_checkpoints(context: typer.Context, keep: Keep = 1) -> None:
    """Remove all but the newest and the pinned ones."""
    shell = call_of(context).shell()
    shell.run(partial(checkpoint_commands.prune, shell, keep))


@checkpoints_app.command("restore")
def restore_checkpoint(context: typer.Context, at: At) -> None:
    """Go on from an earlier position; what is there now is kept beside it."""
    shell = call_of(context).shell()
    shell.run(partial(fork_commands.restore, shell, at))


@checkpoints_app.command("fork")
def fork_checkpoint(context: typer.Context, at: At, into: Into) -> None:
    """Make another directory that goes on from an earlier position."""
    shell = call_of(context).shell()
    shell.run(partial(fork_commands.fork, shell, at, into))


@app.command()
def replay(
    context: typer.Context,
    to: Annotated[
        int | None, typer.Option(help="Fold up to this position.", min=0, show_default="the last one")
    ] = None,
) -> None:
    """Fold the journal from nothing; exit with 1 if a checkpoint says something else."""
    shell = call_of(context).shell()
    shell.run(partial(run_replay, shell, to))


@approvals_app.command("list")
def list_approvals(context: typer.Context, state: OnlyState = "") -> None:
    """Show the newest proposals, and how many wait."""
    shell = call_of(context).shell()
    shell.run(partial(approval_commands.list_, shell, state))


@app.command()
def approve(context: typer.Context, proposal: Proposal, reason: Reason = "", hash_: Hash = "") -> None:
    """Show a proposal with its diff, ask, and approve exactly that."""
    decide(context, proposal, "approve", reason, hash_)


@app.command()
def reject(context: typer.Context, proposal: Proposal, reason: Reason = "", hash_: Hash = "") -> None:
    """Show a proposal with its diff, ask, and reject it."""
    decide(context, proposal, "reject", reason, hash_)


@tokens_app.command("create")
def create_token(
    context: typer.Context,
    agent: Annotated[str, typer.Option(help="The agent that it may speak for.")] = "",
    name: Annotated[str, typer.Option(help="What to call it; the agent's name if left out.")] = "",
    scope: Annotated[
        list[str] | None, typer.Option(help="Instead of an agent: read, task, agent, ledger, approve, admin.")
    ] = None,
) -> None:
    """Make a token for an agent's own program, or one with scopes, and print it once."""
    shell = call_of(context).shell()
    shell.run(partial(token_commands.create, shell, agent, name, tuple(scope or ())))


@tokens_app.command("list")
def list_tokens(context: typer.Context) -> None:
    """Show which tokens are good."""
    shell = call_of(context).shell()
    shell.run(partial(token_commands.list_, shell))


@tokens_app.command("revoke")
def revoke_token(context: typer.Context, name: Annotated[str, typer.Argument(help="The token's name.")]) -> None:
    """Let a token be good no more."""
    shell = call_of(context).shell()
    shell.run(partial(token_commands.revoke, shell, name))


@app.command()
def export(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="A new file, or - for stdout.")],
    *,
    sealed: Annotated[
        bool, typer.Option("--sealed", help="With sealed fields, such as the bids of open auctions.")
    ] = False,
) -> None:
    """Write the journal as JSON Lines."""
    shell = call_of(context).shell()
    shell.run(partial(exchange_commands.export, shell, file, has_sealed=sealed))


@app.command("import")
def import_(
    context: typer.Context, file: Annotated[str, typer.Argument(help="What `export --sealed` wrote, or - for stdin.")]
) -> None:
    """Make a data directory of JSON Lines; tell every line that cannot be taken."""
    shell = call_of(context).shell()
    shell.run(partial(exchange_commands.import_, shell, file))


@app.command()
def verify(context: typer.Context) -> None:
    """Prove that the journal is what was written, and name the first position that is not."""
    shell = call_of(context).shell()
    shell.run(partial(journal_commands.verify, shell))


@app.command()
def prune(
    context: typer.Context,
    upto: Annotated[
        int, typer.Option(help="Up to this position; without it, as the settings say.", min=0, show_default=False)
    ] = 0,
) -> None:
    """Let old events go; the ledger's and approvals' stay, and so does what a checkpoint may need."""
    shell = call_of(context).shell()
    shell.run(partial(journal_commands.prune, shell, upto))


@app.command()
def backup(context: typer.Context, file: NewFile) -> None:
    """Copy the data directory into one file, while it is used or not, and prove the copy."""
    shell = call_of(context).shell()
    shell.run(partial(exchange_commands.backup, shell, file))


@app.command()
def view(context: typer.Context, what: What) -> None:
    """Show the pages over a journal or a mirror, with nothing running."""
    shell = call_of(context).shell()
    shell.run(partial(run_view, shell, what), is_server=True)


@ledger_app.command("check")
def check_ledger(context: typer.Context) -> None:
    """Prove that no money came from nowhere."""
    shell = call_of(context).shell()
    shell.run(partial(status_commands.check_ledger, shell))


def call_of(context: typer.Context) -> Call:
    """The global options of this call."""
    call = context.find_root().obj
    assert isinstance(call, Call), "the callback runs before every command"
    return call


def decide(context: typer.Context, proposal: str, word: approval_commands.Decision, reason: str, hash_: str) -> None:
    """Run the command that shows a proposal, asks, and decides."""
    shell = call_of(context).shell()
    shell.run(partial(approval_commands.decide, shell, proposal, word, reason=reason, hash_=hash_))


def hoisted(arguments: Sequence[str]) -> list[str]:
    """The arguments with the global options in front, where they are understood: people write them anywhere."""
    front: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for word in waiting:
        if word == "--":
            rest += [word, *waiting]
        elif word in GLOBAL_FLAGS or (word.partition("=")[0] in GLOBAL_OPTIONS and "=" in word):
            front.append(word)
        elif word in GLOBAL_OPTIONS:
            front += [word, *islice(waiting, 1)]
        else:
            rest.append(word)
    return front + rest


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
