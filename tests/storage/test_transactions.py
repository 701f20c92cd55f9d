"""All or nothing."""

import sqlite3

import pytest

from storage.transactions import snapshot, transaction


@pytest.fixture
def connection() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
    return connection


def _count(connection: sqlite3.Connection) -> int:
    count: int
    (count,) = connection.execute("SELECT count(*) FROM numbers").fetchone()
    return count


def test_a_transaction_commits_at_its_end(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        connection.execute("INSERT INTO numbers VALUES (1)")
    assert not connection.in_transaction
    assert _count(connection) == 1
    connection.close()


def test_what_raises_leaves_nothing_behind(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        _insert_twice(connection)
    assert not connection.in_transaction
    assert _count(connection) == 0
    connection.close()


def test_a_snapshot_ends_also_where_it_raises(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError), snapshot(connection):
        connection.execute("SELECT * FROM nothing")
    assert not connection.in_transaction
    connection.close()


def _insert_twice(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        connection.execute("INSERT INTO numbers VALUES (1)")
        connection.execute("INSERT INTO numbers VALUES (1)")
