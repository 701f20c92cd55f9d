"""How far the journal is known to have come, kept apart from the journal.

SQLite restores a consistent prefix from a damaged write-ahead log and says nothing. The mark notices: a journal whose
head is below it came back shorter. It is written after the commits that it speaks of and never synced, so it may lag
behind the journal but never run ahead of it. These calls touch the disk: they belong on a thread.
"""

import os
from pathlib import Path

import msgspec

MARK_NAME = "journal.mark"


class Mark(msgspec.Struct, frozen=True):
    """The head of the journal at some time."""

    epoch: int
    position: int


class UnreadableMark(ValueError):
    """The mark is there but cannot be understood; it then says nothing."""


def read_mark(path: Path) -> Mark | None:
    """The mark, or None where none was ever written. Raises UnreadableMark."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Mark)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise UnreadableMark(str(error)) from error


def write_mark(path: Path, mark: Mark) -> None:
    """Replace the mark whole. Raises OSError."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_bytes(msgspec.json.encode(mark))
    os.replace(temporary, path)
