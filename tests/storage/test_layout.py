"""What the catalogue says of the segments."""

from pathlib import Path

import pytest

from bus.messages.base import Position
from storage.layout import Layout, Segment, epoch_hash, pack, unpack

WHOLE = (
    Segment(Position(1), state="pruned", last=Position(10)),
    Segment(Position(11), state="closed", last=Position(20)),
    Segment(Position(21)),
)


def test_segments_between_two_positions_are_those_that_overlap() -> None:
    layout = Layout(Path("x"), WHOLE)
    assert layout.pruned_to == 10
    assert list(layout.between(0, 0)) == list(WHOLE)
    assert list(layout.between(10, 0)) == list(WHOLE[1:])
    assert list(layout.between(10, 21, is_newest_first=True)) == [WHOLE[1]]
    assert list(layout.between(500, 0)) == [WHOLE[2]]


def test_files_are_named_by_the_first_position() -> None:
    pruned, closed, _ = WHOLE
    assert (pruned.name, closed.name) == ("0000000000000001.kept.sqlite", "0000000000000011.sqlite")
    assert (closed.kept_name, closed.text_name) == ("0000000000000011.kept.sqlite", "0000000000000011.text.sqlite")


@pytest.mark.parametrize("segment", WHOLE)
def test_a_description_comes_back_and_a_changed_one_does_not(segment: Segment) -> None:
    content, hash_ = pack(segment)
    assert unpack(content, hash_) == segment
    with pytest.raises(ValueError, match="hash"):
        unpack(content.replace(b"1", b"2"), hash_)


def test_an_epoch_is_covered_by_its_hash() -> None:
    assert len({epoch_hash(1, 0, 5), epoch_hash(2, 0, 5), epoch_hash(1, 1, 5), epoch_hash(1, 0, 6)}) == 4
