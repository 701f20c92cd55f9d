"""Cells of another type than their column."""

from hashlib import sha256
from pathlib import Path

import pytest

from storage.cells import checked, digest
from storage.errors import CorruptDatabase


def test_cells_of_their_types_are_given_as_they_are() -> None:
    assert checked([(1, b"x", None)], list[tuple[int, bytes, bytes | None]], Path("file")) == [(1, b"x", None)]


@pytest.mark.parametrize("row", [(None, b""), ("1", b""), (1.5, b""), (b"1", b""), (1, None), (1, "eA=="), (1, 2)])
def test_a_cell_of_another_type_is_damage_of_its_file(row: tuple[object, ...]) -> None:
    with pytest.raises(CorruptDatabase, match="file is damaged: a cell"):
        checked(row, tuple[int, bytes], Path("file"))


def test_what_is_no_bytes_has_no_hash() -> None:
    assert digest(b"x") == sha256(b"x").digest()
    assert all(len(digest(cell)) != 32 for cell in (None, 7, "x"))
