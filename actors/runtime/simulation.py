"""The test kit: an in-memory twin of the journal, and virtual time.

`MemoryJournal` keeps what the journal keeps, to the byte: events are encoded when written and decoded when
read, so a type that does not survive storage fails here too. Opening a second system on the same journal is a
restart; `truncated` is a crash that lost a tail.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

from actors.runtime.log import Blobs, GroupCommitLog, Snapshot
from bus.address import Address
from bus.clock import Clock, SystemClock
from bus.codec import Catalogue
from bus.envelope import DATA_FIELD, Batch, OwnEvents, Recorded, StoredEvent
from bus.errors import StorageError
from bus.messages.base import BlobId, Event, Position
from bus.topics import matches_any

BATCH_EVENTS = 1_000


class MemoryJournal:
    """A journal without a disk: an `EventWriter` and a `History`."""

    def __init__(
        self,
        events: Sequence[Recorded] = (),
        blobs: Mapping[BlobId, bytes] | None = None,
        snapshots: Mapping[Address, Snapshot] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.blobs: dict[BlobId, bytes] = dict(blobs or {})
        self.snapshots: dict[Address, Snapshot] = dict(snapshots or {})
        self.fail_next_writes = 0
        """How many writes from now on raise StorageError."""
        self.epoch = 1
        """The history that it is: another one after a restore or in a fork."""
        self.stored: list[StoredEvent] = []
        self._clock = clock or SystemClock()
        self._types: dict[str, type[Event]] = {}
        self._catalogues: dict[type[Event], Catalogue] = {}
        self.keep(events)

    @property
    def log(self) -> GroupCommitLog:
        """A log that goes on after the last event: what a start opens."""
        return GroupCommitLog(self, head=self.head, epoch=self.epoch, clock=self._clock)

    @property
    def head(self) -> Position:
        """The last position that is kept."""
        return self.stored[-1].position if self.stored else Position(0)

    @property
    def events(self) -> list[Recorded]:
        """All events, decoded from their bytes."""
        return [self._decoded(stored) for stored in self.stored]

    def truncated(self, head: Position) -> "MemoryJournal":
        """What a crash leaves that lost everything after `head`."""
        return MemoryJournal([r for r in self.events if r.position <= head], self.blobs, clock=self._clock)

    def keep(self, records: Sequence[Recorded]) -> None:
        """Take events in at once."""
        batch = Batch()
        self.encode(records, batch)
        self._keep(batch)

    def encode(self, records: Sequence[Recorded], batch: Batch) -> None:
        encoded = [self._catalogue_of(type(record.event)).encode_record(record) for record in records]
        batch.events.extend(StoredEvent(*event, hashlib.sha256(event[DATA_FIELD]).digest()) for event in encoded)

    async def write(self, batch: Batch, blobs: Blobs) -> None:
        if self.fail_next_writes:
            self.fail_next_writes -= 1
            raise StorageError("the write was made to fail")
        self.blobs.update(blobs)
        self._keep(batch)

    async def reopen(self) -> Position:
        return self.head

    async def snapshot(self, address: Address) -> Snapshot | None:
        return self.snapshots.get(address)

    async def own_events(self, address: Address, after: Position) -> AsyncGenerator[OwnEvents, None]:
        async for batch in self._batches([s for s in self.stored if s.source == address and s.position > after]):
            yield OwnEvents([record.event for record in batch], batch[-1].position, batch[-1].cursor)

    async def facts(
        self, topics: tuple[str, ...], agent: str | None, after: Position, upto: Position
    ) -> AsyncIterator[Sequence[Recorded]]:
        wanted = [
            stored
            for stored in self.stored[after:upto]
            if matches_any(topics, stored.type) and (agent is None or stored.agent == agent)
        ]
        async for batch in self._batches(wanted):
            yield batch

    async def _batches(self, wanted: Sequence[StoredEvent]) -> AsyncIterator[Sequence[Recorded]]:
        for start in range(0, len(wanted), BATCH_EVENTS):
            yield [self._decoded(stored) for stored in wanted[start : start + BATCH_EVENTS]]

    def _keep(self, batch: Batch) -> None:
        for stored in batch.events:
            assert stored.position == self.head + 1, "positions have no gap"
            self.stored.append(stored)

    def _catalogue_of(self, kind: type[Event]) -> Catalogue:
        catalogue = self._catalogues.get(kind)
        if catalogue is None:
            self._types[kind.wire_name] = kind
            catalogue = self._catalogues[kind] = Catalogue((kind,))
        return catalogue

    def _decoded(self, stored: StoredEvent) -> Recorded:
        catalogue = self._catalogues[self._types[stored.type]]
        return Recorded(
            event=catalogue.decode(stored.type, stored.version, stored.data, stored.sealed),
            position=stored.position,
            time_us=stored.time_us,
            source=Address(stored.source),
            cause=stored.cause,
            correlation=stored.correlation,
            cursor=stored.cursor,
        )
