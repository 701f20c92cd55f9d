"""How far the journal is known to have come, kept apart from the journal.

SQLite restores a consistent prefix from a damaged write-ahead log and says nothing. The mark notices: a journal whose
head is below it came back shorter. It is written after each commit and before its answer, so that nothing that was
acknowledged lies behind it; it is never synced, so after a loss of power it may lag, but it never runs ahead of the
journal. Two places in the file take turns, each with a checksum: where one was torn, the other stands.

These calls touch the disk: they belong on a thread.
"""

import os
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec

MARK_NAME = "journal.mark"
PLACE_BYTES: Final = 128
"""Two numbers of nineteen digits with their names fit in, and no place crosses a sector of the disk."""
MODE: Final = 0o644


class Mark(msgspec.Struct, frozen=True):
    """The head of the journal at some time."""

    epoch: int
    position: int


class UnreadableMark(ValueError):
    """The mark is there but cannot be understood; it then says nothing."""


class MarkFile:
    """The mark of a journal that is being written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self._turn = 0

    def note(self, mark: Mark) -> None:
        """Write the mark over the older of the two. Raises OSError."""
        if self._file is None:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
        os.pwrite(self._file, _place(mark), self._turn * PLACE_BYTES)
        self._turn = 1 - self._turn

    def close(self) -> None:
        """Let go of the file; the next mark opens it again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def read_mark(path: Path) -> Mark | None:
    """The mark, or None where none was ever written. Raises UnreadableMark."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnreadableMark(str(error)) from error
    whole = [mark for line in content.split(b"\n") if (mark := _read(line)) is not None]
    if whole:
        return max(whole, key=lambda mark: (mark.epoch, mark.position))
    try:
        return msgspec.json.decode(content, type=Mark)  # the older form, which was replaced whole and had no checksum
    except msgspec.DecodeError as error:
        raise UnreadableMark(str(error)) from error


def write_mark(path: Path, mark: Mark) -> None:
    """Make the mark of a journal that nobody writes. Raises OSError."""
    path.write_bytes(_place(mark))


def _place(mark: Mark) -> bytes:
    """Such as `{"epoch":1,"position":42} 1c291ca3`, filled up with spaces to a line."""
    text = msgspec.json.encode(mark)
    return b"%s %08x" % (text, crc32(text)) + b"\n".rjust(PLACE_BYTES - len(text) - 9)


def _read(line: bytes) -> Mark | None:
    text, _, checksum = line.rstrip().rpartition(b" ")
    if checksum != b"%08x" % crc32(text):
        return None
    try:
        return msgspec.json.decode(text, type=Mark)
    except msgspec.DecodeError:
        return None
