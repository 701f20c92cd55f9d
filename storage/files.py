"""The files that one thread reads from, and what it remembers of segments for as long as it has them open.

Rules: a file is opened when it is first asked for, and a bounded number of them is kept open. What is remembered is
what can never change: names once given, minutes that are over, questions that nothing in a closed segment answers.

SQLite attaches ten databases at most and plans badly across them; a connection per file and a merge by position has
neither limit.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from bus.messages.base import Position
from storage import queries
from storage.database import connect
from storage.errors import CorruptDatabase, FileGone
from storage.queries import Selection
from storage.times import Times

FILES_OPEN_MAX = 24
"""Of one thread: enough that paging through a few million events opens nothing twice."""
NONE_KEPT = 256
"""Selections that are remembered of one segment."""

_names = msgspec.json.Decoder(dict[int, str]).decode


class NamesById(dict[int, str]):
    """What the ids of a segment's types or sources stand for. They are only added, each once, so what was looked up
    before is known for good; the others are looked up when they are asked for."""

    def __init__(self, path: Path, connection: sqlite3.Connection, names: str, id_: str) -> None:
        super().__init__()
        self._path = path
        self._connection = connection
        self._names = names
        self._id = id_
        self._ids: dict[str, int] = {}
        self._upto = -1

    def __missing__(self, id_: int) -> str:
        self._load()
        if id_ not in self:
            raise CorruptDatabase(self._path, f"a row of it has a name that is not there ({id_})")
        return self[id_]

    def id(self, name: str) -> int | None:
        """What a name's rows have; None where there are none. Raises sqlite3.Error."""
        found = self._ids.get(name)
        if found is None:
            row = self._connection.execute(self._id, (name,)).fetchone()
            if row is not None:
                found = self._ids[name] = row[0]
        return found

    def upto(self, position: Position) -> Mapping[int, str]:
        """All that the rows up to a position have. Raises sqlite3.Error, CorruptDatabase."""
        if position > self._upto:
            self._load()
            self._upto = position
        return self

    def _load(self) -> None:
        (names,) = self._connection.execute(self._names).fetchone()
        try:
            self.update(_names(names))
        except msgspec.DecodeError as error:
            raise CorruptDatabase(self._path, f"a name in it is none of ours: {error}") from error


class Known:
    """What one thread remembers of a segment for as long as it has the file open; none of it ever changes."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection
        self.types = NamesById(path, connection, queries.NAMES_OF_TYPES, queries.TYPE)
        self.sources = NamesById(path, connection, queries.NAMES_OF_SOURCES, queries.SOURCE)
        self.times = Times()
        self._none: set[Selection] = set()

    def has_none_of(self, selection: Selection) -> bool:
        """Whether it is known that no row matches."""
        return _whole(selection) in self._none

    def note_none_of(self, selection: Selection) -> None:
        """No row matches, nor ever will: who follows a task asks all the segments about it, again and again."""
        if len(self._none) == NONE_KEPT:
            self._none.clear()
        self._none.add(_whole(selection))


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
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = Known(path, connection)
        return known

    def forget(self, paths: Collection[Path]) -> None:
        """Let go of these files; one that was unlinked gives its room back only then."""
        for path in paths:
            self._known.pop(path, None)
            if (connection := self._open.pop(path, None)) is not None:
                connection.close()

    def close(self) -> None:
        """Let go of all."""
        self.forget(tuple(self._open))


def _whole(selection: Selection) -> Selection:
    """Without what makes no difference to whether anything matches."""
    return msgspec.structs.replace(selection, limit=1, is_newest_first=False)
