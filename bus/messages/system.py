"""The journal, its checkpoints, and what the system says of itself."""

from typing import ClassVar, Final, Literal

import msgspec

from bus.address import Address
from bus.envelope import StoredEvent
from bus.messages.base import (
    AgentId,
    BlobId,
    Command,
    Event,
    Fields,
    Message,
    Microseconds,
    Position,
    Query,
    Reply,
    RunId,
    TaskId,
    Upcaster,
)
from bus.messages.checkpoints import DamagedCheckpoint

JOURNAL: Final = Address("journal")
BROADCASTER: Final = Address("broadcaster")

EVENTS_LIMIT_MAX = 1_000
"""The most events in one page."""

CheckpointReason = Literal["periodic", "manual", "budget_exhausted", "stop"]


class EventsCommitted(Message, frozen=True):
    """Sent by the journal to the broadcaster when the watermark has risen; in order, without a gap."""

    wire_name = "events.committed"

    events: tuple[StoredEvent, ...]


class Gauge(Message, frozen=True):
    """Sent to the broadcaster for what is not worth journaling: heartbeats, token streams, load."""

    wire_name = "gauge"

    name: str
    value: float
    follows: Position


class EventPage(Reply, frozen=True):
    """Events of a query. `scanned` is the last position that was looked at, matching or not."""

    wire_name = "events"

    events: tuple[StoredEvent, ...]
    scanned: Position
    head: Position
    """The watermark when the page was read; of a search, the last position up to which all was indexed."""


class EventChain(Reply, frozen=True):
    """An event between what caused it and what it caused."""

    wire_name = "events.chain"

    event: StoredEvent
    causes: tuple[StoredEvent, ...]
    """The nearest first."""
    effects: tuple[StoredEvent, ...]
    """What it caused at whatever remove, in order."""
    is_whole: bool
    """Whether nothing is left out: neither pruned, nor beyond the bounds of an answer."""
    head: Position


class PruneReport(Reply, frozen=True):
    """What a prune came to."""

    wire_name = "journal.prune_report"

    upto: Position
    """The last position whose segment was dropped; 0 where none was."""
    events: int
    kept: int
    """Rows up to that position that stay: the ledger and approvals."""
    freed_bytes: int
    floor: Position
    """Nothing after this may go: the oldest checkpoint or the slowest subscriber may need it."""
    blobs: int = 0
    """Contents that nothing names any more, and that are gone."""


class EventSummary(Reply, frozen=True):
    """How many events of each type a window holds."""

    wire_name = "events.summary"

    minutes: float
    total: int
    by_type: dict[str, int]
    by_step: dict[str, int]
    """Events per task and attempt of the steps that ended in the window (`t-1/1`), at most 100, newest first."""
    head: Position


class HistogramBucket(msgspec.Struct, frozen=True):
    """How many events lie in one span of time, and between which positions."""

    time_us: Microseconds
    """Where it begins."""
    events: int
    first: Position
    last: Position


class EventHistogram(Reply, frozen=True):
    """How dense the journal is over all time; spans without an event are left out."""

    wire_name = "events.histogram"

    since_us: Microseconds
    width_us: Microseconds
    """How long each span is."""
    buckets: tuple[HistogramBucket, ...]
    """At most as many as were asked for, oldest first."""
    head: Position


class CheckpointView(Reply, frozen=True):
    """A checkpoint's manifest: enough to know what it holds and how it came about."""

    wire_name = "checkpoint"

    checkpoint: str
    """Its id: `c-` and the position."""
    position: Position
    reason: CheckpointReason
    created_us: Microseconds
    run: str
    step: int
    label: str
    epoch: int
    config_hash: str
    agora_version: str
    actors: dict[str, int]
    """Bytes of state per actor address, uncompressed."""
    size_bytes: int
    """As stored, compressed."""
    state_hash: str
    """SHA-256 over the canonical encoding of all actors' states."""
    written_bytes: int = 0
    """What of it was not there before, as stored."""
    includes: dict[str, tuple[str, ...]] = {}
    """What it holds of each kind of actor: the fields of its state."""
    left_out: tuple[str, ...] = ()
    """Actors that the settings leave out; they are folded from the journal alone."""
    is_pinned: bool = False
    """Whether it stays until it is unpinned."""
    behind: tuple[str, ...] | None = None
    """Actors for which facts were waiting; where that is not known, it may be all."""


class CheckpointPage(Reply, frozen=True):
    """All kept checkpoints, newest first, and those whose manifests cannot be read; `verify` proves the states too."""

    wire_name = "checkpoints"

    checkpoints: tuple[CheckpointView, ...]
    damaged: tuple[DamagedCheckpoint, ...] = ()


class CheckpointsPruned(Reply, frozen=True):
    """Which checkpoints went."""

    wire_name = "checkpoints.pruned"

    removed: tuple[str, ...]


class Blob(Reply, frozen=True):
    """A blob's bytes."""

    wire_name = "blob"

    blob: BlobId
    content: bytes


class JournalFiles(msgspec.Struct, frozen=True):
    """How the journal lies in files, and what of it stays."""

    segments: int
    pruned: int
    """Of these segments only what stays for good is left: the ledger's and approvals' events."""
    segment_events: int
    """A segment holds so many events before the next begins."""
    retain_events: int
    """So many of the newest events stay at least; 0 where their number is no reason to let any go."""
    retain_days: float
    """The events of so many days stay at least; 0 where their age is no reason to let any go."""


class JournalView(Reply, frozen=True):
    """How the journal fares."""

    wire_name = "journal"

    epoch: int
    head: Position
    watermark: Position
    oldest: Position
    buffered: int
    size_bytes: int
    commits: int
    commit_p99_ms: float
    watermark_age_ms: float
    """How long the oldest uncommitted event has waited; 0 when all is committed."""
    step: int
    files: JournalFiles | None = None
    """Where a server runs on it."""


class ReadEvents(Query[EventPage], frozen=True):
    """Sent by whoever looks into the past. Empty fields match all; `after` and `before` are exclusive positions.

    `is_newest_first` chooses which end of the range the page is cut from and its order.
    """

    wire_name = "events.read"

    types: tuple[str, ...] = ()
    """Event types or topic patterns, such as `task.*`."""
    source: str = ""
    task: str = ""
    agent: str = ""
    run: str = ""
    correlation: str = ""
    after: Position = Position(0)
    before: Position = Position(0)
    since_us: Microseconds = 0
    until_us: Microseconds = 0
    limit: int = 50
    is_newest_first: bool = True
    is_own_run: bool = False
    """Whether `run` is the one whose journal it is: all events are of it then that name no other."""

    def within(self, own: RunId) -> "ReadEvents":
        """The same of the journal of a run: whoever asks by run need not know whose journal it is."""
        return msgspec.structs.replace(self, is_own_run=self.run == own)


class ReadChain(Query[EventChain], frozen=True):
    """Sent by whoever wants to know why something happened, and what came of it."""

    wire_name = "events.read_chain"

    position: Position


class SearchEvents(Query[EventPage], frozen=True):
    """Sent by whoever looks for words. All of them must be in an event; newest first, `before` is exclusive."""

    wire_name = "events.search"

    text: str
    before: Position = Position(0)
    limit: int = 50


class SummariseEvents(Query[EventSummary], frozen=True):
    """Sent by whoever wants counts instead of events."""

    wire_name = "events.summarise"

    minutes: float = 60.0


class ReadHistogram(Query[EventHistogram], frozen=True):
    """Sent by who wants to see when much happened, over all time."""

    wire_name = "events.histogram_read"

    buckets: int = 120


class ReadBlob(Query[Blob], frozen=True):
    """Sent by who needs the content behind an artifact, a prompt or a diff."""

    wire_name = "blob.read"

    blob: BlobId


class ReadJournal(Query[JournalView], frozen=True):
    """Sent by whoever wants to know how the journal fares."""

    wire_name = "journal.read"


class PruneEvents(Command[PruneReport], frozen=True):
    """Sent by who wants the journal pruned now: up to a position, or by its limits where that is 0."""

    wire_name = "journal.prune"

    upto: Position = Position(0)


class SaveCheckpoint(Command[CheckpointView], frozen=True):
    """Sent by who wants a checkpoint now."""

    wire_name = "checkpoint.create"

    reason: CheckpointReason = "manual"
    label: str = ""


class PinCheckpoint(Command[CheckpointView], frozen=True):
    """Sent by who wants a checkpoint to stay, or to go its way again with the others."""

    wire_name = "checkpoint.pin"

    checkpoint: str
    is_pinned: bool = True


class PruneCheckpoints(Command[CheckpointsPruned], frozen=True):
    """Sent by who wants all but the newest and the pinned checkpoints to go; the newest stays whatever is asked."""

    wire_name = "checkpoint.prune"

    keep: int


class ListCheckpoints(Query[CheckpointPage], frozen=True):
    """Sent by whoever wants to see the kept checkpoints."""

    wire_name = "checkpoint.list"


def without_blobs(fields: Fields) -> Fields:
    """Version 1 of `journal.pruned` left all contents where they were."""
    return {**fields, "blobs": 0}


class JournalPruned(Event, frozen=True):
    """Recorded when old events were dropped; the ledger's and approvals' stay."""

    wire_name = "journal.pruned"
    version: ClassVar[int] = 2
    upcasters: ClassVar[tuple[Upcaster, ...]] = (without_blobs,)

    upto: Position
    events: int
    kept: int
    freed_bytes: int
    elapsed_ms: float
    blobs: int
    """Contents that went because nothing names them any more."""


class TextRedacted(Event, frozen=True):
    """Recorded right before the keys of personal text are destroyed: whose text, how much of it, and why."""

    wire_name = "text.redacted"
    is_kept: ClassVar[bool] = True

    events: int
    """Whose text could be read until then."""
    blobs: int
    """Contents that only these events named."""
    by: str
    reason: str
    task: TaskId = TaskId("")
    agent: AgentId = AgentId("")
    run: RunId = RunId("")
    correlation: str = ""
    position: Position = Position(0)
    """Where a single event was meant; 0 otherwise."""


class CheckpointSaved(Event, frozen=True):
    """Recorded when a checkpoint is on disk."""

    wire_name = "checkpoint.saved"
    about = "checkpoint"

    checkpoint: str
    at: Position
    reason: str
    size_bytes: int
    elapsed_ms: float
    run: str


class CheckpointFailed(Event, frozen=True):
    """Recorded when a checkpoint could not be written; it is tried again and the run goes on."""

    wire_name = "checkpoint.failed"
    about = "checkpoint"

    checkpoint: str
    reason: str
    run: str


class SystemStarted(Event, frozen=True):
    """Recorded at each start: what is running and from where it went on."""

    wire_name = "system.started"
    about = "run"

    run: str
    agora_version: str
    config_hash: str
    recovered_from: str
    """The checkpoint that was used, or empty."""
    replayed: int
    """Events that were folded on top of it."""


class SystemInfo(Event, frozen=True):
    """Recorded when something happened that an operator may want to know."""

    wire_name = "system.info"

    text: str
    actor: str = ""


class SystemWarning(Event, frozen=True):
    """Recorded when something is not as it should be and Agora goes on."""

    wire_name = "system.warning"

    text: str
    actor: str = ""


class SystemError(Event, frozen=True):
    """Recorded for every fault, once: an actor's handler raised something that is not a refusal."""

    wire_name = "system.error"

    text: str
    actor: str = ""
    message: str = ""
    error: str = ""
