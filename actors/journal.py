"""The journal actor: what can be asked of the past, and when checkpoints are made and old events go.

It writes nothing of the timeline itself: the runtime's log does, through the same store. How a checkpoint is made is in
`actors.saving`, when one is due in `actors.rules.coverage`. One that cannot be saved is a warning event and is tried
again; the run goes on.
"""

from contextlib import suppress
from pathlib import Path

import anyio

from actors.history import JournalHistory
from actors.journal_options import JournalOptions
from actors.logs import Log
from actors.mirroring import keep_mirror
from actors.proving import Proving, found_name
from actors.reads import RETRY_AFTER_S, Reads
from actors.rules import wall_clock
from actors.rules.coverage import Coverage
from actors.rules.wall_clock import Reading
from actors.runtime import Actor, Deferred, GroupCommitLog, Job
from actors.saving import RunIdentity, Saving, TakeCopies
from bus.envelope import StoredEvent
from bus.errors import AgoraError, DeadlinePassed, Refused, StorageError
from bus.messages.agents import StepCompleted
from bus.messages.base import BlobId, Event, Message, Microseconds, Position
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
from bus.refusals import CheckpointNotSaved, NotFound, Overloaded
from storage.checkpoints import CheckpointStore
from storage.events import EventStore
from storage.pruning import Pruner

operators = Log("journal")

READS_MAX = 256
"""Reads that may wait for a connection; more are told to come back."""
SAVES_MAX = 8
"""Checkpoints that may wait for the one that is being saved."""
LOOK = "look whether a checkpoint is due"
LOOK_BACK = "look whether old events are to go"


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
    outcome: CheckpointView | AgoraError


class Journal(Actor):
    """One per system, at the address `journal`."""

    def __init__(
        self,
        *,
        events: EventStore,
        checkpoints: CheckpointStore,
        history: JournalHistory,
        log: GroupCommitLog,
        copies: TakeCopies,
        identity: RunIdentity,
        started: SystemStarted | None = None,
        options: JournalOptions | None = None,
    ) -> None:
        self._events = events
        self._checkpoints = checkpoints
        self._log = log
        self._run = identity.run
        self._started = started
        self._options = options or JournalOptions()
        self._saving = Saving(checkpoints, history, log, copies=copies, identity=identity, options=self._options)
        self._coverage = Coverage(self._options.schedule)
        self._pruner = Pruner(events, checkpoints, self._options.limits)
        self._proving = Proving(checkpoints.path.parent)
        self._reads = Reads(self, "the journal", READS_MAX)
        self._one_at_a_time = anyio.Lock()
        """No checkpoint is made of what just goes."""
        self._saves: dict[int, Deferred[CheckpointView] | None] = {}
        self._saves_begun = 0
        self._clocks = Reading(0, 0.0)
        self._is_open = False
        self._is_looking = False

    async def on_start(self) -> None:
        self._is_open = True
        self._clocks = Reading(self.now_us, self.monotonic_s)
        self._coverage.begin(self.monotonic_s)
        self._log.on_commit(self._note_committed)
        for view in await self._checkpoints.list():
            if self._events.holds(view.epoch, view.position):
                self._coverage.note_saved(view.position, view.step, self.monotonic_s)
                break
        self._coverage.count_on(*await self._events.count(StepCompleted.wire_name))
        newest_us = await self._newest_us()
        if self._started is not None:
            self._record(self._started)
        self._warn_of_clock(wall_clock.told_at_start(newest_us, self.now_us))
        self._record_warnings()
        self._look_later()
        if self._options.mirror:
            path = Path(self._options.mirror)
            self.perform(keep_mirror, path, events=self._events, log=self._log, warn=self._warn)
        self._look_back_later()

    async def on_stop(self) -> None:
        self._is_open = False

    def on_read_events(self, query: ReadEvents) -> None:
        self._reads.begin(lambda _: self._events.read(query.within(self._run)))

    def on_summarise_events(self, query: SummariseEvents) -> None:
        self._reads.begin(lambda _: self._events.summarise(query.minutes))

    def on_read_histogram(self, query: ReadHistogram) -> None:
        self._reads.begin(lambda _: self._events.histogram(query.buckets))

    def on_read_chain(self, query: ReadChain) -> None:
        self._reads.begin(lambda _: self._events.chain(query))

    def on_search_events(self, query: SearchEvents) -> None:
        self._reads.begin(lambda _: self._events.search(query))

    def on_read_blob(self, query: ReadBlob) -> None:
        self._reads.begin(self._blob, query.blob, self._log.head)

    def on_read_journal(self, query: ReadJournal) -> None:
        self._reads.begin(self._view)

    def on_list_checkpoints(self, query: ListCheckpoints) -> None:
        self._reads.begin(self._page)

    def on_verify_checkpoint(self, query: VerifyCheckpoint) -> None:
        self._reads.begin(lambda _: self._proving.verify(query))

    def on_compare_checkpoints(self, query: CompareCheckpoints) -> None:
        self._reads.begin(lambda _: self._proving.compare(query))

    def on_save_checkpoint(self, command: SaveCheckpoint) -> None:
        if len(self._saves) >= SAVES_MAX:
            raise Overloaded("saving checkpoints", RETRY_AFTER_S)
        self._begin_save(command.reason, command.label, self.defer())

    def on_pin_checkpoint(self, command: PinCheckpoint) -> None:
        self._reads.begin(self._pin, command)

    def on_prune_checkpoints(self, command: PruneCheckpoints) -> None:
        self._reads.begin(self._prune_checkpoints, command.keep)

    def on_prune_events(self, command: PruneEvents) -> None:
        self.perform(self._prune, self.defer(), command.upto)

    def on_look_back(self, look: LookBack) -> None:
        self.perform(self._prune, None, Position(0))

    def on_look(self, look: Look) -> None:
        self._is_looking = False
        if not self._saves and self._coverage.is_due(self._log.watermark, self.monotonic_s):
            self._begin_save("periodic", "", None)
        else:
            self._look_later()

    def on_save_ended(self, ended: SaveEnded) -> None:
        deferred = self._saves.pop(ended.number)
        if isinstance(ended.outcome, CheckpointView):
            self._note_saved(ended.outcome, ended.elapsed_ms)
            if deferred is not None:
                deferred.answer(ended.outcome)
        else:
            # Who comes before all others has nothing to save: a refusal, and no fault.
            is_refused = isinstance(ended.outcome, Refused)
            if not is_refused:
                self._note_failed(ended.position, ended.outcome)
            if deferred is not None:
                deferred.refuse(ended.outcome if is_refused else CheckpointNotSaved(str(ended.outcome)))
        self._record_warnings()
        self._look_later()

    async def _blob(self, _: Job, blob: BlobId, head: Position) -> Blob:
        """The content; one that was appended and is not durable yet is there once it is."""
        try:
            return Blob(blob, await self._events.blob(blob))
        except NotFound:
            await self._log.committed(head)
            return Blob(blob, await self._events.blob(blob))

    async def _view(self, _: Job) -> JournalView:
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
            step=self._coverage.step,
            files=self._options.files(self._events.layout),
        )

    async def _page(self, _: Job) -> CheckpointPage:
        return await self._checkpoints.page()

    async def _pin(self, _: Job, command: PinCheckpoint) -> CheckpointView:
        name = await found_name(self._checkpoints, command.checkpoint)
        return await self._checkpoints.pin(name, is_pinned=command.is_pinned)

    async def _prune_checkpoints(self, _: Job, keep: int) -> CheckpointsPruned:
        names = [view.checkpoint for view in await self._checkpoints.list()]
        return CheckpointsPruned(await self._checkpoints.prune(names[: max(1, keep)]))

    async def _prune(self, job: Job, deferred: Deferred[PruneReport] | None, upto: Position) -> None:
        """Let go of what may go. What fails is a warning, and tried again at the next look."""
        async with self._one_at_a_time:
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
            began_s = self.monotonic_s
            position = await self._saving.take()
            outcome: CheckpointView | AgoraError
            try:
                step = self._coverage.step
                outcome = await self._saving.save(reason, label, step=step, created_us=self.now_us)
            except (Refused, StorageError, DeadlinePassed) as error:
                outcome = error
            elapsed_ms = (self.monotonic_s - began_s) * 1_000
        job.tell(self.address, SaveEnded(number, position, elapsed_ms, outcome))

    def _note_committed(self, committed: tuple[StoredEvent, ...]) -> None:
        """Called by the log after each commit; a listener of an ended incarnation does nothing."""
        if not self._is_open:
            return
        now = Reading(self.now_us, self.monotonic_s)
        if by_s := wall_clock.step_s(self._clocks, now):
            self._warn_of_clock(wall_clock.told(by_s))
        self._clocks = now
        self._record_warnings()
        if (stall := self._log.take_stall()) is not None:
            error, waited_s = stall
            self._record(SystemWarning(f"{error}; the intake was paused for {waited_s:.1f} s", actor=self.address))
        steps = [event.position for event in committed if event.type == StepCompleted.wire_name]
        self._coverage.note_steps(steps)
        if self._saves or self._is_looking:
            return
        if self._coverage.is_due(self._log.watermark, self.monotonic_s):
            self._is_looking = True
            self.tell(self.address, Look())

    def _note_saved(self, view: CheckpointView, elapsed_ms: float) -> None:
        self._coverage.note_saved(view.position, view.step, self.monotonic_s)
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

    def _note_failed(self, position: Position, error: AgoraError) -> None:
        self._coverage.note_failed(self.monotonic_s)
        failed = CheckpointFailed(f"c-{position}", str(error), self._run)
        operators.warning("a checkpoint could not be saved", checkpoint=failed.checkpoint, reason=failed.reason)
        self._record(failed)

    def _look_later(self) -> None:
        wait_s = self._coverage.next_look_s(self._log.watermark, self.monotonic_s)
        if wait_s is not None:
            self.start_timer(LOOK, wait_s, Look())

    async def _newest_us(self) -> Microseconds:
        """When the newest event was recorded; 0 where there is none, or what is wrong is told to who asks for it."""
        with suppress(StorageError):
            for event in (await self._events.read(ReadEvents(limit=1))).events:
                return event.time_us
        return 0

    def _warn_of_clock(self, text: str) -> None:
        if text:
            operators.warning("the clock was set", what=text)
            self._record(SystemWarning(text, actor=self.address))

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
