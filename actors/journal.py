"""The journal actor: what can be asked of the past, and checkpoints.

It writes nothing of the timeline itself: the runtime's log does, through the same store. Reads run beside each other,
so that a slow one holds up nobody. A checkpoint is made of copies of the actors' states, each taken between two turns
of its own and only where the state has changed since the last; it is saved once everything that they rest on is
durable. One that cannot be saved is a warning event and is tried again; the run goes on.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio
import msgspec

from actors.history import JournalHistory
from actors.journal_options import JournalOptions
from actors.last_copies import LastCopies
from actors.logs import Log
from actors.proving import Proving
from actors.rules import checkpoints as rules
from actors.rules.checkpoints import Since
from actors.runtime import Actor, Copies, Deferred, GroupCommitLog, Job
from bus.envelope import StoredEvent
from bus.errors import AgoraError, DeadlinePassed, Refused, StorageError, SystemStopping
from bus.messages.agents import StepCompleted
from bus.messages.base import BlobId, Event, Message, Position, Reply, RunId
from bus.messages.checkpoints import CompareCheckpoints, VerifyCheckpoint
from bus.messages.system import (
    Blob,
    CheckpointFailed,
    CheckpointPage,
    CheckpointReason,
    CheckpointSaved,
    CheckpointsPruned,
    CheckpointView,
    JournalPruned,
    JournalView,
    ListCheckpoints,
    PinCheckpoint,
    PruneCheckpoints,
    PruneEvents,
    PruneReport,
    ReadBlob,
    ReadChain,
    ReadEvents,
    ReadHistogram,
    ReadJournal,
    SaveCheckpoint,
    SearchEvents,
    SummariseEvents,
    SystemStarted,
    SystemWarning,
)
from bus.refusals import NotFound, Overloaded
from storage.checkpoints import CheckpointStore
from storage.events import EventStore
from storage.manifests import Description
from storage.mirror import follow
from storage.pruning import Pruner

operators = Log("journal")

READS_MAX = 256
"""Reads that may wait for a connection; more are told to come back."""
SAVES_MAX = 8
"""Checkpoints that may wait for the one that is being saved."""
SAVE_TIMEOUT_S = 60.0
"""For the commit that a checkpoint waits for and for its own; a disk that takes longer has failed."""
RETRY_AFTER_S = 1.0
MIRROR_RETRY_S = 10.0
LOOK = "look whether a checkpoint is due"
LOOK_BACK = "look whether old events are to go"

Copier = Callable[[int], Awaitable[Copies]]
"""Takes the copies that a checkpoint is made of: of what has changed since those of a number."""


class RunIdentity(msgspec.Struct, frozen=True):
    """What every checkpoint says of the run that made it."""

    run: RunId
    config_hash: str
    agora_version: str


class Look(Message, frozen=True):
    """Told to itself when a checkpoint may be due."""

    wire_name = "journal.look"


class LookBack(Message, frozen=True):
    """Told to itself when old events may have to go."""

    wire_name = "journal.look_back"


class SaveEnded(Message, frozen=True, gc=True):
    """Told to itself by the job that has saved a checkpoint, or could not."""

    wire_name = "journal.save_ended"

    number: int
    position: Position
    elapsed_ms: float
    view: CheckpointView | None
    error: AgoraError | None


class Journal(Actor):
    """One per system, at the address `journal`."""

    def __init__(
        self,
        *,
        events: EventStore,
        checkpoints: CheckpointStore,
        history: JournalHistory,
        log: GroupCommitLog,
        copies: Copier,
        identity: RunIdentity,
        started: SystemStarted | None = None,
        options: JournalOptions | None = None,
    ) -> None:
        self._events = events
        self._checkpoints = checkpoints
        self._history = history
        self._log = log
        self._copies = copies
        self._identity = identity
        self._started = started
        self._options = options or JournalOptions()
        self._pruner = Pruner(events, checkpoints, self._options.limits)
        self._proving = Proving(checkpoints.path.parent)
        self._one_at_a_time = anyio.Lock()
        self._last = LastCopies(self._options.checkpoint_leave_out)
        self._reads = 0
        self._saves: dict[int, Deferred[CheckpointView] | None] = {}
        self._saves_begun = 0
        self._is_open = False
        self._is_looking = False
        self._early_steps: list[Position] | None = []
        self._step = 0
        self._covered = Position(0)
        self._covered_step = 0
        self._saved_s = 0.0
        self._failed_s: float | None = None

    async def on_start(self) -> None:
        self._is_open = True
        self._saved_s = self.monotonic_s
        self._log.on_commit(self._note_committed)
        for view in await self._checkpoints.list():
            if self._events.holds(view.epoch, view.position):
                self._covered, self._covered_step = view.position, view.step
                break
        counted, head = await self._events.count(StepCompleted.wire_name)
        early = self._early_steps or []
        self._step = counted + sum(position > head for position in early)
        self._early_steps = None
        if self._started is not None:
            self._record(self._started)
        self._record_warnings()
        self._look_later()
        if self._options.mirror:
            self.perform(self._mirror)
        self._look_back_later()

    async def on_stop(self) -> None:
        self._is_open = False

    def on_read_events(self, query: ReadEvents) -> None:
        self._read(partial(self._events.read, query.within(self._identity.run)))

    def on_summarise_events(self, query: SummariseEvents) -> None:
        self._read(partial(self._events.summarise, query.minutes))

    def on_read_histogram(self, query: ReadHistogram) -> None:
        self._read(partial(self._events.histogram, query.buckets))

    def on_read_chain(self, query: ReadChain) -> None:
        self._read(partial(self._events.chain, query))

    def on_search_events(self, query: SearchEvents) -> None:
        self._read(partial(self._events.search, query))

    def on_read_blob(self, query: ReadBlob) -> None:
        self._read(partial(self._blob, query.blob, self._log.head))

    def on_read_journal(self, query: ReadJournal) -> None:
        self._read(self._view)

    def on_list_checkpoints(self, query: ListCheckpoints) -> None:
        self._read(self._page)

    def on_verify_checkpoint(self, query: VerifyCheckpoint) -> None:
        self._read(partial(self._proving.verify, query))

    def on_compare_checkpoints(self, query: CompareCheckpoints) -> None:
        self._read(partial(self._proving.compare, query))

    def on_save_checkpoint(self, command: SaveCheckpoint) -> None:
        if len(self._saves) >= SAVES_MAX:
            raise Overloaded("saving checkpoints", RETRY_AFTER_S)
        self._begin_save(command.reason, command.label, self.defer())

    def on_pin_checkpoint(self, command: PinCheckpoint) -> None:
        self._read(partial(self._checkpoints.pin, command.checkpoint, is_pinned=command.is_pinned))

    def on_prune_checkpoints(self, command: PruneCheckpoints) -> None:
        self._read(partial(self._prune_checkpoints, command.keep))

    def on_prune_events(self, command: PruneEvents) -> None:
        self.perform(self._prune, self.defer(), command.upto)

    def on_look_back(self, look: LookBack) -> None:
        self.perform(self._prune, None, Position(0))

    def on_look(self, look: Look) -> None:
        self._is_looking = False
        if not self._saves and rules.is_due(self._options.schedule, self._since()):
            self._begin_save("periodic", "", None)
        else:
            self._look_later()

    def on_save_ended(self, ended: SaveEnded) -> None:
        deferred = self._saves.pop(ended.number)
        if ended.view is not None:
            self._note_saved(ended.view, ended.elapsed_ms)
            if deferred is not None:
                deferred.answer(ended.view)
        elif ended.error is not None:
            # Who comes before all others has nothing to save: a refusal, and no fault.
            if not isinstance(ended.error, Refused):
                self._failed_s = self.monotonic_s
                failed = CheckpointFailed(f"c-{ended.position}", str(ended.error), self._identity.run)
                operators.warning("a checkpoint could not be saved", checkpoint=failed.checkpoint, reason=failed.reason)
                self._record(failed)
            if deferred is not None:
                deferred.refuse(ended.error)
        self._record_warnings()
        self._look_later()

    def _read(self, read: Callable[[], Awaitable[Reply]]) -> None:
        if self._reads >= READS_MAX:
            raise Overloaded("the journal", RETRY_AFTER_S)
        self._reads += 1
        self.perform(self._answer, self.defer(), read)

    async def _answer(self, job: Job, deferred: Deferred[Reply], read: Callable[[], Awaitable[Reply]]) -> None:
        try:
            reply = await read()
        except AgoraError as error:
            deferred.refuse(error)
        else:
            deferred.answer(reply)
        finally:
            self._reads -= 1

    async def _blob(self, blob: BlobId, head: Position) -> Blob:
        """The content; one that was appended and is not durable yet is there once it is."""
        try:
            return Blob(blob, await self._events.blob(blob))
        except NotFound:
            await self._log.committed(head)
            return Blob(blob, await self._events.blob(blob))

    async def _view(self) -> JournalView:
        size = await self._events.measure()
        times_s = sorted(self._log.commit_times_s)
        return JournalView(
            epoch=self._log.epoch,
            head=self._log.head,
            watermark=self._log.watermark,
            oldest=size.oldest,
            buffered=self._log.buffered,
            size_bytes=size.size_bytes,
            commits=self._log.commits,
            commit_p99_ms=times_s[len(times_s) * 99 // 100] * 1_000 if times_s else 0.0,
            watermark_age_ms=self._log.watermark_age_s * 1_000,
            step=self._step,
            files=self._options.files(self._events.layout),
        )

    async def _page(self) -> CheckpointPage:
        return CheckpointPage(await self._checkpoints.list())

    async def _mirror(self, job: Job) -> None:
        """Keep the mirror up to date; one that cannot be written is a warning and is tried again."""
        path = Path(self._options.mirror)
        is_told = False
        while True:
            try:
                await follow(
                    path,
                    epoch=self._log.epoch,
                    head=self._log.watermark,
                    read=self._events.read,
                    committed=self._log.committed,
                    warn=self._warn,
                )
            except OSError as error:
                if not is_told:
                    self._warn(f"the mirror {path} cannot be written: {error.strerror or error}; it is tried again")
                is_told = True
            except (SystemStopping, StorageError):
                return  # the log has ended, and why is said elsewhere
            await anyio.sleep(MIRROR_RETRY_S)

    async def _prune_checkpoints(self, keep: int) -> CheckpointsPruned:
        names = [view.checkpoint for view in await self._checkpoints.list()]
        return CheckpointsPruned(await self._checkpoints.prune(names[: max(1, keep)]))

    async def _prune(self, job: Job, deferred: Deferred[PruneReport] | None, upto: Position) -> None:
        """Let go of what may go. What fails is a warning, and tried again at the next look."""
        async with self._one_at_a_time:  # no checkpoint begins to rest on what goes
            began_s = self.monotonic_s
            try:
                report = await self._pruner.prune(upto)
            except StorageError as error:
                self._warn(f"old events could not be dropped: {error}")
                if deferred is not None:
                    deferred.refuse(error)
            else:
                if report.upto:
                    elapsed_ms = (self.monotonic_s - began_s) * 1_000
                    freed = (report.upto, report.events, report.kept, report.freed_bytes)
                    self._record(JournalPruned(*freed, elapsed_ms, report.blobs))
                if deferred is not None:
                    deferred.answer(report)
        self._look_back_later()

    def _look_back_later(self) -> None:
        if self._options.limits.is_any and self._is_open:
            self.start_timer(LOOK_BACK, self._options.retain_check_s, LookBack())

    def _begin_save(self, reason: CheckpointReason, label: str, deferred: Deferred[CheckpointView] | None) -> None:
        self._saves_begun += 1
        self._saves[self._saves_begun] = deferred
        self.perform(self._save, self._saves_begun, reason, label)

    async def _save(self, job: Job, number: int, reason: CheckpointReason, label: str) -> None:
        async with self._one_at_a_time:
            started_s = self.monotonic_s
            last = self._last
            await last.take(await self._copies(last.number), self._history.actors)
            position = last.highest
            view, error = await self._try_to_save(self._describe(reason, label), position)
            if view is not None:
                self._history.go_on_from(last.states, last.position)
                last.were_saved()
            elapsed_ms = (self.monotonic_s - started_s) * 1_000
        job.tell(self.address, SaveEnded(number, position, elapsed_ms, view, error))

    def _describe(self, reason: CheckpointReason, label: str) -> Description:
        return Description(
            reason=reason,
            created_us=self.now_us,
            run=self._identity.run,
            step=self._step,
            label=label,
            epoch=self._log.epoch,
            config_hash=self._identity.config_hash,
            agora_version=self._identity.agora_version,
            includes=dict(sorted(self._last.includes.items())),
            left_out=self._last.left_out,
            behind=self._last.behind,
        )

    async def _try_to_save(
        self, description: Description, position: Position
    ) -> tuple[CheckpointView | None, AgoraError | None]:
        last = self._last
        if not last.states:
            return None, Refused("no actor has a state that a checkpoint could hold")
        try:
            with anyio.fail_after(SAVE_TIMEOUT_S):
                await self._log.committed(position)
                older = [view.checkpoint for view in await self._checkpoints.list()]
                keep = rules.kept([name for name in older if name != f"c-{position}"], self._options.checkpoint_keep)
                return await self._checkpoints.save(description, last.states, keep=keep, changes=last.changes), None
        except StorageError as error:
            return None, error
        except TimeoutError:
            return None, DeadlinePassed("saving the checkpoint", SAVE_TIMEOUT_S)

    def _note_committed(self, committed: tuple[StoredEvent, ...]) -> None:
        """Called by the log after each commit; a listener of an ended incarnation does nothing."""
        if not self._is_open:
            return
        if (stall := self._log.take_stall()) is not None:
            error, waited_s = stall
            self._record(SystemWarning(f"{error}; the intake was paused for {waited_s:.1f} s", actor=self.address))
        steps = [event.position for event in committed if event.type == StepCompleted.wire_name]
        if self._early_steps is not None:
            self._early_steps.extend(steps)
            return
        self._step += len(steps)
        if not self._saves and not self._is_looking and rules.is_due(self._options.schedule, self._since()):
            self._is_looking = True
            self.tell(self.address, Look())

    def _note_saved(self, view: CheckpointView, elapsed_ms: float) -> None:
        self._covered, self._covered_step = view.position, view.step
        self._saved_s = self.monotonic_s
        self._failed_s = None
        self._record(
            CheckpointSaved(
                checkpoint=view.checkpoint,
                at=view.position,
                reason=view.reason,
                size_bytes=view.size_bytes,
                elapsed_ms=elapsed_ms,
                run=view.run,
            )
        )

    def _since(self) -> Since:
        now_s = self.monotonic_s
        return Since(
            events=self._log.watermark - self._covered - 1,  # the event that tells of a checkpoint is no news
            elapsed_s=now_s - self._saved_s,
            steps=self._step - self._covered_step,
            failed_s=None if self._failed_s is None else now_s - self._failed_s,
        )

    def _look_later(self) -> None:
        wait_s = rules.next_look_s(self._options.schedule, self._since())
        if wait_s is not None:
            self.start_timer(LOOK, wait_s, Look())

    def _record_warnings(self) -> None:
        for text in (*self._events.take_warnings(), *self._checkpoints.take_warnings()):
            self._warn(text)

    def _warn(self, text: str) -> None:
        """Say it to who looks at the console, and to who looks at the past."""
        operators.warning("the journal is not as it should be", what=text)
        self._record(SystemWarning(text, actor=self.address))

    def _record(self, event: Event) -> None:
        if self._log.failure is None:  # else the process is ending, and why is known
            self.record(event)
