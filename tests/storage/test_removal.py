"""Removing a large file: in steps, and never under the eyes of who reads it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from storage.database import connect
from storage.removal import STEP_BYTES, remove

ROWS = 3


def _database(path: Path) -> Path:
    """One of some three steps."""
    with closing(connect(path)) as rows:
        rows.execute("CREATE TABLE t (content BLOB)")
        rows.executemany("INSERT INTO t VALUES (?)", [(bytes(STEP_BYTES),)] * ROWS)
        rows.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return path


@contextmanager
def _held(path: Path) -> Iterator[int]:
    """A descriptor, through which the file is seen after its name has gone."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def test_a_database_goes_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    path = _database(tmp_path / "a.sqlite")
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).touch()
    (tmp_path / "b.sqlite").touch()
    remove(path)
    remove(path)
    assert [left.name for left in tmp_path.iterdir()] == ["b.sqlite"]


def test_its_content_is_given_back_step_by_step(tmp_path: Path) -> None:
    path = _database(tmp_path / "a.sqlite")
    with _held(path) as descriptor:
        before = os.fstat(descriptor).st_size
        remove(path)
        assert 0 < os.fstat(descriptor).st_size <= STEP_BYTES < before, "the last step is the kernel's"


def test_what_somebody_reads_in_this_process_stays_whole_until_they_let_go(tmp_path: Path) -> None:
    path = _database(tmp_path / "a.sqlite")
    with closing(connect(path, is_read_only=True)) as reader:
        remove(path)
        assert not path.exists()
        assert reader.execute("SELECT sum(length(content)) FROM t").fetchone() == (ROWS * STEP_BYTES,)


READER = """
import sqlite3, sys
reader = sqlite3.connect(f"{sys.argv[1]}?mode=ro", uri=True)
reader.execute("SELECT count(*) FROM t").fetchone()
print("it is open", flush=True)
sys.stdin.readline()
print(reader.execute("SELECT sum(length(content)) FROM t").fetchone()[0])
"""


def test_what_another_process_reads_stays_whole_too(tmp_path: Path) -> None:
    path = _database(tmp_path / "a.sqlite")
    with subprocess.Popen(
        [sys.executable, "-c", READER, path.as_uri()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "it is open\n"
        remove(path)
        found, _ = reader.communicate("read on\n", timeout=30)
    assert int(found) == ROWS * STEP_BYTES


def test_a_file_with_another_name_keeps_what_it_has(tmp_path: Path) -> None:
    path = _database(tmp_path / "a.sqlite")
    other = tmp_path / "b.sqlite"
    os.link(path, other)
    size = other.stat().st_size
    remove(path)
    assert other.stat().st_size == size
