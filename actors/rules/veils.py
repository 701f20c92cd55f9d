"""Words that not every reader of the journal may see: split in two halves, of which neither says anything alone.

One half is public, the other is sealed and never leaves the process. Encrypting the public half at rest, and destroying
its key, makes the words unreadable for good, whatever becomes of the sealed one: so what is veiled can be redacted like
any other personal text.

The halves are the words combined with a stream that SHAKE-256 makes of a key which serves once. That nobody changed
them is not its business: the journal's hash chain covers both.

Pure: the key is given.
"""

import hashlib
from base64 import b64decode, b64encode

import msgspec

KEY_CHARS_MIN = 32
"""Sixteen random bytes in hex: too many to try."""


def veiled(words: tuple[str, ...], key: str) -> str:
    """The public half, as text. A key serves for one veil, ever."""
    assert len(key) >= KEY_CHARS_MIN, "a veil needs a key that nobody can guess"
    return b64encode(_combined(msgspec.json.encode(words), key)).decode()


def lifted(veil: str, key: str) -> tuple[str, ...] | None:
    """The words; None where a half is not what it was, as after a redaction."""
    try:
        content = _combined(b64decode(veil, validate=True), key)
        return msgspec.json.decode(content, type=tuple[str, ...])
    except ValueError:  # no base64, or no JSON of texts
        return None


def _combined(content: bytes, key: str) -> bytes:
    stream = hashlib.shake_256(key.encode()).digest(len(content))
    return bytes(one ^ other for one, other in zip(content, stream, strict=True))
