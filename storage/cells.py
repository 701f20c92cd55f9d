"""What stands in a cell of a damaged file may be of another type than its column, whatever the table says of it.

Pure: no clock, no disk.
"""

from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import msgspec

from storage.errors import CorruptDatabase

T = TypeVar("T")

NO_DIGEST = b"no bytes"


def checked(found: object, kind: type[T], path: Path) -> T:
    """A row, or rows, of a file, seen to be of these types. Raises CorruptDatabase."""
    try:
        return msgspec.convert(found, kind, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise CorruptDatabase(path, f"a cell of it holds something else than its column: {error}") from error


def digest(cell: object) -> bytes:
    """The SHA-256 of what a cell holds; of what is no bytes, something that is no hash."""
    return sha256(cell).digest() if isinstance(cell, bytes) else NO_DIGEST
