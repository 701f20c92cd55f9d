"""The high-water mark."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.mark import PLACE_BYTES, Mark, MarkFile, UnreadableMark, read_mark, write_mark

NUMBERS = st.integers(0, 2**63 - 1)
MARKS = st.builds(Mark, NUMBERS, NUMBERS)


@given(st.lists(MARKS, min_size=1, max_size=5))
def test_the_highest_of_the_last_two_is_read(tmp_path_factory: pytest.TempPathFactory, marks: list[Mark]) -> None:
    path = tmp_path_factory.mktemp("mark") / "mark"
    file = MarkFile(path)
    for mark in marks:
        file.note(mark)
    file.close()
    assert read_mark(path) == max(marks[-2:], key=lambda mark: (mark.epoch, mark.position))
    assert path.stat().st_size == PLACE_BYTES * min(2, len(marks))


def test_a_new_epoch_counts_more_than_a_higher_position(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    file = MarkFile(path)
    for mark in (Mark(1, 1_000_000), Mark(2, 7)):
        file.note(mark)
    file.close()
    assert read_mark(path) == Mark(2, 7)


def test_a_file_that_was_closed_is_opened_again(tmp_path: Path) -> None:
    file = MarkFile(tmp_path / "mark")
    for position in (1, 2, 3):
        file.note(Mark(1, position))
        file.close()
    assert read_mark(tmp_path / "mark") == Mark(1, 3)


def test_where_one_place_is_torn_the_other_stands(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    file = MarkFile(path)
    for position in (1_999, 2_000):
        file.note(Mark(1, position))
    before = path.read_bytes()
    file.note(Mark(1, 2_001))
    file.close()
    after = path.read_bytes()
    for torn_after in range(PLACE_BYTES):
        path.write_bytes(after[:torn_after] + before[torn_after:])
        assert read_mark(path) in (Mark(1, 2_000), Mark(1, 2_001)), torn_after


def test_a_flipped_bit_never_makes_it_run_ahead(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    file = MarkFile(path)
    for position in (1_999, 2_000):
        file.note(Mark(1, position))
    file.close()
    content = bytearray(path.read_bytes())
    for bit in range(8 * PLACE_BYTES, 16 * PLACE_BYTES):
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        assert read_mark(path) in (Mark(1, 1_999), Mark(1, 2_000)), bit
        content[bit // 8] ^= 1 << bit % 8


def test_a_mark_of_a_journal_that_nobody_writes_goes_on_as_any_other(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    write_mark(path, Mark(1, 41))
    assert read_mark(path) == Mark(1, 41)
    file = MarkFile(path)
    file.note(Mark(1, 42))
    file.close()
    assert read_mark(path) == Mark(1, 42)


def test_the_form_without_a_checksum_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    path.write_bytes(b'{"epoch":2,"position":7}')
    assert read_mark(path) == Mark(2, 7)
    file = MarkFile(path)
    file.note(Mark(2, 8))
    file.close()
    assert read_mark(path) == Mark(2, 8)


def test_where_there_is_no_mark_there_is_none(tmp_path: Path) -> None:
    assert read_mark(tmp_path / "mark") is None


@pytest.mark.parametrize("content", [b"", b"{", b"12", b'{"epoch":1}', b"\xff\x00", b'{"epoch":1,"position":7} 0'])
def test_a_torn_mark_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mark").write_bytes(content)
    with pytest.raises(UnreadableMark):
        read_mark(tmp_path / "mark")
