"""Making the tables, and refusing those of others."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import CorruptDatabase, UnknownSchema
from storage.schema import BLOBS, CHECKPOINTS, JOURNAL, SEGMENT, Schema, check, create_or_check, differences

PATH = Path("journal.sqlite")
SCHEMAS = pytest.mark.parametrize("schema", [JOURNAL, SEGMENT, BLOBS, CHECKPOINTS])


def _connection() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None)


@SCHEMAS
def test_an_empty_database_gets_strict_tables_and_is_known_again(schema: Schema) -> None:
    connection = _connection()
    create_or_check(connection, PATH, schema)
    create_or_check(connection, PATH, schema)
    tables = connection.execute("PRAGMA table_list").fetchall()
    assert all(strict for _, name, _, _, _, strict in tables if not name.startswith("sqlite_"))
    connection.close()


@SCHEMAS
def test_a_newer_version_is_refused_with_both_versions(schema: Schema) -> None:
    connection = _connection()
    create_or_check(connection, PATH, schema)
    connection.execute(f"PRAGMA user_version = {schema.version + 8}")
    with pytest.raises(UnknownSchema, match=f"version {schema.version + 8}.*up to {schema.version}"):
        create_or_check(connection, PATH, schema)
    assert not connection.in_transaction
    connection.close()


@SCHEMAS
def test_the_database_of_another_program_is_refused(schema: Schema) -> None:
    connection = _connection()
    connection.execute("CREATE TABLE birds (name TEXT)")
    with pytest.raises(CorruptDatabase, match="not one that Agora wrote"):
        create_or_check(connection, PATH, schema)
    connection.close()


def test_the_journal_and_the_checkpoints_are_not_taken_for_each_other() -> None:
    connection = _connection()
    create_or_check(connection, PATH, JOURNAL)
    with pytest.raises(CorruptDatabase):
        check(connection, PATH, CHECKPOINTS)
    connection.close()


@given(st.integers(0, len(JOURNAL.statements)))
def test_an_interrupted_creation_leaves_nothing(made: int) -> None:
    broken = Schema(JOURNAL.application_id, JOURNAL.version, (*JOURNAL.statements[:made], "CREATE nonsense"))
    connection = _connection()
    with pytest.raises(sqlite3.OperationalError):
        create_or_check(connection, PATH, broken)
    create_or_check(connection, PATH, JOURNAL)
    assert connection.execute("PRAGMA user_version").fetchone() == (JOURNAL.version,)
    connection.close()


@SCHEMAS
def test_a_changed_table_or_index_is_found_by_its_name(schema: Schema) -> None:
    connection = _connection()
    create_or_check(connection, PATH, schema)
    assert differences(connection, schema) == ""
    connection.execute("CREATE TABLE extra (number INTEGER)")
    assert differences(connection, schema) == "extra"
    connection.close()
