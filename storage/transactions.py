"""All or nothing, on a connection that commits by itself otherwise. For use on a database's own thread."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from storage import queries


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write: durable at the end of the block, or rolled back where it raises."""
    connection.execute(queries.BEGIN_WRITE)
    try:
        yield
        connection.execute(queries.COMMIT)
    except BaseException:
        # What failed says more than a rollback that fails too; the connection is opened again after either.
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute(queries.ROLLBACK)
        raise


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Read: everything in the block sees the same committed state."""
    connection.execute(queries.BEGIN_READ)
    try:
        yield connection
    finally:
        if connection.in_transaction:
            connection.execute(queries.ROLLBACK)
