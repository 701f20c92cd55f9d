"""The one timeline: positions at append, one write for all that queued, a watermark that edges wait for.

Rules: `append` gives positions at once and never waits. While one write is under way, what is appended queues; the
next write takes all of it (natural batching, no timer). The watermark rises after the write is durable, in order.
A failed write changes nothing that was promised: the writer is reopened, its head compared with the batch (the write
may have landed), and the rest is written again at the same positions; when that fails too, the log fails and with it
the process, since actors never roll back singly.
"""

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from bus.address import Address
from bus.clock import Clock
from bus.envelope import Batch, OwnEvents, Recorded, StoredEvent
from bus.errors import StorageError, SystemStopping
from bus.messages.base import BlobId, Position

logger = logging.getLogger(__name__)

BUFFER_EVENTS_MAX = 50_000
"""Some 25 MB of events: half a second of a burst."""
SATURATION = 0.8
"""Above this part of the buffer no turn of a persistent actor starts until it drains."""
BATCH_EVENTS_MAX = 6_000
"""One transaction: large enough that the fsync is small beside it, short enough to hold nobody up for long."""
REOPENS_MAX = 5
"""Tries to write one batch again before the log gives up."""
REOPEN_WAIT_S = 0.2
COMMIT_TIMES_KEPT = 1_024

Blobs = Mapping[BlobId, bytes]


class Snapshot(msgspec.Struct, frozen=True):
    """An actor's state as of a position: what a checkpoint keeps of it."""

    position: Position
    cursor: Position
    state: bytes
    """Canonical JSON."""


class Stand(msgspec.Struct, frozen=True):
    """An actor's state itself, for the moment in which nobody changes it."""

    position: Position
    cursor: Position
    state: msgspec.Struct
    changes: int
    """Rises whenever the state changes."""
    follows: bool = False
    """Whether it stands where its state was last changed, and not at the head: a projection of what is committed."""


@runtime_checkable
class Checkpointed(Protocol):
    """An actor whose state checkpoints hold: every persistent one, and projections of what is committed."""

    def snapshot(self) -> Snapshot: ...
    def stand(self) -> Stand: ...


class EventWriter(Protocol):
    """What makes events durable. One writer, one transaction at a time."""

    def encode(self, records: Sequence[Recorded], batch: Batch) -> None:
        """Add events to a batch as they will stand on disk, in the order of their positions: all of them or none.

        Raises what the turn that made them must answer for.
        """
        ...

    async def write(self, batch: Batch, blobs: Blobs) -> None:
        """Write all or nothing, durable on return. Raises StorageError.

        A batch that is on disk already, to the byte, is left as it stands: its commit may have landed before an error
        was seen.
        """
        ...

    async def reopen(self) -> Position:
        """Close, open again, and tell the head that is really on disk. Raises StorageError."""
        ...


class History(Protocol):
    """What can be read of the past: committed events and the checkpoint in use."""

    async def snapshot(self, address: Address) -> Snapshot | None:
        """The actor's state in the checkpoint that this start goes on from."""
        ...

    def own_events(self, address: Address, after: Position) -> AsyncGenerator[OwnEvents, None]:
        """The events that `address` recorded after a position, in order, some at a time."""
        ...

    def facts(
        self, topics: tuple[str, ...], agent: str | None, after: Position, upto: Position
    ) -> AsyncIterator[Sequence[Recorded]]:
        """The events that match, with after < position <= upto, in order."""
        ...


class Log(Protocol):
    """What the runtime needs of the journal."""

    @property
    def epoch(self) -> int: ...
    @property
    def head(self) -> Position:
        """The last position that was given."""
        ...

    @property
    def watermark(self) -> Position:
        """The last position that is durable."""
        ...

    @property
    def watermark_age_s(self) -> float: ...
    @property
    def is_saturated(self) -> bool: ...
    @property
    def has_failed(self) -> bool: ...
    def append(self, records: Sequence[Recorded], blobs: Blobs | None = None) -> None: ...
    async def committed(self, position: Position) -> None: ...
    def when_drained(self, resume: Callable[[], None]) -> None: ...


class GroupCommitLog:
    """The log over an `EventWriter`. `run()` is its one task; whoever opens the system gives it a task group."""

    def __init__(self, writer: EventWriter, *, head: Position, epoch: int, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self._epoch = epoch
        self._head = head
        self._watermark = head
        self._batches: deque[Batch] = deque()
        """What is appended, as it will be written. A batch ends where an append ends, so that a turn is all or nothing;
        and it is taken as it stands, since to cut it from all that waits would hold the loop up."""
        self._queued = 0
        self._blobs: dict[BlobId, bytes] = {}
        self._in_flight = 0
        self._oldest_s = 0.0
        self._wake = asyncio.Event()
        self._waiting: list[tuple[Position, int, asyncio.Future[None]]] = []
        """A heap by position, so that a commit pays for those whom it frees and not for all who wait."""
        self._waits_begun = 0
        self._on_commit: list[Callable[[tuple[StoredEvent, ...]], None]] = []
        self._on_drained: list[Callable[[], None]] = []
        self._failure: StorageError | None = None
        self._stalled: StorageError | None = None
        self._stalled_s = 0.0
        self._stall: tuple[StorageError, float] | None = None
        self._is_closing = False
        self._is_over = False
        self.commits = 0
        self.commit_times_s: deque[float] = deque(maxlen=COMMIT_TIMES_KEPT)

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def head(self) -> Position:
        return self._head

    @property
    def watermark(self) -> Position:
        return self._watermark

    @property
    def buffered(self) -> int:
        """Events that were appended and are not durable yet."""
        return self._queued + self._in_flight

    @property
    def is_saturated(self) -> bool:
        """Whether appenders should hold back until the buffer drains."""
        return self.buffered >= BUFFER_EVENTS_MAX * SATURATION

    @property
    def watermark_age_s(self) -> float:
        """How long the oldest event that is not durable has waited."""
        return self._clock.monotonic_s() - self._oldest_s if self.buffered else 0.0

    @property
    def failure(self) -> StorageError | None:
        """Why the log has given up, if it has."""
        return self._failure

    @property
    def has_failed(self) -> bool:
        """Whether the log has given up."""
        return self._failure is not None

    @property
    def stalled(self) -> StorageError | None:
        """What writing waits for, such as room on a full disk; it goes on by itself. None while nothing is awaited."""
        return self._stalled

    def take_stall(self) -> tuple[StorageError, float] | None:
        """The last wait that is over: what for, and how many seconds. Given once."""
        stall, self._stall = self._stall, None
        return stall

    def on_commit(self, listener: Callable[[tuple[StoredEvent, ...]], None]) -> None:
        """Call `listener` with each batch, in order, right after the watermark has passed it."""
        self._on_commit.append(listener)

    def when_drained(self, resume: Callable[[], None]) -> None:
        """Call `resume` once, when the buffer is no longer saturated."""
        self._on_drained.append(resume)

    def append(self, records: Sequence[Recorded], blobs: Blobs | None = None) -> None:
        """Take events at the positions after the head: all of them, or none where one has no encoding.

        Raises StorageError when the log has given up, and whatever says that an event cannot be stored.
        """
        if self._failure is not None:
            raise self._failure
        if self._is_over:
            raise StorageError("the log is closed")
        assert records, "an append has at least one event"
        assert records[0].position == self._head + 1, "positions have no gap"
        waiting = self._batches
        if waiting and len(waiting[-1].events) + len(records) <= BATCH_EVENTS_MAX:
            self._writer.encode(records, waiting[-1])
        else:
            self._writer.encode(records, batch := Batch())
            waiting.append(batch)
        if not self._queued and not self._in_flight:
            self._oldest_s = self._clock.monotonic_s()
        self._queued += len(records)
        if blobs:
            self._blobs.update(blobs)
        self._head = records[-1].position
        self._wake.set()

    async def committed(self, position: Position) -> None:
        """Return once the watermark has passed `position`. Raises StorageError or SystemStopping when it never will."""
        if position <= self._watermark:
            return
        if self._failure is not None:
            raise self._failure
        if self._is_over:
            raise SystemStopping
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waits_begun += 1
        heapq.heappush(self._waiting, (position, self._waits_begun, future))
        await future

    def close(self) -> None:
        """Let `run` end once all is durable."""
        self._is_closing = True
        self._wake.set()

    async def run(self) -> None:
        """Write until closed. Raises StorageError when a batch cannot be made durable: the process must end."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._batches:
                batch = self._batches.popleft()
                blobs, self._blobs = self._blobs, {}
                self._in_flight = len(batch.events)
                self._queued -= len(batch.events)
                started_s = self._clock.monotonic_s()
                try:
                    await self._write(batch, blobs)
                    self._in_flight = 0
                    self._oldest_s = started_s
                    self._rise(tuple(batch.events), self._clock.monotonic_s() - started_s)
                except Exception as error:
                    # Whatever it was, nothing can be promised any more, and nobody may wait for ever.
                    failure = error if isinstance(error, StorageError) else StorageError(_described(error))
                    self._end(failure)
                    if failure is error:
                        raise
                    raise failure from error
            if self._is_closing:
                self._is_over = True
                self._end(SystemStopping())
                return

    async def _write(self, batch: Batch, blobs: Blobs) -> None:
        first, last = batch.events[0].position, batch.events[-1].position
        reopens = 0
        while True:
            try:
                if reopens:
                    head = await self._writer.reopen()
                    assert head in (first - 1, last), "a batch lands whole or not at all"
                await self._writer.write(batch, blobs)
                self._note_wait(None)
                return
            except StorageError as error:
                reopens += 1
                if reopens > REOPENS_MAX and not error.is_passing:
                    raise
                if self._stalled is None:  # the error travels on if it lasts; here one line for the operator
                    logger.error(
                        "the journal could not be written; it is opened again",
                        extra={"error": str(error), "first": first, "try": reopens},
                    )
                self._note_wait(error if error.is_passing else None)
                await asyncio.sleep(REOPEN_WAIT_S * min(reopens, REOPENS_MAX))

    def _note_wait(self, error: StorageError | None) -> None:
        now_s = self._clock.monotonic_s()
        if error is not None and self._stalled is None:
            self._stalled_s = now_s
            logger.error("the intake is paused until the journal can be written", extra={"error": str(error)})
        elif error is None and self._stalled is not None:
            self._stall = (self._stalled, now_s - self._stalled_s)
            logger.warning(
                "the journal is written again; the intake is open", extra={"seconds": round(self._stall[1], 1)}
            )
        self._stalled = error

    def _rise(self, stored: tuple[StoredEvent, ...], elapsed_s: float) -> None:
        self._watermark = stored[-1].position
        self.commits += 1
        self.commit_times_s.append(elapsed_s)
        for listener in self._on_commit:
            listener(stored)
        while self._waiting and self._waiting[0][0] <= self._watermark:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)
        if self._on_drained and not self.is_saturated:
            resumes, self._on_drained = self._on_drained, []
            for resume in resumes:
                resume()

    def _end(self, error: StorageError | SystemStopping) -> None:
        if isinstance(error, StorageError):
            self._failure = error
        for _, _, future in self._waiting:
            if not future.done():
                future.set_exception(error)
        self._waiting.clear()


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
