"""`agora tail`: the events as they happen, one line each, from now or from a position.

A broken connection is taken up again where it ended, so no event is missing or shown twice; the positions on the lines
are where a later `--from` goes on.
"""

import signal
from collections.abc import Mapping
from contextlib import aclosing
from datetime import UTC, datetime

import anyio
import msgspec
import orjson

from actors.commands.connection import fields_of, joined, time_us_of
from actors.commands.console import ExitCode, Shell
from bus.errors import AgoraError, BadUsage
from bus.messages.base import Position
from web.client import AgoraClient
from web.live_feed import RequestFailed
from web.wire import WireEvent, encode

FIELD_CHARACTERS_MAX = 80
HIDDEN_FIELDS = frozenset({"persona", "spec", "ranking"})
"""They are long, and `--json` shows them."""


class Filters(msgspec.Struct, frozen=True):
    """Which events are shown; empty fields match all."""

    topics: tuple[str, ...] = ()
    task: str = ""
    agent: str = ""
    run: str = ""
    correlation: str = ""
    after: int | None = None


async def tail(shell: Shell, filters: Filters) -> ExitCode:
    """Show events until a signal says stop. Raises NotServing when the server is gone for good."""
    async with joined(shell) as agora, anyio.create_task_group() as tasks:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            tasks.start_soon(_show, shell, agora, filters)
            await anext(signals)
            tasks.cancel_scope.cancel()
    return ExitCode.DONE


async def _show(shell: Shell, agora: AgoraClient, filters: Filters) -> None:
    after = None if filters.after is None else Position(filters.after)
    asked = (
        ("task", filters.task),
        ("agent", filters.agent),
        ("run", filters.run),
        ("correlation", filters.correlation),
    )
    wanted = {name: value for name, value in asked if value}
    async with aclosing(aiter(agora.feed(filters.topics or ("#",), after=after, wanted=wanted))) as feed:
        try:
            async for event in feed:
                shell.out.print(encode(event).decode() if shell.is_json else line_of(event), markup=False)
        except RequestFailed as error:
            raise _said(error, filters) from error


def _said(error: RequestFailed, filters: Filters) -> AgoraError:
    """What the server says of the subscription, in the words of the command line."""
    if error.problem != "invalid_field":
        return error
    option = "--type" if ".topics" in error.detail else "--from"
    given = ", ".join(filters.topics) if option == "--type" else filters.after
    return BadUsage(f"{option} {given}: {error.detail.partition(': ')[2]}")


def line_of(event: WireEvent) -> str:
    """An event as one line: position, time, type, and its plain fields."""
    time = datetime.fromtimestamp(time_us_of(event) / 1e6, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
    return f"{event.position:>8} {time} {event.type:<20} {_fields(fields_of(event))}".rstrip()


def _fields(data: Mapping[str, object]) -> str:
    shown = (f"{name}={_short(value)}" for name, value in data.items() if name not in HIDDEN_FIELDS and value != "")
    return " ".join(shown)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= FIELD_CHARACTERS_MAX else text[: FIELD_CHARACTERS_MAX - 1] + "…"
