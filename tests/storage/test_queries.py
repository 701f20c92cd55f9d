"""Which way into the events a query takes, and how many rows one insert has."""

import sqlite3
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.queries import EVENT_COLUMNS, ROWS_MAX, Selection, insert_events, insert_size, select_events
from storage.schema import SEGMENT, create_or_check

SQLITE_PARAMETERS_MAX = 32_766


def _plan(selection: Selection) -> str:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    create_or_check(connection, Path("journal"), SEGMENT)
    statement, parameters = select_events(selection)
    plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
    connection.close()
    return "\n".join(row[3] for row in plan)


@pytest.mark.parametrize(
    ("selection", "way"),
    [
        (Selection(50), "SCAN e"),
        (Selection(50, after=7, before=90), "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        (Selection(50, types=(1,)), "USING INDEX events_by_type (type=?)"),
        (Selection(50, types=(1,), after=7), "USING INDEX events_by_type (type=? AND rowid>?)"),
        (Selection(50, source=1, before=9), "USING INDEX events_by_source (source=? AND rowid<?)"),
        (Selection(50, task="t-1", types=(1, 2), agent="scout"), "USING INDEX events_by_task (task=?)"),
        (Selection(50, agent="scout", types=(1, 2), since_us=5), "USING INDEX events_by_agent (agent=?)"),
        (Selection(50, run="r-1", source=2), "USING INDEX events_by_run (run=?)"),
        (Selection(50, correlation="k", after=3), "USING INDEX events_by_correlation (correlation=? AND rowid>?)"),
    ],
)
@pytest.mark.parametrize("is_newest_first", [False, True])
def test_a_page_uses_one_index_and_sorts_nothing(selection: Selection, way: str, is_newest_first: bool) -> None:
    turned = msgspec.structs.replace(selection, is_newest_first=is_newest_first)
    plan = _plan(turned)
    assert way in plan
    assert "TEMP B-TREE" not in plan


def test_several_types_are_merged_from_short_ranges() -> None:
    plan = _plan(Selection(50, types=(1, 2, 3), is_newest_first=True))
    assert plan.count("events_by_type (type=?)") == 3
    assert "SCAN e" not in plan.splitlines()


@given(st.integers(1, 20_000))
def test_every_number_of_rows_is_covered_by_inserts_of_few_sizes(rows: int) -> None:
    sizes: list[int] = []
    while sum(sizes) < rows:
        sizes.append(insert_size(rows - sum(sizes)))
    assert sum(sizes) == rows
    assert max(sizes) * EVENT_COLUMNS <= SQLITE_PARAMETERS_MAX
    assert len(sizes) <= rows // ROWS_MAX + 2


def test_an_insert_has_a_parameter_for_every_column_of_every_row() -> None:
    assert insert_events(3).count("?") == 3 * EVENT_COLUMNS
    assert len({insert_size(rows) for rows in range(1, 5_000)}) < 48
