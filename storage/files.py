"""The files that one thread reads from: opened when first asked for, a bounded number of them kept open.

SQLite attaches ten databases at most and plans badly across them; a connection per file and a merge by position has
neither limit.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from storage import queries
from storage.database import connect
from storage.errors import FileGone
from storage.times import Times

FILES_OPEN_MAX = 24
"""Of one thread: enough that paging through a few million events opens nothing twice."""


class Names:
    """What the ids of one table of names in a segment stand for. Names are only added, so what is known stays true."""

    def __init__(self, statement: str) -> None:
        self._statement = statement
        self._known: dict[int, str] = {}

    def of(self, connection: sqlite3.Connection, ids: Iterable[int]) -> Mapping[int, str]:
        """The names by id, those of `ids` among them. Raises sqlite3.Error."""
        if not self._known.keys() >= set(ids):
            self._known.update(connection.execute(self._statement))
        return self._known


class Known:
    """What one thread remembers of a segment, of which nothing ever changes."""

    def __init__(self) -> None:
        self.types = Names(queries.TYPES)
        self.sources = Names(queries.SOURCES)
        self.times = Times()


class Files:
    """Connections that only read, by path. Lives on one thread."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, sqlite3.Connection] = OrderedDict()
        self._known: dict[Path, Known] = {}

    def get(self, path: Path) -> sqlite3.Connection:
        """A connection to the file. Raises FileGone where it is not there, sqlite3.Error where it cannot be read."""
        connection = self._open.get(path)
        if connection is None:
            if not path.exists():
                raise FileGone(path)
            while len(self._open) >= FILES_OPEN_MAX:
                self.forget([next(iter(self._open))])
            connection = self._open[path] = connect(path, is_read_only=True)
        else:
            self._open.move_to_end(path)
        return connection

    def known(self, path: Path) -> Known:
        """What is remembered of a file for as long as it is open."""
        assert path in self._open, "the file is open"
        return self._known.setdefault(path, Known())

    def forget(self, paths: Collection[Path]) -> None:
        """Let go of these files; one that was unlinked gives its room back only then."""
        for path in paths:
            self._known.pop(path, None)
            if (connection := self._open.pop(path, None)) is not None:
                connection.close()

    def close(self) -> None:
        """Let go of all."""
        self.forget(tuple(self._open))
