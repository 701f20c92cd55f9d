"""Settings as text: lines, nearest keys, values of variables."""

import msgspec
import pytest

from actors.rules import settings
from actors.rules.settings import Path, Tree

TEXT = '''
top = 1
[one]
key = """
[not.a.table]
fake = 2
"""
dotted.deep = 3   # key = 4
"quoted key" = 5
[[list]]
name = "a"
[[list]]
name = "b"
[list.inner]
key = 6
[[list.more]]
key = 7
'''


class Inner(msgspec.Struct, frozen=True):
    port: int = 1
    names: tuple[str, ...] = ()


class Outer(msgspec.Struct, frozen=True):
    inner: Inner = Inner()
    inners: tuple[Inner, ...] = ()
    maybe: Inner | None = None


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("one",), 3),
        (("one", "key"), 4),
        (("one", "dotted", "deep"), 8),
        (("one", "quoted key"), 9),
        (("list", 0), 10),
        (("list", 1, "name"), 13),
        (("list", 1, "inner", "key"), 15),
        (("list", 1, "more", 0, "key"), 17),
        (("one", "missing"), 3),
        (("nowhere", "at", "all"), 1),
    ],
)
def test_a_key_is_found_at_its_line_or_at_that_of_its_table(path: Path, line: int) -> None:
    assert settings.nearest_line(settings.lines_of(TEXT), path) == line
    assert "fake" not in str(settings.lines_of(TEXT))


@pytest.mark.parametrize(
    ("tree", "path", "nearest"),
    [
        ({"inner": {"prot": 1}}, ("inner", "prot"), "port"),
        ({"iner": {}}, ("iner",), "inner"),
        ({"inners": [{"port": 1}, {"xyz": 1}]}, ("inners", 1, "xyz"), ""),
        ({"maybe": {"prot": 1}}, ("maybe", "prot"), "port"),
    ],
)
def test_the_first_unknown_key_is_told_with_the_nearest_known_one(tree: Tree, path: Path, nearest: str) -> None:
    assert settings.unknown(Outer, tree) == (path, nearest)


def test_known_keys_are_known_whatever_their_values() -> None:
    assert settings.unknown(Outer, {"inner": 3, "inners": [{"port": "x"}], "maybe": None}) is None


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (int, "8", 8),
        (float, "8", 8.0),
        (bool, "true", True),
        (bool, "0", False),
        (str, "8", "8"),
        (tuple[str, ...], "a, b", ["a", "b"]),
        (tuple[str, ...], '["a, b"]', ["a, b"]),
        (tuple[Inner, ...], '[{"port": 2}]', [{"port": 2}]),
    ],
)
def test_a_variables_text_means_what_its_type_says(kind: object, text: str, value: object) -> None:
    assert settings.value_of(kind, text) == value


def test_paths_are_shown_as_people_write_them() -> None:
    assert settings.shown(("router", "providers", 1, "model")) == "router.providers[1].model"


def test_a_setting_is_held_only_where_it_was_said() -> None:
    tree: Tree = {"a": [{"b": 1}]}
    assert settings.holds(tree, ("a", 0, "b"))
    assert not settings.holds(tree, ("a", 0, "c"))
    assert not settings.holds(tree, ("a", 1))
    assert not settings.holds(tree, ("a", "b"))


def test_settings_are_told_one_by_one_and_put_back_together() -> None:
    tree: Tree = {"a": {"b": 1, "c": {"d": [1]}}, "e": "x"}
    found = dict(settings.leaves(tree))
    assert found == {("a", "b"): 1, ("a", "c", "d"): [1], ("e",): "x"}
    again: Tree = {}
    for path, value in found.items():
        settings.put(again, path, value)
    assert again == tree
