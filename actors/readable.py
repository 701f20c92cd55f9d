"""Files to be read by people, one for each run, agent and day, with a bound on their bytes and on their age.

Rules: what is over the bound goes at once, the oldest day first and within a day what was written first. A file that
has grown to an eighth of the bound goes on in a new one, so that a busy day loses its beginning and not all of it. Only
files of the names that are given here are ever touched. Errors of the disk are the caller's.

It blocks, so it belongs on a thread; calls from several wait for each other.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import NamedTuple

PARTS = 8
"""A file is at most so small a part of all; what goes, goes by files."""
_NAME = re.compile(r"(?P<day>\d{4}-\d{2}-\d{2})(?:\.(?P<part>\d{1,9}))?\.md")


class _File(NamedTuple):
    """A file, in the order in which they go: the one that is written now is the last of its day."""

    day: str
    part: float
    path: Path
    size: int


class ReadableFiles:
    """The files below a directory. Every method raises OSError."""

    def __init__(self, directory: Path, bytes_max: int) -> None:
        self._directory = directory
        self._bytes_max = bytes_max
        self._lock = Lock()
        self._bytes: int | None = None
        """Of all files; None until they were counted."""

    def append(self, texts: Sequence[tuple[str, str]]) -> None:
        """Add each text to the file of its name (`run/agent/2026-01-31.md`), and let go of what is too much then."""
        joined: dict[str, list[str]] = {}
        for name, text in texts:
            joined.setdefault(name, []).append(text)
        with self._lock:
            for name, parts in joined.items():
                self._add(self._directory / name, "".join(parts).encode())
            self._shrink()

    def drop_before(self, day: str) -> None:
        """Remove the files of days before this one (`2026-01-31`)."""
        with self._lock:
            for file in list(self._found()):
                if file.day < day:
                    self._remove(file)

    def _add(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        size = path.stat().st_size if path.exists() else 0
        if size and size + len(content) > self._bytes_max // PARTS:
            path.rename(path.with_name(f"{path.stem}.{self._next_part(path)}.md"))
        with path.open("ab") as file:
            file.write(content)
        if self._bytes is not None:
            self._bytes += len(content)

    def _next_part(self, path: Path) -> int:
        taken = (_NAME.fullmatch(other.name) for other in path.parent.glob(f"{path.stem}.*.md"))
        return max((int(found["part"]) for found in taken if found and found["part"]), default=0) + 1

    def _shrink(self) -> None:
        """Let the oldest files go until the rest is within the bound."""
        if self._bytes is None:
            self._bytes = sum(file.size for file in self._found())
        if self._bytes <= self._bytes_max:
            return
        files = sorted(self._found())
        self._bytes = sum(file.size for file in files)
        for file in files:
            if self._bytes <= self._bytes_max:
                return
            self._remove(file)

    def _remove(self, file: _File) -> None:
        file.path.unlink(missing_ok=True)
        if self._bytes is not None:
            self._bytes -= file.size
        folder = file.path.parent
        if not any(folder.iterdir()):
            folder.rmdir()

    def _found(self) -> Iterator[_File]:
        for path in self._directory.glob("*/*/*.md"):
            named = _NAME.fullmatch(path.name)
            if named is not None and path.is_file():
                part = float(named["part"]) if named["part"] else float("inf")
                yield _File(named["day"], part, path, path.stat().st_size)
