"""`agora config`: the settings in effect, each with where it comes from. They hold no secrets."""

import msgspec
import orjson

from actors.commands.console import ExitCode, Shell
from actors.config import Settings
from actors.rules.settings import is_tree, leaves, shown


def show(shell: Shell, settings: Settings) -> ExitCode:
    """Print the settings, one a line, as `key = value  # origin`; with `--json` as one document with their hash."""
    tree = msgspec.to_builtins(settings.config)
    assert is_tree(tree), "settings are a table"
    if shell.is_json:
        shell.print_json({"settings": tree, "hash": settings.config.hash})
        return ExitCode.DONE
    for path, value in leaves(tree):
        shell.out.print(f"{shown(path)} = {orjson.dumps(value).decode()}  # {settings.origin(path)}", markup=False)
    return ExitCode.DONE
