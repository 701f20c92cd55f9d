"""The keys of personal text that a reading thread has at hand, and what it has opened with them.

Rules: what was read is used again until the file is forgotten. Who destroys a key, or takes one along, has every thread
forget the file before it says so; who reads beside another process forgets it before each read. How much is remembered
has a bound.

Lives on one thread.
"""

from collections.abc import Collection
from pathlib import Path

from storage.boxes import has_box
from storage.files import Files
from storage.keys import Opener

BLOCKS_KEPT = 64
"""Blocks of keys, of 32 KB: those of some hundred thousand events."""
TEXTS_BYTES_MAX = 1024 * 1024
"""Of boxes and what was in them: the newest pages are asked for again by every page and socket that opens."""


class Keyring(Opener):
    """Opens boxes for one read after another."""

    def __init__(self, files: Files, path: Path) -> None:
        super().__init__(lambda: files.get(path), path)
        self._texts: dict[bytes, bytes] = {}
        self._texts_bytes = 0

    @property
    def size(self) -> tuple[int, int]:
        """Bytes of texts and blocks of keys that are remembered."""
        return self._texts_bytes, len(self._blocks)

    def key(self, number: int) -> bytes | None:
        """The key of a number; None once it is destroyed. Raises CorruptDatabase."""
        if len(self._blocks) > BLOCKS_KEPT:
            self._blocks.clear()
        return super().key(number)

    def data(self, data: bytes) -> bytes:
        """A row's data as they were, or with markers. Raises CorruptDatabase."""
        if not has_box(data):
            return data
        text = self._texts.get(data)
        return self._open(data) if text is None else text

    def _open(self, data: bytes) -> bytes:
        text = super().data(data)
        self._texts_bytes += len(data) + len(text)
        if self._texts_bytes > TEXTS_BYTES_MAX:
            self._texts.clear()
            self._texts_bytes = len(data) + len(text)
        self._texts[data] = text
        return text


class KeyedFiles(Files):
    """The files of a reading thread, and a keyring for each that holds keys."""

    def __init__(self) -> None:
        super().__init__()
        self._keyrings: dict[Path, Keyring] = {}

    def keyring(self, path: Path) -> Keyring:
        """What opens the boxes whose keys are in a file."""
        keyring = self._keyrings.get(path)
        if keyring is None:
            keyring = self._keyrings[path] = Keyring(self, path)
        return keyring

    def forget(self, paths: Collection[Path]) -> None:
        """Let go of these files, and of what was opened with their keys."""
        for path in paths:
            self._keyrings.pop(path, None)
        super().forget(paths)
