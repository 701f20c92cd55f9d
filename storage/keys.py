"""The keys of personal text: one per event, in a file apart from the journal's rows, so that they can be destroyed.

Rules: a key is given without a wait, out of a block that was made in memory; the block is durable before the batch with
the first event that uses one of its keys. Each time the keys run out, more blocks are made at once, so that in a burst
few batches wait for a sync of their own. A number is given once: a start begins with a block of its own. A destroyed
key is zeros, overwritten in the file (`secure_delete`), with the log beside it emptied. The file can be read by its
owner alone. Backups and forks carry the keys, since without them the text is gone: what is redacted here stays readable
there.

Keys are given where events are appended; the file's writing side lives on the thread that writes the journal.
"""

import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path
from secrets import token_bytes

from bus.envelope import StoredEvent
from storage import boxes, queries
from storage.boxes import KEY_BYTES
from storage.cells import digest
from storage.database import WalKeeper, connect, unless_full
from storage.errors import CorruptDatabase, DatabaseLocked
from storage.files import Files
from storage.schema import KEYS, create_or_check
from storage.transactions import transaction

KEYS_NAME = "keys.sqlite"
BLOCK_KEYS = 1_024
"""What is left of a block at a stop is never used."""
BLOCK_BYTES = BLOCK_KEYS * KEY_BYTES
BLOCKS_MAX = 4
"""Made at once: 128 KiB, some tens of microseconds of the loop."""
DESTROYED = bytes(KEY_BYTES)


class FreshKeys:
    """Keys that nothing was encrypted with, as they are given to events."""

    def __init__(self) -> None:
        self.unsaved: dict[int, bytes] = {}
        """Blocks that are not in the file yet, by number."""
        self.made: dict[int, bytes] = {}
        """The blocks that were made last."""
        self.last = 0
        """The number of the last block that is taken."""
        self._blocks = 1
        """How many are made the next time."""
        self._first = 0
        self._keys = b""
        """The keys from that number on, one after another."""
        self._used = 0

    def next(self) -> tuple[int, bytes]:
        """A key and its number."""
        start = self._used * KEY_BYTES
        if start == len(self._keys):
            start = 0
            self._make()
        self._used += 1
        return self._first + self._used - 1, self._keys[start : start + KEY_BYTES]

    def _make(self) -> None:
        self._keys = token_bytes(self._blocks * BLOCK_BYTES)
        self._first, self._used = (self.last + 1) * BLOCK_KEYS, 0
        self.made = dict(enumerate(_blocks(self._keys), self.last + 1))
        self.unsaved.update(self.made)
        self.last += self._blocks
        self._blocks = min(self._blocks + 1, BLOCKS_MAX)


class Keys:
    """The file of one journal's keys, as its writer has it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / KEYS_NAME
        self.fresh = FreshKeys()
        self._connection: sqlite3.Connection | None = None
        self._wal = WalKeeper(self.path)

    def open(self) -> None:
        """Open the file, made where there is none. Raises UnknownSchema, CorruptDatabase, sqlite3.Error, OSError."""
        self.close()
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        self._connection = connect(self.path, is_shared=True)
        create_or_check(self._connection, self.path, KEYS)
        self._copy(self._wal.empty)  # what a kill or an error left there may never have been synced
        (last,) = self._connection.execute(queries.LAST_KEYS).fetchone()
        self.fresh.last = max(self.fresh.last, last)
        for block, content in self.fresh.made.items():  # opened again: the file may have lost what it was given
            if _block(self._connection, self.path, block) is None:
                self.fresh.unsaved[block] = content

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            try:
                self._connection.close()
            finally:
                self._connection = None

    def save(self) -> None:
        """Make all keys durable that were given so far. Raises sqlite3.Error."""
        blocks = dict(self.fresh.unsaved)
        if not blocks:
            return
        with transaction(self._open):
            for number, content in blocks.items():
                self._open.execute(queries.PUT_KEYS, (number, content, sha256(content).digest()))
        for number in blocks:
            del self.fresh.unsaved[number]
        self._copy(self._wal.after_commit)

    def keep(self, keys: Mapping[int, bytes]) -> None:
        """Take keys along that another directory has made. Raises sqlite3.Error."""
        self._change({number: key for number, key in keys.items() if key != DESTROYED})
        self.fresh.last = max((self.fresh.last, *(number // BLOCK_KEYS for number in keys)))

    def destroy(self, numbers: Collection[int]) -> int:
        """Destroy keys for good; how many were still there.

        Raises DatabaseLocked while another process reads what they were: to do it again makes it whole; sqlite3.Error,
        CorruptDatabase.
        """
        blocks = {block: _block(self._open, self.path, block) for block in {one // BLOCK_KEYS for one in numbers}}
        living = sum(any(_slice(blocks[number // BLOCK_KEYS] or b"", number)) for number in numbers)
        for block in blocks:
            self.fresh.made.pop(block, None)  # it must never come back from here
        self._change(dict.fromkeys(numbers, DESTROYED))
        is_busy, _, _ = self._open.execute(queries.WAL_TRUNCATE).fetchone()
        if is_busy:
            raise DatabaseLocked(self.path)
        return living

    @property
    def _open(self) -> sqlite3.Connection:
        assert self._connection is not None, "the file is open"
        return self._connection

    def _copy(self, copy: Callable[[sqlite3.Connection], bool]) -> None:
        with unless_full():
            copy(self._open)

    def _change(self, keys: Mapping[int, bytes]) -> None:
        with transaction(self._open):
            for block in sorted({number // BLOCK_KEYS for number in keys}):
                content = bytearray(_block(self._open, self.path, block) or bytes(BLOCK_BYTES))
                for number, key in keys.items():
                    if number // BLOCK_KEYS == block:
                        start = number % BLOCK_KEYS * KEY_BYTES
                        content[start : start + KEY_BYTES] = key
                self._open.execute(queries.PUT_KEYS, (block, bytes(content), sha256(content).digest()))


class Opener:
    """Opens boxes for one read, with the keys of a block as they were when it was first asked for."""

    def __init__(self, connection: Callable[[], sqlite3.Connection], path: Path) -> None:
        self._connection = connection
        self._path = path
        self._blocks: dict[int, bytes] = {}

    def key(self, number: int) -> bytes | None:
        """The key of a number; None once it is destroyed. Raises CorruptDatabase."""
        block = number // BLOCK_KEYS
        if block not in self._blocks:
            content = _block(self._connection(), self._path, block)
            if content is None:
                raise CorruptDatabase(self._path, f"the keys from {block * BLOCK_KEYS} on are missing")
            self._blocks[block] = content
        key = _slice(self._blocks[block], number)
        return None if key == DESTROYED else key

    def data(self, data: bytes) -> bytes:
        """A row's data as they were, or with markers. Raises CorruptDatabase."""
        if not boxes.has_box(data):
            return data
        try:
            return boxes.opened(data, self.key(boxes.key_number(data)))
        except boxes.NoBox as error:
            raise CorruptDatabase(self._path, f"a key in it is not what it was: {error.reason}") from error


def opener_of(files: Files, path: Path) -> Opener:
    """What opens boxes on a reading thread."""
    return Opener(partial(files.get, path), path)


def living(files: Files, path: Path, events: Iterable[StoredEvent]) -> dict[int, bytes]:
    """The keys of the events' personal text, by number; those that are destroyed are not there."""
    opener = opener_of(files, path)
    numbers = [boxes.key_number(event.data) for event in events if boxes.has_box(event.data)]
    return {number: key for number in numbers if (key := opener.key(number)) is not None}


def _blocks(keys: bytes) -> list[bytes]:
    return [keys[start : start + BLOCK_BYTES] for start in range(0, len(keys), BLOCK_BYTES)]


def _block(connection: sqlite3.Connection, path: Path, block: int) -> bytes | None:
    row = connection.execute(queries.KEYS, (block,)).fetchone()
    if row is None:
        return None
    content: bytes = row[0]
    if digest(content) != row[1] or len(content) != BLOCK_BYTES:
        raise CorruptDatabase(path, f"the keys from {block * BLOCK_KEYS} on are not what they were")
    return content


def _slice(content: bytes, number: int) -> bytes:
    start = number % BLOCK_KEYS * KEY_BYTES
    return content[start : start + KEY_BYTES]
