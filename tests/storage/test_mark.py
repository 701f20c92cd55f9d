"""The high-water mark."""

from pathlib import Path

import pytest

from storage.mark import Mark, UnreadableMark, read_mark, write_mark


def test_a_mark_is_read_as_it_was_written_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    write_mark(path, Mark(1, 1_000_000))
    write_mark(path, Mark(2, 7))
    assert read_mark(path) == Mark(2, 7)
    assert [file.name for file in tmp_path.iterdir()] == ["mark"]


def test_where_there_is_no_mark_there_is_none(tmp_path: Path) -> None:
    assert read_mark(tmp_path / "mark") is None


@pytest.mark.parametrize("content", [b"", b"{", b"12", b'{"epoch":1}', b"\xff\x00"])
def test_a_torn_mark_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mark").write_bytes(content)
    with pytest.raises(UnreadableMark):
        read_mark(tmp_path / "mark")
