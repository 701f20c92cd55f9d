"""`agora memory …`."""

from functools import partial
from typing import Annotated

import typer

from actors.commands import memory as memory_commands
from actors.line.call import call_of
from bus.messages.memory import Audience, Which

app = typer.Typer(help="What agents and people remember.", no_args_is_help=True)

Fact = Annotated[str, typer.Argument(help="Its id, such as f-1.")]
AsOf = Annotated[str, typer.Option(help="What was so then, in RFC 3339.", show_default="now")]


@app.command("list")
def list_facts(
    context: typer.Context,
    *,
    every: Annotated[bool, typer.Option("--all", help="Also what has ended or has not begun.")] = False,
    as_of: AsOf = "",
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=500)] = 50,
    after: Annotated[str, typer.Option(help="Go on after this fact.", show_default=False)] = "",
) -> None:
    """Show what is remembered, newest first."""
    shell = call_of(context).shell()
    which: Which = "all" if every else "valid"
    shell.run(partial(memory_commands.list_, shell, which=which, as_of=as_of, limit=limit, after=after))


@app.command("recall")
def recall_facts(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="Words to look for.")],
    *,
    as_of: AsOf = "",
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=500)] = 10,
) -> None:
    """Look facts up by words, the best matches first."""
    shell = call_of(context).shell()
    shell.run(partial(memory_commands.recall, shell, query, as_of=as_of, limit=limit))


@app.command("show")
def show_fact(context: typer.Context, fact: Fact) -> None:
    """Show every version of a fact."""
    shell = call_of(context).shell()
    shell.run(partial(memory_commands.show, shell, fact))


@app.command("remember")
def remember_fact(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(help="What it is about, in a line.")],
    text: Annotated[str, typer.Argument(help="What is so.")],
    *,
    readers: Annotated[
        list[str] | None,
        typer.Option(
            "--reader", help="Only for these, such as agents/scout; may be repeated.", show_default="everyone"
        ),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Only for yourself.")] = False,
    valid_from: Annotated[str, typer.Option(help="Since when, in RFC 3339.", show_default="now")] = "",
    valid_to: Annotated[str, typer.Option(help="Until when, in RFC 3339.", show_default=False)] = "",
) -> None:
    """Remember something, for everyone unless said otherwise."""
    shell = call_of(context).shell()
    audience: Audience = "named" if readers else "owner" if private else "everyone"
    shell.run(
        partial(
            memory_commands.remember,
            shell,
            subject,
            text,
            audience=audience,
            readers=readers or [],
            valid_from=valid_from,
            valid_to=valid_to,
        )
    )


@app.command("correct")
def correct_fact(
    context: typer.Context,
    fact: Fact,
    text: Annotated[str, typer.Argument(help="What is so instead.")],
    *,
    reason: Annotated[str, typer.Option(help="Why.", show_default=False)] = "",
    valid_from: Annotated[str, typer.Option(help="Since when, in RFC 3339.", show_default="now")] = "",
) -> None:
    """Put a text in a fact's place; the old one stays to be read."""
    shell = call_of(context).shell()
    shell.run(partial(memory_commands.correct, shell, fact, text, reason=reason, valid_from=valid_from))


@app.command("end")
def end_fact(
    context: typer.Context, fact: Fact, reason: Annotated[str, typer.Option(help="Why.", show_default=False)] = ""
) -> None:
    """Say that a fact is no longer so."""
    shell = call_of(context).shell()
    shell.run(partial(memory_commands.end, shell, fact, reason=reason))
