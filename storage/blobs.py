"""The contents that are too large for an event, named by their hash.

Rules: a content is durable before the event that names it, so a crash leaves at worst a content that nobody names;
each is kept once. They lie in a file of their own: segments come and go, and what they name may outlive them. What no
event and no checkpoint names any more goes with a prune; whatever looks like a name counts as one, so that a kill, an
old format or an odd field leaves at worst a content too many and never one too few.

Lives on the writing connection's thread.
"""

import re
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from bus.messages.base import BlobId
from storage import queries
from storage.database import WalKeeper, connect, unless_full
from storage.schema import BLOBS, create_or_check
from storage.transactions import transaction

BLOBS_NAME = "blobs.sqlite"
_NAME = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


def named_in(texts: Iterable[bytes]) -> set[bytes]:
    """The hashes of all contents that texts may name."""
    return {bytes.fromhex(name.decode()) for text in texts for name in _NAME.findall(text)}


class Blobs:
    """The contents of one journal."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / BLOBS_NAME
        self._connection: sqlite3.Connection | None = None
        self._wal = WalKeeper(self.path)

    def open(self) -> None:
        """Open the file, made where there is none. Raises UnknownSchema, CorruptDatabase, sqlite3.Error."""
        self.close()
        self._connection = connect(self.path, is_shared=True)
        create_or_check(self._connection, self.path, BLOBS)
        self._copy(self._wal.empty)  # what a kill or an error left there may never have been synced

    def put(self, blobs: Mapping[BlobId, bytes]) -> None:
        """Make contents durable. Raises sqlite3.Error."""
        assert self._connection is not None, "the file is open"
        with transaction(self._connection):
            for blob, content in blobs.items():
                digest = sha256(content).digest()
                assert digest.hex() == blob, "a blob is named by its content"
                self._connection.execute(queries.INSERT_BLOB, (digest, content))
        self._copy(self._wal.after_commit)

    def remove(self, names: Collection[bytes]) -> int:
        """Remove contents; how many were there. `settle` overwrites them in the file. Raises sqlite3.Error."""
        assert self._connection is not None, "the file is open"
        with transaction(self._connection):
            return self._connection.executemany(queries.DELETE_BLOB, [(name,) for name in names]).rowcount

    def settle(self) -> None:
        """Copy the log, which a removal makes as large as what went. Raises sqlite3.Error."""
        self._copy(self._wal.copy)

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            try:
                self._connection.close()
            finally:
                self._connection = None

    def _copy(self, copy: Callable[[sqlite3.Connection], bool]) -> None:
        assert self._connection is not None, "the file is open"
        with unless_full():
            copy(self._connection)
