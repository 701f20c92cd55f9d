"""How a command finds the server that runs on a data directory: the file that `serve` keeps there while it serves.

Rules: the file is written whole or not at all, and says where the server listens and who it is; a file whose process
does not hold the directory is as good as none: what else has the id or the port by now is told no token. It holds no
secret: it names the file that does.
"""

import os
from pathlib import Path

import msgspec

from actors.commands.console import is_alive
from storage.directory import holder

NAME = "server.json"


class Presence(msgspec.Struct, frozen=True):
    """A server that serves a data directory."""

    url: str
    pid: int
    token_path: str


def announce(data: Path, presence: Presence) -> None:
    """Write the file. Blocking."""
    draft = data / f"{NAME}.{presence.pid}"
    draft.write_bytes(msgspec.json.encode(presence))
    os.replace(draft, data / NAME)


def withdraw(data: Path, presence: Presence) -> None:
    """Remove the file, if it is still this server's. Blocking."""
    if _told(data) == presence:
        (data / NAME).unlink(missing_ok=True)


def find(data: Path) -> Presence | None:
    """The server that runs on a data directory, if one does. Blocking."""
    presence = _told(data)
    if presence is None:
        return None
    try:
        is_there = holder(data) == presence.pid  # both as the server sees itself, from whatever container
    except PermissionError:  # it is somebody else's, who may look is all that can be known
        is_there = is_alive(presence.pid)
    return presence if is_there else None


def _told(data: Path) -> Presence | None:
    try:
        return msgspec.json.decode((data / NAME).read_bytes(), type=Presence)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None
