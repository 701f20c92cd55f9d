"""The completion log: it keeps what was asked of models and what they said, for as long as it may.

It stands beside the journal: events say that a completion happened and what it cost; here is what was said. Nothing
rests on it. So it is told, never asked, by the router; what comes faster than the disk takes it is counted and lost.

Rules: what is kept is redacted first (`actors.rules.redaction`), the words of a request marked `local` only where the
settings allow it. Redacting, packing and writing happen on threads, many completions at a time. What is too old or too
much goes. The readable files (`actors.readable`) are written after the same rules.
"""

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import anyio.to_thread
import msgspec

from actors.readable import ReadableFiles
from actors.reads import Reads
from actors.rules import transcripts as rules
from actors.rules.redaction import Redactor
from actors.runtime import Actor, Job
from bus.errors import StorageError
from bus.mailbox import Overflow
from bus.messages.base import CompletionId, Message, Microseconds, RunId
from bus.messages.system import SystemWarning
from bus.messages.transcripts import (
    TRANSCRIPTS_LIMIT_MAX,
    ListTranscripts,
    LogCompletion,
    ReadTranscript,
    Transcript,
    TranscriptPage,
    TranscriptRow,
    TranscriptSummary,
)
from bus.refusals import InvalidField, NotFound

FLUSH_S = 0.25
"""How long a completion may wait to be written with others."""
WAITING_MAX = 2_000
"""Completions that wait for the disk; more are lost, and counted."""
BATCH_MAX = 200
READS_MAX = 32
PRUNE_S = 300.0
"""Between two looks at what is too old."""
DAY_US = 86_400_000_000


class Store(Protocol):
    """Where the log is kept."""

    async def add(self, rows: Sequence[TranscriptRow]) -> None: ...
    async def read(self, completion: str) -> bytes | None: ...
    async def page(self, agent: str, task: str, before_us: Microseconds, limit: int) -> list[bytes]: ...
    async def prune(self, before_us: Microseconds, bytes_max: int) -> int: ...


class CompletionLogOptions(msgspec.Struct, frozen=True):
    """What of the router's settings concerns the log."""

    keeps: Literal["full", "trace", "off"] = "full"
    days: float = 30.0
    bytes_max: int = 1_073_741_824
    is_local_kept: bool = False
    directory: str = ""
    directory_bytes_max: int = 1_073_741_824


class FlushDue(Message, frozen=True):
    """Sent by a timer: what waits is to be written."""

    wire_name = "completion_log.flush_due"


class PruneDue(Message, frozen=True):
    """Sent by a timer: what is too old is to go."""

    wire_name = "completion_log.prune_due"


class CompletionLog(Actor):
    """One per system."""

    overflow: ClassVar[Overflow] = Overflow.DROP_OLD

    def __init__(self, store: Store, options: CompletionLogOptions, redactor: Redactor, run: RunId) -> None:
        self._store = store
        self._options = options
        self._redactor = redactor
        self._run = run
        self._waiting: deque[Transcript] = deque()
        self._is_flushing = False
        self._missed = 0
        self._reads = Reads(self, "the completion log", READS_MAX)
        self._has_warned = False
        directory = Path(options.directory)
        self._readable = ReadableFiles(directory, options.directory_bytes_max) if options.directory else None

    async def on_start(self) -> None:
        self.start_timer("prune", FLUSH_S, PruneDue())

    async def on_stop(self) -> None:
        while self._waiting and await self._write():
            pass

    def on_log_completion(self, message: LogCompletion) -> None:
        if len(self._waiting) >= WAITING_MAX:
            self._missed += 1
            return
        if not self._waiting and not self._is_flushing:
            self.start_timer("flush", FLUSH_S, FlushDue())
        self._waiting.append(message.transcript)

    def on_flush_due(self, _: FlushDue) -> None:
        if not self._is_flushing and self._waiting:
            self._is_flushing = True
            self.perform(self._flush)

    def on_prune_due(self, _: PruneDue) -> None:
        self.perform(self._prune)
        self.start_timer("prune", PRUNE_S, PruneDue())

    def on_read_transcript(self, query: ReadTranscript) -> Transcript | None:
        for transcript in reversed(self._waiting):
            if transcript.completion == query.completion:
                return rules.redacted(transcript, self._keeping, self._redactor, self._run)
        self._reads.begin(self._read, query.completion)
        return None

    def on_list_transcripts(self, query: ListTranscripts) -> None:
        if not 1 <= query.limit <= TRANSCRIPTS_LIMIT_MAX:
            raise InvalidField("limit", f"must be from 1 to {TRANSCRIPTS_LIMIT_MAX}")
        self._reads.begin(self._page, query)

    @property
    def _keeping(self) -> rules.Keeping:
        return rules.Keeping(self._options.keeps == "full", self._options.is_local_kept)

    async def _read(self, _: Job, completion: CompletionId) -> Transcript:
        content = await self._store.read(completion)
        if content is None:
            raise NotFound("completion in the log", completion)
        try:
            return msgspec.json.decode(content, type=Transcript)
        except msgspec.DecodeError as error:
            raise StorageError(f"completion {completion} cannot be read: {error}") from error

    async def _page(self, job: Job, query: ListTranscripts) -> TranscriptPage:
        if self._waiting and not self._is_flushing:
            await self._flush(job)
        found = await self._store.page(query.agent, query.task, query.before_us, query.limit)
        try:
            summaries = tuple(msgspec.json.decode(one, type=TranscriptSummary) for one in found)
        except msgspec.DecodeError as error:
            raise StorageError(f"a completion's summary cannot be read: {error}") from error
        return TranscriptPage(summaries, self._options.keeps, self._missed)

    async def _flush(self, job: Job) -> None:
        self._is_flushing = True
        try:
            while self._waiting and await self._write():
                pass
        finally:
            self._is_flushing = False

    async def _write(self) -> bool:
        """Write some of what waits; False when the disk did not take it, and it is lost."""
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_MAX))]
        try:
            pack = partial(rules.rows, batch, self._keeping, self._redactor, self._run, iso)
            rows, readable = await anyio.to_thread.run_sync(pack)
            await self._store.add(rows)
        except (StorageError, OSError) as error:
            self._missed += len(batch)
            self._warn(f"completions cannot be kept: {error}")
            return False
        if self._readable is not None:
            try:
                await anyio.to_thread.run_sync(self._readable.append, readable)
            except OSError as error:
                self._warn(f"completions cannot be written to be read: {error}")
        return True

    async def _prune(self, job: Job) -> None:
        before_us = self.now_us - int(self._options.days * DAY_US)
        try:
            await self._store.prune(before_us, self._options.bytes_max)
            if self._readable is not None:
                day = iso(before_us)[: rules.DAY_CHARACTERS]
                await anyio.to_thread.run_sync(self._readable.drop_before, day)
        except (StorageError, OSError) as error:
            self._warn(f"old completions cannot be let go of: {error}")

    def _warn(self, text: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            self.record(SystemWarning(text, actor=self.address))


def iso(time_us: Microseconds) -> str:
    """A time as ISO 8601 has it, UTC."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="milliseconds")
