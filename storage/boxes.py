"""Personal text as it stands in a row: in a box that only its own key opens.

An event type says which of its fields are a person's words (`Event.personal`). In the row these fields hold a marker,
and what they said stands encrypted beside it, under a key of that one event which is kept in a file apart. The hash
chain covers the box, so that a key can be destroyed and every hash still holds: the words are gone for good, and what
is read is the marker. Fields that are empty are left as they are.

A key encrypts one event and nothing else, ever, so the nonce says nothing and is constant.

Pure: no clock, no disk.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from functools import cache
from secrets import token_hex
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

Fields = dict[str, msgspec.Raw]
Paths = tuple[str, ...]
"""Names of fields, such as `title`, or `spec.title` for one of a struct in it."""


class Said(NamedTuple):
    """One field's words, and where in the redacted data its marker begins."""

    path: str
    offset: int
    words: msgspec.Raw


_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(Fields).decode
_said = msgspec.json.Decoder(tuple[Said, ...]).decode
_MARKER = _encode(MARKER)
_BOX = b',"~b":"'
_EMPTY = (b'""', b"null")
_TOKEN = token_hex(16)
"""What stands where words were taken out, while the place is looked for: no data hold it."""


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
    """The data with the fields at `paths` in a box that the key of that number opens; the same where all are empty."""
    fields = _fields(data)
    words: Fields = {}
    for path in paths:
        _take(fields, path.split("."), path, words)
    if not words:
        return data
    redacted = _encode(fields)
    said: list[Said] = []
    places = sorted((redacted.index(_token(at)), at, path) for at, path in enumerate(words))
    for _, at, path in places:
        offset = redacted.index(_token(at))
        redacted = redacted[:offset] + _MARKER + redacted[offset + len(_token(at)) :]
        said.append(Said(path, offset, words[path]))
    box = b64encode(AESGCM(key).encrypt(NONCE, _encode(said), None))
    return b'%b%d%b%b",%b' % (PREFIX, number, _BOX, box, redacted[1:])


def key_number(data: bytes) -> int:
    """The number of the key that opens the box. Raises NoBox."""
    try:
        return int(data[len(PREFIX) : data.index(b",", len(PREFIX))])
    except ValueError as error:
        raise NoBox("it does not say which key opens it") from error


def opened(data: bytes, key: bytes | None) -> bytes:
    """The data as they were, or with markers where the key is destroyed. Raises NoBox."""
    box, redacted = _parted(data)
    if key is None:
        return redacted
    pieces: list[bytes] = []
    done = 0
    for _, offset, words in _opened(box, key):
        pieces += (redacted[done:offset], words)
        done = offset + len(_MARKER)
    return b"".join((*pieces, redacted[done:]))


def words_in(data: bytes, key: bytes) -> Mapping[str, str]:
    """What the box holds, by path. Raises NoBox."""
    return {said.path: msgspec.json.decode(said.words, type=str) for said in _opened(_parted(data)[0], key)}


def _parted(data: bytes) -> tuple[bytes, bytes]:
    """The box as text, and the data with markers."""
    try:
        begin = data.index(_BOX, len(PREFIX)) + len(_BOX)
        end = data.index(b'",', begin)
    except ValueError as error:
        raise NoBox("there is none") from error
    return data[begin:end], b"{" + data[end + 2 :]


def _opened(box: bytes, key: bytes) -> tuple[Said, ...]:
    try:
        return _said(AESGCM(key).decrypt(NONCE, b64decode(box, validate=True), None))
    except (InvalidTag, ValueError) as error:
        raise NoBox("the key does not open it") from error


def _take(fields: Fields, path: list[str], whole: str, words: Fields) -> None:
    """Move what stands at a path into `words`; a struct that is not there has no words."""
    name, *rest = path
    value = fields.get(name)
    if value is None or bytes(value) in _EMPTY:
        return
    if rest:
        inner = _fields(value)
        count = len(words)
        _take(inner, rest, whole, words)
        if len(words) > count:
            fields[name] = msgspec.Raw(_encode(inner))
    else:
        fields[name] = msgspec.Raw(_token(len(words)))
        words[whole] = value


@cache
def _token(at: int) -> bytes:
    return f'"{_TOKEN} {at}"'.encode()
