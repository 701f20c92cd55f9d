"""Checks of single fields, so that each refusal names the field's path in the same words.

Rules: a text is bounded in the bytes that it takes as JSON, since that is what the journal keeps; a time is finite;
an id has a shape that is safe in paths, addresses and listings. Every check raises `InvalidField`.

Pure: no clock, no state.
"""

import math
import re
from functools import lru_cache

import msgspec

from bus.refusals import InvalidField

ID_CHARS_MAX = 128
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+/-]{0,127}")
_is_id = _ID.fullmatch


def check_encodable(path: str, value: str) -> int:
    """The bytes that the text takes as JSON; refuses what has no place in UTF-8."""
    try:
        return len(msgspec.json.encode(value)) - 2  # without the quotes
    except UnicodeEncodeError as error:
        raise InvalidField(path, "is not valid Unicode") from error


def check_text(path: str, value: str, bytes_max: int) -> str:
    """The text, which may be empty."""
    if check_encodable(path, value) > bytes_max:
        raise InvalidField(path, f"is longer than {bytes_max} bytes")
    return value


def check_line(path: str, value: str, chars_max: int) -> str:
    """The text without white space around it, which may not be empty then."""
    line = value.strip()
    if not line:
        raise InvalidField(path, "is empty")
    if len(line) > chars_max:
        raise InvalidField(path, f"is longer than {chars_max} characters")
    check_encodable(path, line)
    return line


def check_id(path: str, value: str, *, may_be_empty: bool = False) -> str:
    """An id of letters, digits and `. _ : @ + / -`, at most `ID_CHARS_MAX` long."""
    if _is_id(value) is None and not (may_be_empty and not value):
        raise InvalidField(
            path, f"must be 1 to {ID_CHARS_MAX} of A-Z a-z 0-9 . _ : @ + / - and begin with a letter or digit"
        )
    return value


@lru_cache(maxsize=8_192)
def check_account(path: str, value: str) -> str:
    """The id of an account. Few accounts stand in many transfers, so what was found sound is remembered."""
    return check_id(path, value)


def check_integer(path: str, value: int, low: int, high: int) -> int:
    """An integer from `low` to `high`, both included."""
    if not low <= value <= high:
        raise InvalidField(path, f"must be from {low} to {high}")
    return value


def check_seconds(path: str, value: float, high: float) -> float:
    """A finite time from 0 to `high` seconds."""
    if not math.isfinite(value) or not 0 <= value <= high:
        raise InvalidField(path, f"must be from 0 to {high:g} seconds")
    return value


def shorten(text: str, chars_max: int) -> str:
    """The text, cut to `chars_max` characters with an ellipsis; what has no place in UTF-8 is replaced."""
    cut = text if len(text) <= chars_max else text[: chars_max - 1] + "…"
    return cut.encode(errors="replace").decode()
