"""The completion log: what was asked of models in full, what they said, and what happened on the way."""

from typing import Final, Literal

import msgspec

from bus.address import Address
from bus.messages.base import AgentId, CompletionId, Message, Microseconds, Query, Reply, RunId, TaskId
from bus.messages.completions import Complete

COMPLETION_LOG: Final = Address("completion_log")

TRANSCRIPTS_LIMIT_MAX = 200
"""The most summaries in one page."""

Ending = Literal["answered", "failed", "cancelled"]


class AttemptTrace(msgspec.Struct, frozen=True):
    """One attempt of a completion. Times are seconds since the completion began."""

    number: int
    provider: str
    model: str
    began_s: float
    ended_s: float
    outcome: str
    """`ok`, or the class of what went wrong."""
    reason: str = ""
    first_s: float | None = None
    """When the first words came, of an answer that was streamed."""
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd_micros: int = 0
    is_hedge: bool = False
    """It ran beside another one."""
    retry_after_s: float = 0.0
    answer: dict[str, object] | None = None
    """What the provider answered, as the router read it."""


class Transcript(Reply, frozen=True):
    """A completion in full. `withheld` says why words are missing, if they are."""

    wire_name = "transcript"

    completion: CompletionId
    run: RunId
    agent: AgentId
    task: TaskId
    asked_us: Microseconds
    elapsed_s: float
    ending: Ending
    error: str
    reason: str
    provider: str
    model: str
    tokens_in: int
    tokens_out: int
    cost_usd_micros: int
    request: Complete | None
    request_hash: str
    """SHA-256 over what shapes the answer; equal requests have equal ones, redacted or not."""
    attempts: tuple[AttemptTrace, ...]
    withheld: str = ""
    dimensions: int | None = None
    """Of texts that were to become vectors: of what length, 0 for the model's own; None of an answer in words."""


class TranscriptSummary(msgspec.Struct, frozen=True):
    """A completion at a glance."""

    completion: CompletionId
    agent: AgentId
    task: TaskId
    asked_us: Microseconds
    elapsed_s: float
    ending: Ending
    provider: str
    attempts: int
    cost_usd_micros: int


class TranscriptRow(msgspec.Struct, frozen=True):
    """A completion as it is stored: by what it is found, at a glance, and whole; both as JSON."""

    completion: CompletionId
    asked_us: Microseconds
    agent: AgentId
    task: TaskId
    summary: bytes
    content: bytes


class TranscriptPage(Reply, frozen=True):
    """Completions, newest first."""

    wire_name = "transcripts"

    transcripts: tuple[TranscriptSummary, ...]
    kept: str
    """What the log keeps: `full`, `trace` or `off`."""
    missed: int
    """How many could not be kept since the start, because the disk did not keep up or refused."""


class LogCompletion(Message, frozen=True):
    """Sent by the router at the end of each completion. Ephemeral: a log that is behind loses some, and counts them."""

    wire_name = "transcript.log"

    transcript: Transcript


class ReadTranscript(Query[Transcript], frozen=True):
    """Sent by who wants to see a completion in full."""

    wire_name = "transcript.read"

    completion: CompletionId


class ListTranscripts(Query[TranscriptPage], frozen=True):
    """Sent by who looks for a completion. `before_us` is exclusive; empty fields match all."""

    wire_name = "transcripts.list"

    agent: str = ""
    task: str = ""
    before_us: Microseconds = 0
    limit: int = 50
