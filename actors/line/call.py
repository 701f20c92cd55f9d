"""The options that stand before the command, and what they amount to."""

import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import typer

from actors.commands.console import Shell
from actors.config import Settings

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
        return Shell(self.settings().config, is_json=self.is_json, reread=lambda: self.settings().config)


def call_of(context: typer.Context) -> Call:
    """The global options of this call."""
    call = context.find_root().obj
    assert isinstance(call, Call), "the callback runs before every command"
    return call


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
