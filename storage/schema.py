"""The tables of the journal's files and of the checkpoints, and which versions of them this program knows.

Rules: the tables, the program's mark (`application_id`) and the version (`user_version`) are made in one transaction,
so that a kill leaves either nothing or all of it. A newer version is refused and left alone. Tables are STRICT.

Indexes are what an insert costs, so there are few: each holds the position implicitly, as the row id. Those on
columns that are often empty are partial. Time has none: the rollup says between which positions a minute lies.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from storage import queries
from storage.errors import CorruptDatabase, UnknownSchema
from storage.transactions import transaction


class Schema(msgspec.Struct, frozen=True):
    """What a database of one kind looks like."""

    application_id: int
    version: int
    statements: tuple[str, ...]


JOURNAL = Schema(
    application_id=0x41474F4A,  # "AGOJ"
    version=2,
    statements=(
        # A row per segment file: its description as JSON, and the hash of that.
        """
        CREATE TABLE segments (
            first INTEGER PRIMARY KEY,
            content BLOB NOT NULL,
            hash BLOB NOT NULL
        ) STRICT
        """,
        # A timeline that came back shorter goes on as a new epoch after the position that was left.
        """
        CREATE TABLE epochs (
            epoch INTEGER PRIMARY KEY,
            after INTEGER NOT NULL,
            begun_us INTEGER NOT NULL,
            hash BLOB NOT NULL
        ) STRICT
        """,
    ),
)

SEGMENT = Schema(
    application_id=0x41474F53,  # "AGOS"
    version=1,
    statements=(
        """
        CREATE TABLE types (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE
        ) STRICT
        """,
        """
        CREATE TABLE sources (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE
        ) STRICT
        """,
        """
        CREATE TABLE events (
            position INTEGER PRIMARY KEY,
            time_us INTEGER NOT NULL,
            type INTEGER NOT NULL,
            version INTEGER NOT NULL,
            source INTEGER NOT NULL,
            subject TEXT NOT NULL,
            task TEXT NOT NULL,
            agent TEXT NOT NULL,
            run TEXT NOT NULL,
            correlation TEXT NOT NULL,
            cause INTEGER NOT NULL,
            cursor INTEGER NOT NULL,
            data BLOB NOT NULL,
            sealed BLOB,
            chain INTEGER NOT NULL,
            hash BLOB NOT NULL
        ) STRICT
        """,
        "CREATE INDEX events_by_type ON events (type)",
        "CREATE INDEX events_by_source ON events (source)",
        "CREATE INDEX events_by_task ON events (task) WHERE task <> ''",
        "CREATE INDEX events_by_agent ON events (agent) WHERE agent <> ''",
        "CREATE INDEX events_by_run ON events (run) WHERE run <> ''",
        "CREATE INDEX events_by_correlation ON events (correlation) WHERE correlation <> ''",
        # The last row of each hash chain, here or before: 0 for what retention may prune, 1 for what is kept.
        """
        CREATE TABLE chains (
            chain INTEGER PRIMARY KEY,
            position INTEGER NOT NULL,
            hash BLOB NOT NULL
        ) STRICT
        """,
        # Events per minute and type, and between which positions they lie.
        """
        CREATE TABLE rollup (
            minute INTEGER NOT NULL,
            type INTEGER NOT NULL,
            events INTEGER NOT NULL,
            first INTEGER NOT NULL,
            last INTEGER NOT NULL,
            PRIMARY KEY (minute, type)
        ) STRICT, WITHOUT ROWID
        """,
    ),
)

BLOBS = Schema(
    application_id=0x41474F42,  # "AGOB"
    version=1,
    statements=(
        """
        CREATE TABLE blobs (
            id INTEGER PRIMARY KEY,
            hash BLOB NOT NULL UNIQUE,
            content BLOB NOT NULL
        ) STRICT
        """,
    ),
)

TRANSCRIPTS = Schema(
    application_id=0x41474F4C,  # "AGOL"
    version=1,
    statements=(
        """
        CREATE TABLE transcripts (
            completion TEXT PRIMARY KEY,
            asked_us INTEGER NOT NULL,
            agent TEXT NOT NULL,
            task TEXT NOT NULL,
            size INTEGER NOT NULL,
            summary BLOB NOT NULL,
            content BLOB NOT NULL
        ) STRICT
        """,
        "CREATE INDEX transcripts_by_time ON transcripts (asked_us, completion)",
        "CREATE INDEX transcripts_by_agent ON transcripts (agent, asked_us)",
        "CREATE INDEX transcripts_by_task ON transcripts (task, asked_us) WHERE task <> ''",
    ),
)

KEYS = Schema(
    application_id=0x41474F4B,  # "AGOK"
    version=1,
    statements=(
        """
        CREATE TABLE blocks (
            id INTEGER PRIMARY KEY,
            keys BLOB NOT NULL,
            hash BLOB NOT NULL
        ) STRICT
        """,
    ),
)

TEXT = Schema(
    application_id=0x41474F54,  # "AGOT"
    version=1,
    statements=(
        # Only the index: the text itself is in the rows. Its row ids are positions.
        "CREATE VIRTUAL TABLE text USING fts5(body, content='')",
        "CREATE TABLE progress (position INTEGER NOT NULL) STRICT",
        "INSERT INTO progress (position) VALUES (0)",
    ),
)

CHECKPOINT_PINS = """
CREATE TABLE pins (
    name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID
"""

CHECKPOINTS = Schema(
    application_id=0x41474F43,  # "AGOC"
    version=2,
    statements=(
        """
        CREATE TABLE chunks (
            id INTEGER PRIMARY KEY,
            hash BLOB NOT NULL UNIQUE,
            content BLOB NOT NULL
        ) STRICT
        """,
        # AUTOINCREMENT: newest means saved last, also where an epoch made positions smaller.
        """
        CREATE TABLE checkpoints (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT NOT NULL UNIQUE,
            manifest BLOB NOT NULL,
            hash BLOB NOT NULL
        ) STRICT
        """,
        CHECKPOINT_PINS,
    ),
)


def create_or_check(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    """Make the tables of an empty database, or check that they are ours. Raises UnknownSchema, CorruptDatabase."""
    with transaction(connection):
        if _is_empty(connection):
            for statement in schema.statements:
                connection.execute(statement)
            connection.execute(queries.set_application_id(schema.application_id))
            connection.execute(queries.set_version(schema.version))
        else:
            check(connection, path, schema)


def check(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    """Check that a database is of this kind and of a version that is known. Raises UnknownSchema, CorruptDatabase."""
    (application_id,) = connection.execute(queries.APPLICATION_ID).fetchone()
    if application_id != schema.application_id:
        raise CorruptDatabase(path, "it is an SQLite database, but not one that Agora wrote there")
    (version,) = connection.execute(queries.VERSION).fetchone()
    if version != schema.version:
        raise UnknownSchema(path, version, schema.version)


def differences(connection: sqlite3.Connection, schema: Schema) -> str:
    """The first table or index that is not the one that the schema makes, or nothing."""
    with closing(sqlite3.connect(":memory:")) as fresh:
        for statement in schema.statements:
            fresh.execute(statement)
        wanted = set(fresh.execute(queries.DEFINITIONS).fetchall())
    found = set(connection.execute(queries.DEFINITIONS).fetchall())
    return ", ".join(sorted(str(name) for _, name, _ in wanted ^ found)[:1])


def unsound(connection: sqlite3.Connection, path: Path, schema: Schema) -> str:
    """What is wrong with the tables and indexes of a database, or nothing. Raises sqlite3.Error."""
    if differing := differences(connection, schema):
        return f"the tables of {path.name} are not those that were made: {differing}"
    [(answer,)] = connection.execute(queries.INTEGRITY).fetchall()
    return "" if answer == "ok" else f"SQLite says of {path.name}: {answer}"


def is_of_version_1(connection: sqlite3.Connection, schema: Schema) -> bool:
    """Whether the file is of the first version."""
    (application_id,) = connection.execute(queries.APPLICATION_ID).fetchone()
    (version,) = connection.execute(queries.VERSION).fetchone()
    return (application_id, version) == (schema.application_id, 1)


def _is_empty(connection: sqlite3.Connection) -> bool:
    (application_id,) = connection.execute(queries.APPLICATION_ID).fetchone()
    (tables,) = connection.execute(queries.COUNT_TABLES).fetchone()
    return (application_id, tables) == (0, 0)
