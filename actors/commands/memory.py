"""`agora memory`: what agents and people remember."""

import secrets
from datetime import UTC, datetime

from rich.table import Table

from actors.commands.connection import joined
from actors.commands.console import ExitCode, Shell
from bus.messages.memory import Audience, FactPage, FactView, Which


async def list_(shell: Shell, *, which: Which, as_of: str, limit: int, after: str) -> ExitCode:
    """Facts, newest first. Raises AgoraError."""
    async with joined(shell) as agora:
        page = await agora.memory.all(which=which, as_of=as_of, limit=limit, after=after)
    _tell_page(shell, page, nothing="nothing is remembered")
    if page.next and not shell.is_json:
        shell.say(f"there are more: --after {page.next}")
    return ExitCode.DONE


async def recall(shell: Shell, query: str, *, as_of: str, limit: int) -> ExitCode:
    """Facts by words, best first. Raises AgoraError."""
    async with joined(shell) as agora:
        page = await agora.memory.recall(query, as_of=as_of, limit=limit)
    _tell_page(shell, page, nothing="nothing that is remembered has these words")
    return ExitCode.DONE


async def show(shell: Shell, fact: str) -> ExitCode:
    """Every version of a fact. Raises AgoraError."""
    async with joined(shell) as agora:
        history = await agora.memory.history(fact)
    if shell.is_json:
        shell.print_json(history)
    else:
        for version in history.versions:
            _say(shell, version)
    return ExitCode.DONE


async def remember(
    shell: Shell, subject: str, text: str, *, audience: Audience, readers: list[str], valid_from: str, valid_to: str
) -> ExitCode:
    """Remember a fact. Raises AgoraError."""
    async with joined(shell) as agora:
        view = await agora.memory.remember(
            subject,
            text,
            audience=audience,
            readers=readers,
            valid_from=valid_from,
            valid_to=valid_to,
            key=_key(),
        )
    return _tell(shell, view)


async def correct(shell: Shell, fact: str, text: str, *, reason: str, valid_from: str) -> ExitCode:
    """Put a text in a fact's place. Raises AgoraError."""
    async with joined(shell) as agora:
        view = await agora.memory.correct(fact, text, reason=reason, valid_from=valid_from, key=_key())
    return _tell(shell, view)


async def end(shell: Shell, fact: str, *, reason: str) -> ExitCode:
    """Say that a fact is no longer so. Raises AgoraError."""
    async with joined(shell) as agora:
        view = await agora.memory.end(fact, reason=reason)
    return _tell(shell, view)


def _key() -> str:
    return f"memory/{secrets.token_hex(8)}"


def _tell_page(shell: Shell, page: FactPage, *, nothing: str) -> None:
    if shell.is_json:
        shell.print_json(page)
    elif not page.facts:
        shell.say(nothing)
    else:
        table = Table("fact", "subject", "what is so", "by", "for", "valid")
        for one in page.facts:
            table.add_row(one.fact, one.subject, one.text, one.by, _for(one), _valid(one))
        shell.print_table(table)


def _tell(shell: Shell, view: FactView) -> ExitCode:
    if shell.is_json:
        shell.print_json(view)
    else:
        _say(shell, view)
    return ExitCode.DONE


def _say(shell: Shell, view: FactView) -> None:
    reason = f"; {view.reason}" if view.reason else ""
    shell.say(f"{view.fact}: {view.subject}: {view.text} (by {view.by}, for {_for(view)}, {_valid(view)}{reason})")


def _for(view: FactView) -> str:
    match view.audience:
        case "everyone":
            return "everyone"
        case "named":
            return ", ".join((view.owner, *view.readers))
        case "owner":
            return view.owner


def _valid(view: FactView) -> str:
    since = f"since {_time(view.valid_from_us)}"
    if view.valid_to_us:
        since = f"{_time(view.valid_from_us)} to {_time(view.valid_to_us)}"
    return f"{since}, superseded by {view.superseded_by}" if view.superseded_by else since


def _time(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
