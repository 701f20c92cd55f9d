"""The files that a thread has open."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bus.messages.base import Position
from storage.errors import CorruptDatabase, FileGone
from storage.files import FILES_OPEN_MAX, NONE_KEPT, Files
from storage.queries import Selection


def _made(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
    return path


def test_a_bounded_number_of_files_is_open(tmp_path: Path) -> None:
    paths = [_made(tmp_path / f"{number}.sqlite") for number in range(FILES_OPEN_MAX + 3)]
    before = _open_descriptors()
    with closing(Files()) as files:
        for path in [*paths, *paths]:
            assert files.get(path).execute("SELECT count(*) FROM numbers").fetchone() == (0,)
        assert files.get(paths[-1]) is files.get(paths[-1])
        assert _open_descriptors() - before <= FILES_OPEN_MAX
    assert _open_descriptors() == before


def test_a_file_that_is_not_there_is_said_and_not_made(tmp_path: Path) -> None:
    with closing(Files()) as files, pytest.raises(FileGone):
        files.get(tmp_path / "none.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_names_are_remembered_and_looked_up_when_one_is_new(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection, closing(Files()) as files:
        connection.execute("CREATE TABLE types (id INTEGER PRIMARY KEY, name TEXT)")
        connection.execute("INSERT INTO types (name) VALUES ('task.created')")
        types = files.known(path).types
        assert types[1] == "task.created"
        connection.execute("INSERT INTO types (name) VALUES ('task.closed')")
        assert types[2] == "task.closed"
        with pytest.raises(CorruptDatabase, match="name"):
            types[3]
        assert files.known(path).types is types
        files.forget([path])
        assert files.known(path).types is not types, "another file may stand there by then"


def test_an_id_is_looked_up_once_and_all_names_when_there_may_be_more(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection, closing(Files()) as files:
        connection.execute("CREATE TABLE types (id INTEGER PRIMARY KEY, name TEXT)")
        types = files.known(path).types
        assert (types.id("task.created"), dict(types.upto(Position(0)))) == (None, {})
        connection.execute("INSERT INTO types (name) VALUES ('task.created')")
        assert types.id("task.created") == 1, "what was not there is looked for again"
        assert types.upto(Position(0)) == {}
        assert types.upto(Position(1)) == {1: "task.created"}


def test_a_selection_that_found_nothing_is_remembered_whatever_its_order_and_limit(tmp_path: Path) -> None:
    path = _made(tmp_path / "a.sqlite")
    with closing(Files()) as files:
        known = files.known(path)
        known.note_none_of(Selection(50, task="t-1"))
        assert known.has_none_of(Selection(3, is_newest_first=True, task="t-1"))
        assert not known.has_none_of(Selection(50, task="t-1", after=7))
        for number in range(NONE_KEPT):
            known.note_none_of(Selection(50, task=f"t-{number}-other"))
        assert not known.has_none_of(Selection(50, task="t-1")), "so many and no more"


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
