"""Personal text as it stands in a row: in a box that only its own key opens.

An event type says which of its fields are a person's words (`Event.personal`). In the row these fields hold a marker,
and what they said stands encrypted beside it, under a key of that one event which is kept in a file apart. The hash
chain covers the box, so that a key can be destroyed and every hash still holds: the words are gone for good, and what
is read is the marker. Fields that are empty are left as they are.

A key encrypts one event and nothing else, ever, so the nonce says nothing and is constant.

Pure: no clock, no disk.
"""

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bus.errors import StorageError

KEY_BYTES = 32
MARKER = "[redacted]"
"""What is read where the words were."""
PREFIX = b'{"~k":'
"""How the data of a row with a box begin; no field's name begins with a tilde."""
NONCE = bytes(12)
NAMES_KEPT = 1_024
"""Names of fields whose widths are remembered: far more than all events with personal text have."""
PATHS_KEPT = 256
"""The paths of as many types of event are remembered as trees."""

Fields = dict[str, msgspec.Raw]
Paths = tuple[str, ...]
"""Names of fields, such as `title`, or `spec.title` for one of a struct in it."""
Tree = dict[str, "Tree"]
"""Paths by their first names; a field with words has an empty one."""


class Said(NamedTuple):
    """One field's words, and where in the redacted data its marker begins."""

    path: str
    offset: int
    words: msgspec.Raw


class Cut(NamedTuple):
    """Where a field's words stand in the data."""

    begin: int
    end: int
    path: bytes


class Sign(NamedTuple):
    """How a field with words is known in the data of its type."""

    path: bytes
    name: bytes
    above: tuple[bytes, ...]
    """The structs that it stands in, as they begin."""


_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(Fields).decode
_said = msgspec.json.Decoder(tuple[Said, ...]).decode
_MARKER = _encode(MARKER)
_BOX = b',"~b":"'
_END = b'",'
_NO_TEXT = b'""'
_EMPTY = (_NO_TEXT, b"null")
_QUOTE, _BACKSLASH = b'"\\'
_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')


class NoBox(StorageError):
    """Personal text cannot be read: the bytes are no box, or the key is not that of the box."""

    code = "no_box"

    def __init__(self, reason: str) -> None:
        super().__init__(f"personal text cannot be read: {reason}")
        self.reason = reason


def has_box(data: bytes) -> bool:
    """Whether a row's data hold personal text in a box."""
    return data.startswith(PREFIX)


def closed(data: bytes, paths: Paths, number: int, key: bytes) -> bytes:
    """The data with the fields at `paths` in a box that the key of that number opens; the same where all are empty.

    Data with blanks, or names with needless escapes, between the fields come out of the box without them.
    """
    cuts = _quick_cuts(data, paths)
    if cuts is None:
        tree = _tree(paths)
        cuts = _cuts(data, 0, tree, "")
    if cuts is None:
        data = _plain(data, tree)
        cuts = _cuts(data, 0, tree, "")
        assert cuts is not None, "our encoder adds nothing"
    if not cuts:
        return data
    said: list[bytes] = []
    redacted: list[bytes] = []
    done, moved = 1, 0
    for begin, end, path in cuts:
        said.append(b'["%b",%d,%b]' % (path, begin - moved, data[begin:end]))
        redacted += (data[done:begin], _MARKER)
        done = end
        moved += end - begin - len(_MARKER)
    box = b2a_base64(AESGCM(key).encrypt(NONCE, b"[%b]" % b",".join(said), None), newline=False)
    return b"%b%d%b%b%b%b%b" % (PREFIX, number, _BOX, box, _END, b"".join(redacted), data[done:])


def key_number(data: bytes) -> int:
    """The number of the key that opens the box. Raises NoBox."""
    try:
        return int(data[len(PREFIX) : data.index(b",", len(PREFIX))])
    except ValueError as error:
        raise NoBox("it does not say which key opens it") from error


def opened(data: bytes, key: bytes | None) -> bytes:
    """The data as they were, or with markers where the key is destroyed. Raises NoBox."""
    begin, end = _box(data)
    rest = end + len(_END)
    if key is None:
        return b"{" + data[rest:]
    pieces: list[bytes | msgspec.Raw] = [b"{"]
    before = rest - 1  # offsets count the brace
    for _, offset, words in _opened(data[begin:end], key):
        pieces += (data[rest : before + offset], words)
        rest = before + offset + len(_MARKER)
    pieces.append(data[rest:])
    return b"".join(pieces)


def words_in(data: bytes, key: bytes) -> Mapping[str, str]:
    """What the box holds, by path. Raises NoBox."""
    return {said.path: msgspec.json.decode(said.words, type=str) for said in _opened(data[slice(*_box(data))], key)}


def _box(data: bytes) -> tuple[int, int]:
    """Where the text of the box begins and ends; what follows is the data with markers."""
    try:
        begin = data.index(_BOX, len(PREFIX)) + len(_BOX)
        return begin, data.index(_END, begin)
    except ValueError as error:
        raise NoBox("there is none") from error


def _opened(box: bytes, key: bytes) -> tuple[Said, ...]:
    try:
        return _said(AESGCM(key).decrypt(NONCE, a2b_base64(box, strict_mode=True), None))
    except (InvalidTag, ValueError) as error:
        raise NoBox("the key does not open it") from error


def _quick_cuts(data: bytes, paths: Paths) -> list[Cut] | None:
    """The same as `_cuts`, without a look at the other fields. None where it takes one to be sure.

    A name between quotes with a colon behind it is no part of a text, where quotes are escaped; so what stands behind
    the only one is the field, if it is a text.
    """
    cuts: list[Cut] = []
    for path, name, above in _signs(paths):
        at = data.find(name)
        begin = at + len(name)
        if at < 0 or data[begin] != _QUOTE or data.find(name, begin) >= 0:
            return None
        if above and not all(0 < data.find(one) < at for one in above):
            return None
        end = data.index(b'"', begin + 1) + 1
        if data[end - 2] == _BACKSLASH:
            end = _whole_text(data, begin)
        if end - begin > len(_NO_TEXT):
            cuts.append(Cut(begin, end, path))
    if len(cuts) > 1:
        cuts.sort()
    return cuts


@lru_cache(PATHS_KEPT)
def _signs(paths: Paths) -> tuple[Sign, ...]:
    names = [path.split(".") for path in paths]
    return tuple(
        Sign(".".join(whole).encode(), _encode(last) + b":", tuple(_encode(one) + b":{" for one in above))
        for whole in names
        for *above, last in [whole]
    )


def _whole_text(data: bytes, begin: int) -> int:
    """Where a text ends that has escapes."""
    text = _TEXT.match(data, begin)
    assert text is not None, "the data are JSON"
    return text.end()


def _cuts(data: bytes, begin: int, tree: Tree, outer: str) -> list[Cut] | None:
    """Where the words of a struct stand that begins at an offset, in order; a struct that is not there has none.

    The widths of names and values, with one byte between them, must come to the whole: whatever else stands in the
    data makes it longer. None where it does.
    """
    cuts: list[Cut] = []
    at = begin + 1
    for name, value in _fields(data).items():
        at += _width(name)
        width = len(value)
        branch = tree.get(name)
        if branch is not None and bytes(value) not in _EMPTY:
            if not branch:
                cuts.append(Cut(at, at + width, f"{outer}{name}".encode()))
            elif inner := _cuts(bytes(value), at, branch, f"{outer}{name}."):
                cuts += inner
            elif inner is None:
                return None
        at += width + 1
    return cuts if at == begin + len(data) or data == b"{}" else None


def _plain(data: bytes, tree: Tree) -> bytes:
    """The same data as our encoder writes them, as far as the tree leads."""
    fields = _fields(data)
    for name, value in fields.items():
        if (branch := tree.get(name)) and bytes(value) not in _EMPTY:
            fields[name] = msgspec.Raw(_plain(bytes(value), branch))
    return _encode(fields)


@lru_cache(PATHS_KEPT)
def _tree(paths: Paths) -> Tree:
    tree: Tree = {}
    for path in paths:
        branch = tree
        for name in path.split("."):
            branch = branch.setdefault(name, {})
    return tree


@lru_cache(NAMES_KEPT)
def _width(name: str) -> int:
    """Bytes of a name and its colon."""
    return len(_encode(name)) + 1
