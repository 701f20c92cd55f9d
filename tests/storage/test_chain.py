"""The hash of a row."""

from hypothesis import given
from hypothesis import strategies as st

from bus.envelope import EncodedEvent
from bus.messages.base import Position
from storage.chain import KEPT, NOTHING, PRUNABLE, row_hash

ROW: EncodedEvent = (
    Position(1),
    2,
    "task.started",
    1,
    "scout",
    "t-1",
    "t-1",
    "scout",
    "",
    "k",
    Position(0),
    Position(0),
    b'{"a":1}',
    b'{"p":2}',
)


@given(st.integers(0, len(ROW) - 1), st.integers(0, 1_000))
def test_a_change_of_any_field_changes_the_hash(field: int, seed: int) -> None:
    value = ROW[field]
    changed: object
    if isinstance(value, int):
        changed = value ^ (1 << seed % 60)
    elif isinstance(value, bytes):
        bit = seed % (len(value) * 8)
        changed = value[: bit // 8] + bytes([value[bit // 8] ^ (1 << bit % 8)]) + value[bit // 8 + 1 :]
    else:
        changed = f"{value}{seed}"
    row = (*ROW[:field], changed, *ROW[field + 1 :])
    assert row_hash(NOTHING, PRUNABLE, row) != row_hash(NOTHING, PRUNABLE, ROW)  # type: ignore[arg-type]  # damaged


def test_the_hash_depends_on_the_one_before_and_on_the_chain() -> None:
    first = row_hash(NOTHING, PRUNABLE, ROW)
    assert len({first, row_hash(first, PRUNABLE, ROW), row_hash(NOTHING, KEPT, ROW)}) == 3


def test_what_moves_from_one_field_to_the_next_changes_the_hash() -> None:
    moved: EncodedEvent = (*ROW[:5], "", "t-1t-1", *ROW[7:])
    assert row_hash(NOTHING, PRUNABLE, moved) != row_hash(NOTHING, PRUNABLE, ROW)


def test_the_hash_of_a_row_never_changes_between_versions_of_this_program() -> None:
    expected = "05bfd171d47103df428fa15e86047ed0e93b686fb398d845b7d0820964744a2b"
    assert row_hash(NOTHING, PRUNABLE, ROW).hex() == expected
