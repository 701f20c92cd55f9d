"""The files that one thread reads from: opened when first asked for, a bounded number of them kept open.

SQLite attaches ten databases at most and plans badly across them; a connection per file and a merge by position has
neither limit.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Collection
from pathlib import Path

from storage.database import connect
from storage.errors import FileGone

FILES_OPEN_MAX = 24
"""Of one thread: enough that paging through a few million events opens nothing twice."""


class Files:
    """Connections that only read, by path. Lives on one thread."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, sqlite3.Connection] = OrderedDict()

    def get(self, path: Path) -> sqlite3.Connection:
        """A connection to the file. Raises FileGone where it is not there, sqlite3.Error where it cannot be read."""
        connection = self._open.get(path)
        if connection is None:
            if not path.exists():
                raise FileGone(path)
            while len(self._open) >= FILES_OPEN_MAX:
                self._open.popitem(last=False)[1].close()
            connection = self._open[path] = connect(path, is_read_only=True)
        else:
            self._open.move_to_end(path)
        return connection

    def forget(self, paths: Collection[Path]) -> None:
        """Let go of these files; one that was unlinked gives its room back only then."""
        for path in paths:
            if (connection := self._open.pop(path, None)) is not None:
                connection.close()

    def close(self) -> None:
        """Let go of all."""
        self.forget(tuple(self._open))
