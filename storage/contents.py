"""What a journal holds beside its rows: blobs, and the keys of personal text; who names them, and how they go.

Rules: a blob goes when neither an event nor a checkpoint names it; that is looked for while events go on being written,
and looked for again, among those that came meanwhile, in the step that removes it. A key goes when it is told to.
"""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from bus.codec import Catalogue
from bus.envelope import StoredEvent
from bus.messages.base import BlobId, Position
from bus.messages.system import ReadEvents
from storage import queries, reading
from storage.blobs import BLOBS_NAME, named_in
from storage.keys import KEYS_NAME, living
from storage.reading import View
from storage.writing import JournalEnd

T = TypeVar("T")

ROWS_AT_A_TIME = 1_000
BLOBS_AT_A_TIME = 16
BLOB_BYTES_AT_A_TIME = 512 * 1024
"""Of contents that are removed in one transaction, if it is more than one: two milliseconds for the writer."""


class Read(Protocol):
    """Does work on a reading thread. Raises StorageError."""

    def __call__(self, work: Callable[[View], T], /) -> Awaitable[T]: ...


class Write(Protocol):
    """Does work on the writing thread. Raises StorageError."""

    def __call__(self, work: Callable[[sqlite3.Connection], T], /) -> Awaitable[T]: ...


Forget = Callable[[Collection[Path]], Awaitable[None]]
"""Lets go of files on every reading thread. Raises StorageError."""


class Contents:
    """The blobs and keys of one journal."""

    def __init__(
        self, directory: Path, catalogue: Catalogue, end: JournalEnd, read: Read, write: Write, *, forget: Forget
    ) -> None:
        self._blobs_path = directory / BLOBS_NAME
        self._keys_path = directory / KEYS_NAME
        self._catalogue = catalogue
        self._end = end
        self._read = read
        self._write = write
        self._forget = forget

    async def rows(self, query: ReadEvents) -> AsyncIterator[tuple[StoredEvent, ...]]:
        """The rows that match as they are stored, in order, some at a time. Raises StorageError."""
        wanted = msgspec.structs.replace(query, limit=ROWS_AT_A_TIME, is_newest_first=False)
        while found := await self._read(partial(reading.select, query=wanted, is_raw=True)):
            yield found
            wanted = msgspec.structs.replace(wanted, after=found[-1].position)

    async def keep(self, blobs: Mapping[BlobId, bytes]) -> None:
        """Make blobs durable by themselves, before the events that name them. Raises StorageError."""
        await self._write(partial(self._end.keep_blobs, blobs=blobs))

    async def unnamed(self, named: Collection[bytes], apart_from: Collection[Position] = ()) -> set[bytes]:
        """The blobs that nothing of `named` and no event names, but for the events at some positions.

        Raises StorageError.
        """
        found = await self._read(self._all)
        found -= set(named)
        async for events in self.rows(ReadEvents(types=self._catalogue.with_blobs)):
            if not found:
                break
            found -= named_in(event.data for event in events if event.position not in apart_from)
        return found

    async def remove(self, names: Collection[bytes], after: Position) -> int:
        """Remove blobs that nothing names up to a position, nor since; how many went. Raises StorageError."""
        removed = 0
        waiting = set(names)
        sizes = await self._read(lambda view: _sizes(view.files.get(self._blobs_path), waiting))
        for some in portions(sizes):  # a few at a time, so that no event waits for long
            head = self._end.head
            async for events in self.rows(ReadEvents(types=self._catalogue.with_blobs, after=after)):
                waiting -= named_in(event.data for event in events)
            after = head  # what is left to look through on the writer's thread has come since
            names = [name for name in some if name in waiting]
            if names:
                removed += await self._write(partial(self._end.remove_blobs, names=names, after=after))
                await self._write(self._end.settle_blobs)
        return removed

    async def keep_keys(self, keys: Mapping[int, bytes]) -> None:
        """Take along the keys of personal text that another directory has. Raises StorageError."""
        if keys:
            await self._write(partial(self._end.keep_keys, keys=keys))
            await self._forget([self._keys_path])

    async def keys(self, events: Sequence[StoredEvent]) -> dict[int, bytes]:
        """The keys of the events' personal text, by number; those that are destroyed are not there."""
        return await self._read(lambda view: living(view.files, view.keys_path, events))

    async def destroy_keys(self, numbers: Collection[int]) -> int:
        """Destroy keys of personal text for good; how many were still there. Raises StorageError."""
        destroyed = await self._write(partial(self._end.destroy_keys, numbers=numbers))
        await self._forget([self._keys_path])
        return destroyed

    def _all(self, view: View) -> set[bytes]:
        return {hash_ for (hash_,) in view.files.get(self._blobs_path).execute(queries.BLOB_HASHES)}


def portions(sizes: Mapping[bytes, int]) -> list[list[bytes]]:
    """Contents by their sizes, as they are removed together: a few, and not many bytes; a large one alone."""
    found: list[list[bytes]] = []
    room = 0
    for name, size in sizes.items():
        if not found or size > room or len(found[-1]) == BLOBS_AT_A_TIME:
            found.append([])
            room = BLOB_BYTES_AT_A_TIME
        found[-1].append(name)
        room -= size
    return found


def _sizes(blobs: sqlite3.Connection, names: Collection[bytes]) -> dict[bytes, int]:
    return {hash_: size for hash_, size in blobs.execute(queries.BLOB_SIZES) if hash_ in names}
