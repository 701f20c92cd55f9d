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

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
MARKER = "[redacted]"
"""What is read where the words were."""
PREFIX = b'{"~k":'
"""How the data of a row with a box begin; no field's name begins with a tilde."""
NONCE = bytes(12)

Fields = dict[str, msgspec.Raw]
Paths = tuple[str, ...]
"""Names of fields, such as `title`, or `spec.title` for one of a struct in it."""

_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(Fields).decode
_MARKER = msgspec.Raw(_encode(MARKER))
_EMPTY = (b'""', b"null")


class NoBox(ValueError):
    """The bytes are no box, or the key is not that of the box."""


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
    box = b64encode(AESGCM(key).encrypt(NONCE, _encode(words), None))
    return b'%b%d,"~b":"%b",%b' % (PREFIX, number, box, _encode(fields)[1:])


def key_number(data: bytes) -> int:
    """The number of the key that opens the box. Raises NoBox."""
    try:
        return int(data[len(PREFIX) : data.index(b",", len(PREFIX))])
    except ValueError as error:
        raise NoBox("it does not say which key opens it") from error


def opened(data: bytes, key: bytes | None) -> bytes:
    """The data as they were, or with markers where the key is destroyed. Raises NoBox."""
    fields = _parsed(data)
    box = fields.pop("~b")
    del fields["~k"]
    if key is None:
        return _encode(fields)
    for path, said in _words(box, key).items():
        _put(fields, path.split("."), said)
    return _encode(fields)


def words_in(data: bytes, key: bytes) -> Mapping[str, str]:
    """What the box holds, by path. Raises NoBox."""
    return {path: msgspec.json.decode(said, type=str) for path, said in _words(_parsed(data)["~b"], key).items()}


def _parsed(data: bytes) -> Fields:
    try:
        fields = _fields(data)
    except msgspec.DecodeError as error:
        raise NoBox(str(error)) from error
    if "~b" not in fields:
        raise NoBox("there is none")
    return fields


def _words(box: msgspec.Raw, key: bytes) -> Fields:
    try:
        return _fields(AESGCM(key).decrypt(NONCE, b64decode(msgspec.json.decode(box, type=str)), None))
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
        words[whole] = value
        fields[name] = _MARKER


def _put(fields: Fields, path: list[str], said: msgspec.Raw) -> None:
    name, *rest = path
    if rest:
        inner = _fields(fields[name])
        _put(inner, rest, said)
        fields[name] = msgspec.Raw(_encode(inner))
    else:
        fields[name] = said
