"""A page in one step is the page row by row."""

import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.envelope import StoredEvent
from storage import queries
from storage.columns import events_of, own_of
from storage.database import connect
from storage.queries import Selection
from storage.schema import SEGMENT, create_or_check

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TYPES = {1: "a.b", 2: "c.d"}
SOURCES = {1: "x", 2: "y"}
ROWS = st.lists(
    st.tuples(
        TEXTS, TEXTS, st.binary(max_size=20), st.none() | st.binary(min_size=1, max_size=9), st.integers(0, 2**62)
    ),
    max_size=9,
)


@given(ROWS, st.booleans())
def test_every_byte_of_a_page_comes_out_as_it_is_stored(
    rows: list[tuple[str, str, bytes, bytes | None, int]], is_newest_first: bool
) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for statement in SEGMENT.statements:
            connection.execute(statement)
        connection.execute("INSERT INTO types (name) VALUES ('a.b'), ('c.d')")
        connection.execute("INSERT INTO sources (name) VALUES ('x'), ('y')")
        for number, (task, correlation, data, sealed, time_us) in enumerate(rows, 1):
            ids = (number % 2 + 1, 1, number // 2 % 2 + 1)
            texts = ("about", task, "", "r", correlation)
            row = (number, time_us, *ids, *texts, number - 1, 0, data, sealed or b"", 0, sha256(data).digest())
            connection.execute(queries.insert_events(1), row)
        selection = Selection(limit=5, is_newest_first=is_newest_first)
        wanted = [StoredEvent(*row) for row in connection.execute(*queries.select_events(selection))]
        cells = connection.execute(*queries.select_in_columns(selection)).fetchone()
        found = events_of(cells, TYPES.__getitem__, SOURCES.__getitem__) if cells[0] is not None else []
        assert found == wanted


def test_a_column_that_misses_a_row_is_no_page() -> None:
    texts = '[["a"],["b"],[""],[""],[""]]'
    numbers = "[[1,2],[1,2],[1,1],[1,1],[1,1],[0,0],[0,0],[1,1],[-1,-1]]"
    with pytest.raises(ValueError, match="more rows"):
        events_of((numbers, texts, b"{}", None, "00" * 64), TYPES.__getitem__, SOURCES.__getitem__)


def test_own_events_come_out_as_they_are_stored_and_sealed_fields_with_theirs() -> None:
    numbers = "[[3,4],[1,2],[2,7],[-1,3]]"
    assert list(own_of(numbers, b'{}{"a":1}', b"{!}")) == [(3, 1, b"{}", None), (4, 2, b'{"a":1}', b"{!}")]
    assert list(own_of("[[3],[1],[2],[-1]]", b"{}", None)) == [(3, 1, b"{}", None)]
    with pytest.raises(ValueError, match="zip"):
        list(own_of("[[3,4],[1],[2,2],[-1,-1]]", b"{}{}", None))
    with pytest.raises(ValueError, match="truncated"):
        own_of("[[3", b"", None)


def test_what_is_no_number_is_no_page(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "a.sqlite")) as connection:
        create_or_check(connection, tmp_path / "a.sqlite", SEGMENT)
        assert connection.execute(*queries.select_in_columns(Selection(limit=1))).fetchone()[0] is None
    with pytest.raises(ValueError, match="truncated"):
        events_of(("[[1", "", b"", None, ""), TYPES.__getitem__, SOURCES.__getitem__)
