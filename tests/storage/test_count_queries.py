"""Which way into the rows a summary takes."""

import sqlite3
from contextlib import closing
from pathlib import Path

from storage import count_queries
from storage.schema import SEGMENT, create_or_check


def test_a_summary_takes_an_index_into_every_table() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        create_or_check(connection, Path("segment"), SEGMENT)
        parameters = (0, "step.completed", "step.started", 100, 100_000)
        plan = connection.execute(f"EXPLAIN QUERY PLAN {count_queries.SUMMARY}", parameters).fetchall()
        steps = [row[3] for row in plan]
        assert "SEARCH rollup USING PRIMARY KEY (minute>?)" in steps
        assert "SEARCH e USING INDEX events_by_type (type=? AND rowid>?)" in steps
        assert "SEARCH c USING COVERING INDEX events_by_task (task=? AND rowid>? AND rowid<?)" in steps
        scanned = {step for step in steps if step.startswith("SCAN")}
        assert scanned <= {"SCAN CONSTANT ROW", "SCAN r", "SCAN ended", "SCAN begun", "SCAN steps"}
        assert connection.execute(count_queries.SUMMARY, parameters).fetchall() == [("{}", "[]")]
