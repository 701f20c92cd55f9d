"""Settings as text: where a key stands in a TOML file, which keys a section knows, what a variable's text means.

Pure: the text comes in, paths and values go out. A path is the keys that lead to a setting, from the section inwards;
an entry of a list is a number in it: `("providers", 1, "model")`.
"""

import difflib
import re
from collections.abc import Iterator
from typing import TypeGuard, get_args, get_origin

import msgspec

Path = tuple[str | int, ...]

Tree = dict[str, object]
"""Settings as they were read: nested tables of plain values."""

_TABLE = re.compile(r"^\s*\[(?!\[)\s*(?P<keys>[^\]]+?)\s*\]")
_ENTRY = re.compile(r"^\s*\[\[\s*(?P<keys>[^\]]+?)\s*\]\]")
_KEY = re.compile(r"""^\s*(?P<keys>(?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_AT = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_PLAIN = {
    "`int`": "a whole number",
    "`float`": "a number",
    "`str`": "text",
    "`bool`": "true or false",
    "`array`": "a list",
    "`object`": "a table",
}
_NAMED = re.compile(r"`(?P<key>\w+)`")


def shown(path: Path) -> str:
    """A path as people write it: `providers[1].model`."""
    words = ""
    for key in path:
        words += f"[{key}]" if isinstance(key, int) else f".{key}" if words else key
    return words


def lines_of(text: str) -> dict[Path, int]:
    """The line of each table and key of a TOML text that was found to be valid."""
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        if fence:
            fence = "" if fence in line else fence
            continue
        if found := _ENTRY.match(line):
            keys = _within(_split(found["keys"]), counts)
            index = counts[keys] = counts.get(keys, -1) + 1
            table = (*keys, index)
            lines.setdefault(keys, number)
            lines[table] = number
        elif found := _TABLE.match(line):
            table = _within(_split(found["keys"]), counts)
            lines.setdefault(table, number)
        elif found := _KEY.match(line):
            lines.setdefault((*table, *_split(found["keys"])), number)
        fence = next((mark for mark in ('"""', "'''") if line.count(mark) % 2), "")
    return lines


def nearest_line(lines: dict[Path, int], path: Path) -> int:
    """The line of a path, or of the closest table around it; 1 when nothing of it is there."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


def leaves(tree: Tree, path: Path = ()) -> Iterator[tuple[Path, object]]:
    """Each setting with its path; a list counts as one setting."""
    for key, value in tree.items():
        if is_tree(value):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def is_tree(value: object) -> TypeGuard[Tree]:
    """Whether a value is a table."""
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def put(tree: Tree, path: Path, value: object) -> None:
    """Set one setting in a tree, making the tables around it."""
    for key in path[:-1]:
        inner = tree.setdefault(str(key), {})
        if not is_tree(inner):
            inner = tree[str(key)] = {}
        tree = inner
    tree[str(path[-1])] = value


def holds(tree: object, path: Path) -> bool:
    """Whether a setting was said at all."""
    for key in path:
        if isinstance(key, int) and isinstance(tree, list) and key < len(tree):
            tree = tree[key]
        elif is_tree(tree) and key in tree:
            tree = tree[str(key)]
        else:
            return False
    return True


def unknown(kind: object, tree: object, path: Path = ()) -> tuple[Path, str] | None:
    """The first key that its table does not know, with the nearest one that it does, or nothing."""
    fields = _fields(kind)
    if fields is not None and is_tree(tree):
        for key, value in tree.items():
            if key not in fields:
                return (*path, key), _nearest(key, tuple(fields))
            if (found := unknown(fields[key], value, (*path, key))) is not None:
                return found
    elif (entry := _entry(kind)) is not None and isinstance(tree, list):
        for index, value in enumerate(tree):
            if (found := unknown(entry, value, (*path, index))) is not None:
                return found
    return None


def kind_of(kind: object, path: Path) -> object | None:
    """The declared type of a setting, or nothing if there is no such setting."""
    for key in path:
        fields = _fields(kind)
        if fields is None or key not in fields:
            return None
        kind = fields[str(key)]
    return kind


def is_section(kind: object) -> bool:
    """Whether a type is a table of further settings."""
    return _fields(kind) is not None


def value_of(kind: object, text: str) -> object:
    """What a variable's text means for a setting of that type. Raises msgspec.ValidationError or DecodeError."""
    if _entry(kind) is str and not text.lstrip().startswith("["):
        return [word.strip() for word in text.split(",") if word.strip()]
    if get_origin(kind) in (tuple, list, dict) or kind in (tuple, list, dict):
        return msgspec.json.decode(text)
    return msgspec.to_builtins(msgspec.convert(text, kind, strict=False))


def blame(error: msgspec.ValidationError) -> tuple[Path, str]:
    """The setting that a validation error is about, and what is wrong with it, in words without type syntax."""
    words = str(error)
    path: Path = ()
    if found := _AT.search(words):
        words = words[: found.start()]
        for key, index in re.findall(r"\.(\w+)|\[(\d+)\]", found["path"]):
            path = (*path, key) if key else (*path, int(index))
    if named := _NAMED.match(words):
        path = (*path, named["key"]) if not path or path[-1] != named["key"] else path
    elif missing := re.search(r"missing required field `(\w+)`", words):
        return path, f"`{missing[1]}` is missing"
    for plain, meant in _PLAIN.items():
        words = words.replace(plain, meant)
    return path, words[:1].lower() + words[1:]


def _split(keys: str) -> Path:
    return tuple(key.strip().strip("\"'") for key in re.findall(r"""[\w-]+|"[^"]*"|'[^']*'""", keys))


def _within(keys: Path, counts: dict[Path, int]) -> Path:
    """The keys of a table, with the number of the latest entry wherever one of them is a list."""
    path: Path = ()
    for position, key in enumerate(keys):
        path = (*path, key)
        if path in counts and position < len(keys) - 1:
            path = (*path, counts[path])
    return path


def _fields(kind: object) -> dict[str, object] | None:
    """The settings of a table by name; of `Table | None` those of the table."""
    for member in (kind, *get_args(kind)):
        if isinstance(member, type) and issubclass(member, msgspec.Struct):
            return {field.encode_name: field.type for field in msgspec.structs.fields(member)}
        if get_origin(kind) in (tuple, list, dict):
            return None
    return None


def _entry(kind: object) -> object | None:
    """The type of a list's entries."""
    if get_origin(kind) in (tuple, list):
        return next(iter(get_args(kind)), None)
    return None


def _nearest(key: str, known: tuple[str, ...]) -> str:
    return next(iter(difflib.get_close_matches(key, known, n=1)), "")
