"""The files that one thread reads from: opened when first asked for, a bounded number of them kept open.

SQLite attaches ten databases at most and plans badly across them; a connection per file and a merge by position has
neither limit.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Collection
from pathlib import Path

from storage import queries
from storage.database import connect
from storage.errors import CorruptDatabase, FileGone
from storage.times import Times

FILES_OPEN_MAX = 24
"""Of one thread: enough that paging through a few million events opens nothing twice."""


class Names(dict[int, str]):
    """What the ids of a segment's types or sources stand for, looked up when one is not known: they are only added."""

    def __init__(self, path: Path, connection: sqlite3.Connection, statement: str) -> None:
        super().__init__()
        self._path = path
        self._connection = connection
        self._statement = statement

    def __missing__(self, id_: int) -> str:
        self.update(self._connection.execute(self._statement).fetchall())
        if id_ not in self:
            raise CorruptDatabase(self._path, f"a row of it has a name that is not there ({id_})")
        return self[id_]


class Known:
    """What one thread remembers of a segment for as long as it has the file open; none of it ever changes."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.types = Names(path, connection, queries.TYPES)
        self.sources = Names(path, connection, queries.SOURCES)
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
        """What is remembered of a segment. Raises as `get`."""
        connection = self.get(path)
        if path not in self._known:
            self._known[path] = Known(path, connection)
        return self._known[path]

    def forget(self, paths: Collection[Path]) -> None:
        """Let go of these files; one that was unlinked gives its room back only then."""
        for path in paths:
            self._known.pop(path, None)
            if (connection := self._open.pop(path, None)) is not None:
                connection.close()

    def close(self) -> None:
        """Let go of all."""
        self.forget(tuple(self._open))
