"""What the commands share: the settings in effect, where they print, and what an error means to a shell.

Exit codes: 0 done, 1 the work failed, 2 usage or config. What a person reads goes to stdout, or as one JSON document
with `--json`; errors are one line each on stderr.
"""

import errno
import os
import signal
from collections.abc import Callable, Coroutine
from enum import IntEnum
from pathlib import Path
from typing import Any

import anyio
import msgspec
import orjson
import typer
from rich.console import Console
from rich.table import Table

from actors import logs
from actors.config import Config
from bus.errors import AgoraError, BadUsage, ConfigError

WIDTH_ELSEWHERE = 160
"""Columns where the output is no terminal: a file or a pipe has no width of its own."""


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1
    USAGE = 2
    RESTART = 75
    """Only to the process above a server: start me again (`actors/supervised.py`)."""


class Output(Console):
    """Where a command prints."""

    def on_broken_pipe(self) -> None:
        """Whoever read the output has gone. An error like any other: leaving the process from inside a task is not."""
        raise BrokenPipeError(errno.EPIPE, "whoever read the output has gone")


class Shell:
    """One call of the command line."""

    def __init__(self, config: Config, *, is_json: bool, reread: Callable[[], Config] | None = None) -> None:
        self.config = config
        self.reread = reread or (lambda: config)
        """Reads the settings again, from where they came."""
        self.is_json = is_json
        self.out = Output(soft_wrap=True, highlight=False)
        if not self.out.is_terminal:
            self.out.width = WIDTH_ELSEWHERE
        self.err = Output(stderr=True, soft_wrap=True, highlight=False)

    @property
    def data(self) -> Path:
        return Path(self.config.data)

    def say(self, text: str) -> None:
        """A line for people; with `--json` stdout belongs to the machine, and it goes to stderr."""
        (self.err if self.is_json else self.out).print(text, markup=False)

    def print_table(self, table: Table) -> None:
        """A table, wrapped to the terminal."""
        self.out.print(table, soft_wrap=False)

    def print_json(self, value: object) -> None:
        """One JSON document."""
        document = orjson.dumps(msgspec.to_builtins(value), option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
        self.out.print(document.decode(), markup=False)

    def answer(self, value: object, words: str) -> ExitCode:
        """What a command ends with: a document for machines with `--json`, else words for people."""
        if self.is_json:
            self.print_json(value)
        else:
            self.say(words)
        return ExitCode.DONE

    def run(self, command: Callable[[], Coroutine[Any, Any, ExitCode]], *, is_server: bool = False) -> None:
        """Run a command's coroutine, and leave with its exit code."""
        level = self.config.log.level
        if level == "info" and not is_server:
            level = "warning"
        logs.configure(level)
        raise typer.Exit(anyio.run(command))


def exit_code_of(error: BaseException) -> ExitCode:
    """What an error means to the shell that called."""
    return ExitCode.USAGE if isinstance(error, ConfigError | BadUsage) else ExitCode.FAILED


def first_of(error: BaseException) -> BaseException:
    """The error itself, or the first one of a group: the others are its consequences."""
    while isinstance(error, BaseExceptionGroup):
        error = next((one for one in error.exceptions if isinstance(one, AgoraError)), error.exceptions[0])
    return error


def message_of(error: BaseException) -> str:
    """One line for a person, without a traceback."""
    match error:
        case AgoraError():
            text = str(error)
        case OSError(strerror=str(reason)):
            text = f"{error.filename}: {reason}" if error.filename else reason
        case _:
            text = ": ".join(part for part in (type(error).__name__, str(error)) if part)
    return " ".join(text.split())


def counted(count: int, what: str) -> str:
    """Such as `1 blob` or `2 blobs`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def end_at_next_signal() -> None:
    """From now on an interrupt or a termination ends the process at once."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def is_alive(pid: int) -> bool:
    """Whether a process with that id runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
