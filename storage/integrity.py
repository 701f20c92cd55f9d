"""Prove that the journal is what was written.

Every row's hash is computed again from its stored bytes along both chains, every blob from its content, the rollup
from the rows; positions have no gap; SQLite checks its own structure and that the indexes agree with the rows. The walk
is made of short reads, so that the journal can be written to meanwhile.
"""

import sqlite3
from collections.abc import Callable
from functools import partial
from hashlib import sha256

import msgspec

from bus.envelope import EncodedEvent
from bus.messages.base import Position
from storage import queries
from storage.chain import KEPT, NOTHING, PRUNABLE, row_hash
from storage.database import Database
from storage.errors import CorruptDatabase
from storage.transactions import snapshot

PAGE_ROWS = 2_000
PAGE_BLOBS = 16
"""Blobs are large: a page is a few megabytes."""

Progress = Callable[[Position, Position], None]
"""Called with the last position that was proved and the head."""


class Verification(msgspec.Struct, frozen=True):
    """What was proved, and the first thing that is wrong."""

    events: int
    blobs: int
    position: Position
    """The first position that is wrong; 0 where nothing is, or what is wrong has no position."""
    problem: str
    """Empty when all is as it was written."""


async def verify(reader: Database, progress: Progress | None = None) -> Verification:
    """Walk the whole journal over a connection of its own. Raises StorageError when it cannot be read at all."""
    try:
        head = await reader.run(_head)
        events, position, problem = await _walk(reader, head, progress)
        if problem:
            return Verification(events, 0, position, problem)
        blobs, problem = await _walk_blobs(reader)
        return Verification(events, blobs, Position(0), problem or await reader.run(_structure))
    except CorruptDatabase as error:
        return Verification(0, 0, Position(0), error.reason)


async def _walk(reader: Database, head: Position, progress: Progress | None) -> tuple[int, Position, str]:
    hashes = {PRUNABLE: NOTHING, KEPT: NOTHING}
    done = Position(0)
    size = PAGE_ROWS
    while done < head:
        try:
            rows = await reader.run(partial(_page, after=done, head=head, size=size))
        except CorruptDatabase as error:
            if size == 1:
                return done, Position(done + 1), error.reason
            size = max(1, size // 16)  # closer, until the row itself is found
            continue
        if not rows:
            return done, Position(done + 1), "the row is missing"
        for row, stored_hash, chain in rows:
            position = Position(done + 1)
            if row[0] != position:
                return done, position, "the row is missing"
            if chain not in hashes or row_hash(hashes[chain], chain, row) != stored_hash:
                return done, position, "the row is not what its hash says"
            hashes[chain] = stored_hash
            done = position
        if progress is not None:
            progress(done, head)
    return done, Position(0), ""


async def _walk_blobs(reader: Database) -> tuple[int, str]:
    last = 0
    count = 0
    while rows := await reader.run(partial(_blob_page, after=last)):
        for id_, hash_, content in rows:
            if sha256(content).digest() != hash_:
                return count, f"blob {hash_.hex()} is not what its name says"
            last = id_
            count += 1
    return count, ""


def _head(connection: sqlite3.Connection) -> Position:
    (head,) = connection.execute(queries.HEAD).fetchone()
    return Position(head)


def _page(
    connection: sqlite3.Connection, *, after: Position, head: Position, size: int
) -> list[tuple[EncodedEvent, bytes, int]]:
    rows = connection.execute(queries.ROWS_WITH_CHAIN_AFTER, (after, head, size)).fetchall()
    return [(row[:-2], row[-2], row[-1]) for row in rows]


def _blob_page(connection: sqlite3.Connection, *, after: int) -> list[tuple[int, bytes, bytes]]:
    return connection.execute(queries.BLOBS_AFTER, (after, PAGE_BLOBS)).fetchall()


def _structure(connection: sqlite3.Connection) -> str:
    """What is wrong beside the rows, or nothing."""
    with snapshot(connection):
        for chain, position, hash_ in connection.execute(queries.CHAINS).fetchall():
            if position and connection.execute(queries.HASH_AT, (position, chain)).fetchone() != (hash_,):
                return f"the end of chain {chain} is not the one noted"
        (differences,) = connection.execute(queries.ROLLUP_DIFFERENCES).fetchone()
        if differences:
            return f"the rollup differs from the rows in {differences} places"
        (answer,) = connection.execute(queries.INTEGRITY).fetchone()
        return "" if answer == "ok" else f"SQLite says: {answer}"
