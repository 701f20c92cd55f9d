"""The journal actor over real stores: what can be asked of it, and its checkpoints."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from actors.history import JournalHistory
from actors.journal import SAVES_MAX, Journal
from actors.journal_options import JournalOptions
from actors.logs import LineFormatter
from actors.runtime import ActorSystem, ChildSpec, GroupCommitLog, PersistentActor
from actors.saving import RunIdentity
from bus.address import Address
from bus.clock import SystemClock
from bus.codec import Catalogue
from bus.dice import Dice
from bus.envelope import StoredEvent
from bus.errors import AgoraError
from bus.messages.agents import StepCompleted
from bus.messages.base import AgentId, BlobId, Command, Done, Event, Position, RunId, TaskId
from bus.messages.catalogue import EVENTS
from bus.messages.system import (
    JOURNAL,
    JournalFiles,
    ListCheckpoints,
    PinCheckpoint,
    PruneCheckpoints,
    PruneEvents,
    ReadBlob,
    ReadChain,
    ReadEvents,
    ReadHistogram,
    ReadJournal,
    SaveCheckpoint,
    SearchEvents,
    SummariseEvents,
)
from bus.refusals import CheckpointNotSaved, InvalidField, NotFound
from storage.checkpoints import CheckpointStore
from storage.errors import CorruptJournal
from storage.events import EventStore

COUNTER = Address("agents/counter")
TIMEOUT_S = 20.0
OFF = JournalOptions(checkpoint_every_events=0, checkpoint_every_s=0, checkpoint_every_steps=0)


class TakeSteps(Command[Done], frozen=True):
    """Sent to let the counter record so many steps."""

    wire_name = "test.take_steps"

    count: int
    blob: bytes = b""


class Steps(msgspec.Struct):
    """What the counter remembers."""

    taken: int = 0


class Counter(PersistentActor[Steps]):
    """Counts the steps that it was told to take."""

    state_type = Steps

    def initial(self) -> Steps:
        return Steps()

    def apply(self, event: Event) -> None:
        self.state.taken += 1

    def on_take_steps(self, command: TakeSteps) -> Done:
        step = StepCompleted(AgentId("counter"), TaskId("t-1"), 1, "completed", 0.5)
        self.persist(*[step] * command.count, blobs=(command.blob,) if command.blob else ())
        return Done()


class Committed:
    """What the log has committed, for tests that wait for an event."""

    def __init__(self, log: GroupCommitLog) -> None:
        self._events: list[StoredEvent] = []
        self._changed = asyncio.Event()
        log.on_commit(self._note)

    async def first(self, type_: str, count: int = 1) -> list[StoredEvent]:
        """The first `count` events of a type, once there are so many."""
        async with asyncio.timeout(TIMEOUT_S):
            while len(found := [event for event in self._events if event.type == type_]) < count:
                self._changed.clear()
                await self._changed.wait()
        return found[:count]

    def _note(self, committed: tuple[StoredEvent, ...]) -> None:
        self._events.extend(committed)
        self._changed.set()


class Running(msgspec.Struct):
    """A system with a journal and one actor that counts."""

    system: ActorSystem
    log: GroupCommitLog
    checkpoints_open: AsyncExitStack
    history: JournalHistory
    committed: Committed

    async def steps(self, count: int, blob: bytes = b"") -> None:
        await self.system.ask(COUNTER, TakeSteps(count, blob), timeout_s=TIMEOUT_S)


@asynccontextmanager
async def running(
    directory: Path, options: JournalOptions = OFF, also: tuple[ChildSpec, ...] = ()
) -> AsyncIterator[Running]:
    clock = SystemClock()
    async with (
        EventStore.open(directory, Catalogue(EVENTS), clock, options.segments) as events,
        AsyncExitStack() as checkpoints_open,
    ):
        checkpoints = await checkpoints_open.enter_async_context(
            CheckpointStore.open(options.checkpoints_in(directory))
        )
        history = JournalHistory(events, await checkpoints.load_newest(events.holds))
        log = GroupCommitLog(events, head=events.head, epoch=events.epoch, clock=clock)
        committed = Committed(log)
        async with ActorSystem(log=log, history=history, clock=clock, dice=Dice(1)) as system:

            def journal() -> Journal:
                return Journal(
                    events=events,
                    checkpoints=checkpoints,
                    history=history,
                    log=log,
                    copies=system.copies,
                    identity=RunIdentity(RunId("r-1"), "abc", "0.1.0"),
                    options=options,
                )

            await system.start(ChildSpec(COUNTER, Counter), *also, ChildSpec(JOURNAL, journal))
            yield Running(system, log, checkpoints_open, history, committed)


async def test_events_are_read_and_counted_through_the_actor(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        await run.steps(30)
        page = await run.system.ask(JOURNAL, ReadEvents(types=("step.*",), limit=10))
        assert [event.position for event in page.events] == list(range(30, 20, -1))
        assert (await run.system.ask(JOURNAL, ReadEvents(run="r-1", limit=10))).events == page.events
        assert (await run.system.ask(JOURNAL, ReadEvents(run="another"))).events == ()
        summary = await run.system.ask(JOURNAL, SummariseEvents(5.0))
        assert summary.by_type == {"step.completed": 30}
        histogram = await run.system.ask(JOURNAL, ReadHistogram(10))
        assert sum(bucket.events for bucket in histogram.buckets) == 30
        with pytest.raises(InvalidField):
            await run.system.ask(JOURNAL, ReadEvents(limit=0))


async def test_the_journal_tells_how_it_fares(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        await run.steps(30)
        view = await run.system.ask(JOURNAL, ReadJournal())
        assert (view.epoch, view.head, view.watermark, view.oldest, view.buffered, view.step) == (1, 30, 30, 1, 0, 30)
        assert view.commits >= 1
        assert view.commit_p99_ms > 0
        assert view.size_bytes > 0
        assert view.files == JournalFiles(1, 0, OFF.segment_events, 0, 0.0)


async def test_a_blob_is_read_as_soon_as_its_event_is_appended(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        content = b"a document" * 1_000
        name = BlobId(sha256(content).hexdigest())
        run.system.tell(COUNTER, TakeSteps(1, content))
        await run.system.ask_inside(COUNTER, TakeSteps(1), timeout_s=TIMEOUT_S)  # after the other, before its commit
        found = await run.system.ask(JOURNAL, ReadBlob(name))
        assert found.content == content
        with pytest.raises(NotFound):
            await run.system.ask(JOURNAL, ReadBlob(BlobId("00" * 32)))


async def test_many_reads_are_answered_beside_each_other(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        await run.steps(100)
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(run.system.ask(JOURNAL, ReadEvents(limit=50))) for _ in range(60)]
        assert {len(task.result().events) for task in asked} == {50}


async def test_a_checkpoint_is_saved_on_command_and_recorded(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        await run.steps(12)
        answer = await run.system.exchange(JOURNAL, SaveCheckpoint(label="before lunch"), timeout_s=TIMEOUT_S)
        view = answer.message
        assert (view.checkpoint, view.position, view.reason, view.label) == ("c-12", 12, "manual", "before lunch")
        assert (view.run, view.step, view.config_hash, view.agora_version) == ("r-1", 12, "abc", "0.1.0")
        (saved,) = await run.committed.first("checkpoint.saved")
        assert answer.position == saved.position == 13
        page = await run.system.ask(JOURNAL, ListCheckpoints())
        assert page.checkpoints == (view,)


@pytest.mark.parametrize(
    "options",
    [
        msgspec.structs.replace(OFF, checkpoint_every_events=20),
        msgspec.structs.replace(OFF, checkpoint_every_steps=20),
        msgspec.structs.replace(OFF, checkpoint_every_s=0.02),
    ],
    ids=["events", "steps", "seconds"],
)
async def test_a_checkpoint_is_made_when_one_is_due(tmp_path: Path, options: JournalOptions) -> None:
    async with running(tmp_path, options) as run:
        await run.steps(21)
        (saved,) = await run.committed.first("checkpoint.saved")
        assert b'"reason":"periodic"' in saved.data
        assert b'"at":21' in saved.data
        await run.steps(22)
        await run.committed.first("checkpoint.saved", 2)


async def test_none_is_made_while_nothing_happens(tmp_path: Path) -> None:
    options = msgspec.structs.replace(OFF, checkpoint_every_s=0.005)
    async with running(tmp_path, options) as run:
        await run.steps(3)
        await run.committed.first("checkpoint.saved")
        for _ in range(20):  # each read takes longer than a look at an idle journal
            await run.system.ask(JOURNAL, ReadJournal())
        assert run.log.head == 4


async def test_a_pinned_one_stays_and_the_others_go_when_they_are_pruned(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        await run.steps(1)
        await run.system.ask(JOURNAL, SaveCheckpoint())
        pinned = await run.system.ask(JOURNAL, PinCheckpoint("c-1"))
        assert pinned.is_pinned
        for _ in range(4):
            await run.steps(1)
            await run.system.ask(JOURNAL, SaveCheckpoint())
        removed = await run.system.ask(JOURNAL, PruneCheckpoints(1))
        page = await run.system.ask(JOURNAL, ListCheckpoints())
        assert [view.position for view in page.checkpoints] == [9, 1]
        assert removed.removed == ("c-7", "c-5")
        with pytest.raises(NotFound):
            await run.system.ask(JOURNAL, PinCheckpoint("c-7"))


async def test_one_that_cannot_be_saved_is_recorded_and_tried_again_and_the_run_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = msgspec.structs.replace(OFF, checkpoint_every_events=5, checkpoint_retry_s=0.02)
    async with running(tmp_path, options) as run:
        await run.checkpoints_open.aclose()
        await run.steps(6)
        failed = await run.committed.first("checkpoint.failed", 3)
        assert b'"checkpoint":"c-6","reason":"' in failed[0].data
        assert "a checkpoint could not be saved" in caplog.text
        with pytest.raises(CheckpointNotSaved, match="closed"):
            await run.system.ask(JOURNAL, SaveCheckpoint())
        await run.steps(1)
        assert (await run.system.ask(JOURNAL, ReadJournal())).step == 7


async def test_checkpoints_that_are_asked_for_at_once_are_saved_one_after_another(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        await run.steps(3)
        outcomes = await asyncio.gather(
            *(run.system.ask(JOURNAL, SaveCheckpoint(label=str(n)), timeout_s=TIMEOUT_S) for n in range(60)),
            return_exceptions=True,
        )
        refused = [outcome for outcome in outcomes if isinstance(outcome, AgoraError)]
        assert len(outcomes) - len(refused) >= SAVES_MAX
        assert {refusal.code for refusal in refused} == {"overloaded"}


async def test_what_was_wrong_at_the_start_is_a_warning_event(tmp_path: Path) -> None:
    directory = tmp_path / "checkpoints"
    directory.mkdir()
    (directory / "checkpoints.sqlite").write_bytes(b"no database" * 500)
    async with running(tmp_path) as run:
        (warning,) = await run.committed.first("system.warning")
        assert b"moved to" in warning.data


async def test_a_damaged_checkpoint_is_passed_over_with_a_warning_event_and_a_line_for_the_operator(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as run:
        await run.steps(4)
        await run.system.ask(JOURNAL, SaveCheckpoint())
    path = tmp_path / "checkpoints" / "checkpoints.sqlite"
    path.write_bytes(
        path.read_bytes().replace(b'"taken"', b'"tbken"').replace(b'"reason":"manual"', b'"reason":"other!"')
    )
    async with running(tmp_path) as run:
        (warning,) = await run.committed.first("system.warning")
        assert b"c-4 is damaged" in warning.data
        assert run.system.snapshots()[COUNTER].state == b'{"taken":4}'
    [line] = [LineFormatter().format(record) for record in caplog.records if record.name == "journal"]
    assert 'WARNING journal: the journal is not as it should be what="' in line
    assert "c-4 is damaged" in line


def test_the_directory_of_the_checkpoints_is_a_setting() -> None:
    assert OFF.checkpoints_in(Path("data")) == Path("data/checkpoints")
    elsewhere = JournalOptions(checkpoint_directory="/mnt/checkpoints")
    assert elsewhere.checkpoints_in(Path("data")) == Path("/mnt/checkpoints")


async def test_an_event_is_found_by_its_words_and_told_with_its_causes(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        await run.steps(3)
        found = await run.system.ask(JOURNAL, SearchEvents("counter completed", limit=2))
        assert [event.position for event in found.events] == [3, 2]
        chain = await run.system.ask(JOURNAL, ReadChain(Position(3)))
        assert (chain.event.position, chain.causes, chain.effects, chain.is_whole) == (3, (), (), True)


async def test_old_events_go_by_command_no_further_than_the_oldest_checkpoint_and_it_is_recorded(
    tmp_path: Path,
) -> None:
    options = msgspec.structs.replace(OFF, segment_events=1_000)
    async with running(tmp_path, options) as run:
        for _ in range(4):
            await run.steps(1_000)
        refused = await run.system.ask(JOURNAL, PruneEvents(Position(3_000)))
        assert (refused.upto, refused.floor) == (0, 0)
        await run.system.ask(JOURNAL, SaveCheckpoint(), timeout_s=TIMEOUT_S)
        report = await run.system.ask(JOURNAL, PruneEvents(Position(2_500)), timeout_s=TIMEOUT_S)
        assert (report.upto, report.events, report.kept) == (2_000, 2_000, 0)
        [told] = await run.committed.first("journal.pruned")
        assert b'"upto":2000' in told.data
        page = await run.system.ask(JOURNAL, ReadEvents(is_newest_first=False, limit=1))
        assert page.events[0].position == 2_001
    async with running(tmp_path, options) as run:
        await run.steps(1)
        assert run.system.snapshots()[COUNTER].state == b'{"taken":4001}'


async def test_old_events_go_by_themselves_beyond_the_count_that_is_kept(tmp_path: Path) -> None:
    options = JournalOptions(
        segment_events=1_000, checkpoint_every_events=500, checkpoint_keep=1, retain_events=1_500, retain_check_s=0.01
    )
    async with running(tmp_path, options) as run:
        for _ in range(6):
            await run.steps(1_000)
        [told] = await run.committed.first("journal.pruned")
        assert told.source == JOURNAL


async def test_a_pruned_journal_without_its_checkpoints_is_refused(tmp_path: Path) -> None:
    options = msgspec.structs.replace(OFF, segment_events=1_000)
    async with running(tmp_path, options) as run:
        for _ in range(3):
            await run.steps(1_000)
        await run.system.ask(JOURNAL, SaveCheckpoint(), timeout_s=TIMEOUT_S)
        assert (await run.system.ask(JOURNAL, PruneEvents(Position(1_500)), timeout_s=TIMEOUT_S)).upto
    await asyncio.to_thread(shutil.rmtree, options.checkpoints_in(tmp_path))
    with pytest.raises(CorruptJournal, match="no usable checkpoint"):
        async with running(tmp_path, options):
            pass
