"""Canonical JSON in pieces: the same bytes, and few pieces change with little."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from actors.coordinator import Coordinator
from actors.ledger import Ledger
from actors.router import Router
from actors.rules.overview_items import OverviewState
from actors.workbench import Workbench
from bus.canonical import PIECE_BYTES, PIECE_BYTES_MAX, WHOLE_PIECES, canonical, pieces


class Item(msgspec.Struct):
    """Something that many of are kept."""

    name: str
    numbers: list[int] = []
    nested: dict[str, int] = {}


class Shelf(msgspec.Struct):
    """A state of every shape."""

    items: dict[str, Item] = {}
    by_number: dict[int, tuple[Item, ...]] = {}
    numbers: list[int] = []
    texts: tuple[str, ...] = ()
    one: Item | None = None


class Tagged(msgspec.Struct, tag="t", omit_defaults=True):
    """A struct whose JSON is not just its fields."""

    field: int = 1


class Nothing(msgspec.Struct):
    """A state without fields."""


ITEMS = st.builds(Item, st.text(max_size=20), st.lists(st.integers(0, 9), max_size=40), st.just({}))
SHELVES = st.builds(
    Shelf,
    st.dictionaries(st.text(max_size=8), ITEMS, max_size=40),
    st.dictionaries(st.integers(0, 10**6), st.lists(ITEMS, max_size=3).map(tuple), max_size=20),
    st.lists(st.integers(), max_size=100),
    st.lists(st.text(max_size=5), max_size=50).map(tuple),
    st.none() | ITEMS,
)


@given(SHELVES, st.sampled_from([16, 256, PIECE_BYTES]))
def test_joined_the_pieces_are_the_json_of_the_state(shelf: Shelf, size: int) -> None:
    assert b"".join(pieces(shelf, size)) == canonical(shelf) == msgspec.json.encode(shelf)
    assert all(0 < len(piece) <= size * PIECE_BYTES_MAX for piece in pieces(shelf, size))
    assert list(pieces(shelf, size)) == list(pieces(shelf, size, is_small=True)), "whatever was expected of it"
    assert (len(list(pieces(shelf, size))) == 1) or len(canonical(shelf)) > size * WHOLE_PIECES


def test_what_is_no_plain_object_is_encoded_all_the_same() -> None:
    for value in (Tagged(), Tagged(2), Nothing(), {}, [], {"a": Tagged(3)}, [Tagged()] * 20, "text", None):
        assert b"".join(pieces(value)) == msgspec.json.encode(value)


def test_a_change_of_one_in_a_hundred_neighbours_changes_few_bytes() -> None:
    shelf = Shelf(items={f"item {number}": Item(f"some text about {number} " * 20) for number in range(10_000)})
    before = set(pieces(shelf))
    assert 0.5 < len(canonical(shelf)) / len(before) / PIECE_BYTES < 2
    for number in range(5_000, 5_100):
        shelf.items[f"item {number}"] = Item("changed")
    shelf.items["a new one"] = Item("new")
    del shelf.items["item 70"]
    changed = sum(len(piece) for piece in pieces(shelf) if piece not in before)
    assert changed < 0.02 * len(canonical(shelf))


def test_the_order_of_a_dict_is_part_of_the_state() -> None:
    one, other = Item("a", nested={"t-10": 1, "t-9": 2}), Item("a", nested={"t-9": 2, "t-10": 1})
    assert canonical(one) != canonical(other)
    again = msgspec.json.decode(canonical(one), type=Item)
    assert list(again.nested) == ["t-10", "t-9"]


def test_no_state_holds_a_set_which_has_no_order() -> None:
    states = (Coordinator.state_type, Ledger.state_type, Router.state_type, Workbench.state_type, OverviewState)
    for state in states:
        seen: set[type] = set()
        _walk(inspect.type_info(state), seen)


def _walk(info: object, seen: set[type]) -> None:
    assert not isinstance(info, inspect.SetType | inspect.FrozenSetType)
    if isinstance(info, inspect.StructType):
        if info.cls in seen:
            return
        seen.add(info.cls)
        for field in info.fields:
            _walk(field.type, seen)
    for name in ("item_type", "key_type", "value_type"):
        if (inner := getattr(info, name, None)) is not None:
            _walk(inner, seen)
    for inner in (*getattr(info, "types", ()), *getattr(info, "item_types", ())):
        _walk(inner, seen)


def test_json_that_came_with_line_breaks_stays_what_it_is() -> None:
    value = [msgspec.Raw(b'{"a":\n1}'), msgspec.Raw(b"2")] * 20
    assert b"".join(pieces(value)) == msgspec.json.encode(value)
