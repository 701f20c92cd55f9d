"""Personal text made unreadable for good, everywhere in a directory."""

from collections.abc import Collection
from hashlib import sha256
from pathlib import Path

import anyio.to_thread
import msgspec
import pytest

from bus.address import Address
from bus.clock import VirtualClock
from bus.envelope import Recorded
from bus.errors import BadUsage, StorageError
from bus.messages.artifacts import ArtifactWritten
from bus.messages.base import ArtifactId, BlobId, Event, Position, TaskId
from bus.messages.system import EventPage, ReadEvents, SearchEvents, SystemInfo, TextRedacted
from bus.messages.tasks import TaskCreated, TaskSpec
from bus.refusals import NotFound
from storage import integrity
from storage.checkpoints import CheckpointStore
from storage.contents import Contents
from storage.events import EventStore
from storage.manifests import ActorState
from storage.mirror import Mirror
from storage.past import Past
from storage.redaction import Redacted, Redaction
from tests.storage.support import CATALOGUE, opened, write
from tests.storage.writer import description

SECRET = "Zacharias Quintessence"
OTHER = "Xenia Xylophone"
CONTENT = f"all about {SECRET}".encode()
SHARED = b"what both have written"
COORDINATOR = Address("coordinator")
SEGMENT_EVENTS = 8


def _artifact(number: int, task: TaskId, content: bytes) -> ArtifactWritten:
    blob = BlobId(sha256(content).hexdigest())
    return ArtifactWritten(ArtifactId(f"a-{number}"), "a brief", "text/plain", len(content), blob, "scout", task, 1)


def _history() -> list[Event]:
    secret, other = TaskId("t-1"), TaskId("t-2")
    return [
        TaskCreated(secret, TaskSpec(f"find {SECRET}", "soon"), 1),
        TaskCreated(other, TaskSpec(f"find {OTHER}"), 2),
        _artifact(1, secret, CONTENT),
        _artifact(2, secret, SHARED),
        _artifact(3, other, SHARED),
        *[SystemInfo(f"number {number}") for number in range(12)],
    ]


def _state() -> bytes:
    artifacts = {"a-1": {"task": "t-1", "blob": sha256(CONTENT).hexdigest()}}
    return msgspec.json.encode(
        {"artifacts": artifacts, "tasks": {"t-1": {"title": f"find {SECRET}"}, "t-2": {"title": f"find {OTHER}"}}}
    )


async def _filled(store: EventStore, checkpoints: CheckpointStore) -> None:
    for number, event in enumerate(_history(), 1):
        position = Position(number)
        record = Recorded(event, position, number * 1_000_000, COORDINATOR, Position(0), "", Position(0))
        blobs = {BlobId(sha256(content).hexdigest()): content for content in (CONTENT, SHARED)}
        await write(store, [record], blobs if number == 3 else None)
    state = ActorState.of(Position(store.head), Position(0), _state())
    await checkpoints.save(description(), {COORDINATOR: state}, keep=())
    await checkpoints.pin(f"c-{store.head}")


def _told(events: int, blobs: int) -> TextRedacted:
    return TextRedacted(events=events, blobs=blobs, by="ana", reason="she asked for it", task=TaskId("t-1"))


async def _redact(directory: Path, mirror: str = "") -> Redacted:
    async with (
        opened(directory, segment_events=SEGMENT_EVENTS) as store,
        CheckpointStore.open(directory / "checkpoints") as checkpoints,
    ):
        return await Redaction(store, checkpoints, CATALOGUE).run(ReadEvents(task="t-1"), _told, mirror)


def _mirrored(path: Path, page: EventPage) -> None:
    with Mirror(path, 1, page.head) as file:
        file.append(page.events)


def _found(directory: Path, text: str) -> list[str]:
    return [str(path) for path in directory.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


async def _positions_with(store: EventStore, word: str) -> list[Position]:
    return [event.position for event in (await store.search(SearchEvents(word))).events]


async def test_what_was_redacted_is_read_nowhere_and_the_journal_still_proves_itself(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror.jsonl"
    async with (
        opened(tmp_path, segment_events=SEGMENT_EVENTS) as store,
        CheckpointStore.open(tmp_path / "checkpoints") as checkpoints,
    ):
        await _filled(store, checkpoints)
        assert await _positions_with(store, "Quintessence") == [1]
        page = await store.read(ReadEvents(limit=50, is_newest_first=False))
        await anyio.to_thread.run_sync(_mirrored, mirror, page)
    assert SECRET.encode() in mirror.read_bytes()
    done = await _redact(tmp_path, str(mirror))
    assert done == Redacted(events=3, already=0, blobs=1, checkpoints=("c-17",), scrubbed="")
    assert (await integrity.verify(tmp_path, CATALOGUE)).problem == ""
    async with opened(tmp_path, segment_events=SEGMENT_EVENTS) as store:
        page = await store.read(ReadEvents(limit=50, is_newest_first=False))
        assert SECRET.encode() not in b"".join(event.data for event in page.events)
        assert b'"title":"[redacted]","instructions":"[redacted]"' in page.events[0].data
        assert OTHER.encode() in page.events[1].data
        assert await _positions_with(store, "Quintessence") == []
        assert await _positions_with(store, "Xylophone") == [2]
        redaction = CATALOGUE.decode("text.redacted", 1, page.events[-1].data)
        assert redaction == _told(3, 1)
        with pytest.raises(NotFound):
            await store.blob(BlobId(sha256(CONTENT).hexdigest()))
        assert await store.blob(BlobId(sha256(SHARED).hexdigest())) == SHARED
        own = [event async for batch in store.own_events(COORDINATOR, Position(0)) for event in batch.events]
        assert own[0] == TaskCreated(TaskId("t-1"), TaskSpec("[redacted]", "[redacted]"), 1)
    lines = mirror.read_text()
    assert (SECRET in lines, OTHER in lines, len(lines.splitlines())) == (False, True, 18)
    assert await anyio.to_thread.run_sync(_found, tmp_path, SECRET) == []


async def test_where_old_events_were_pruned_the_checkpoint_that_stands_for_them_is_gone_through(tmp_path: Path) -> None:
    async with (
        opened(tmp_path, segment_events=SEGMENT_EVENTS) as store,
        CheckpointStore.open(tmp_path / "checkpoints") as checkpoints,
    ):
        await _filled(store, checkpoints)
        created = Recorded(_history()[0], Position(18), 1, COORDINATOR, Position(0), "", Position(0))
        await write(store, [created])
        assert (await store.prune(Position(16))).upto == 16
    done = await _redact(tmp_path)
    assert (done.events, done.checkpoints, done.scrubbed) == (1, (), "c-17")
    async with CheckpointStore.open(tmp_path / "checkpoints") as checkpoints:
        checkpoint = await checkpoints.load("c-17")
        assert checkpoint.view.is_pinned
        assert checkpoint.actors[COORDINATOR].state == _state().replace(f"find {SECRET}".encode(), b"[redacted]")
    assert (await integrity.verify(tmp_path, CATALOGUE)).problem == ""
    assert await anyio.to_thread.run_sync(_found, tmp_path, SECRET) == []


async def test_a_second_time_finds_nothing_to_read_and_records_nothing(tmp_path: Path) -> None:
    async with (
        opened(tmp_path, segment_events=SEGMENT_EVENTS) as store,
        CheckpointStore.open(tmp_path / "checkpoints") as checkpoints,
    ):
        await _filled(store, checkpoints)
    await _redact(tmp_path)
    again = await _redact(tmp_path)
    assert (again.events, again.already) == (0, 3)
    async with opened(tmp_path, segment_events=SEGMENT_EVENTS) as store:
        assert (await store.count("text.redacted"))[0] == 1
        with pytest.raises(BadUsage, match="no event that matches"):
            async with CheckpointStore.open(tmp_path / "checkpoints") as checkpoints:
                await Redaction(store, checkpoints, CATALOGUE).run(ReadEvents(task="t-9"), _told)


async def test_one_that_was_cut_short_is_made_whole_by_the_next(tmp_path: Path) -> None:
    class Cut(Contents):
        """Ends before the keys are destroyed."""

        def __init__(self, contents: Contents) -> None:
            vars(self).update(vars(contents))

        async def destroy_keys(self, numbers: Collection[int]) -> int:
            raise StorageError("killed")

    async with opened(tmp_path) as store, CheckpointStore.open(tmp_path / "checkpoints") as checkpoints:
        await _filled(store, checkpoints)
        store.contents = Cut(store.contents)
        with pytest.raises(StorageError, match="killed"):
            await Redaction(store, checkpoints, CATALOGUE).run(ReadEvents(task="t-1"), _told)
    assert (await integrity.verify(tmp_path, CATALOGUE)).problem == ""
    done = await _redact(tmp_path)
    assert (done.events, done.blobs) == (3, 0)
    assert await anyio.to_thread.run_sync(_found, tmp_path, SECRET) == []


async def test_whoever_reads_beside_sees_the_words_until_they_are_gone(tmp_path: Path) -> None:
    async with (
        opened(tmp_path, segment_events=SEGMENT_EVENTS) as store,
        CheckpointStore.open(tmp_path / "checkpoints") as checkpoints,
    ):
        await _filled(store, checkpoints)
    async with Past.inspect(tmp_path, CATALOGUE, VirtualClock()) as past:
        assert SECRET.encode() in (await past.read(ReadEvents(task="t-1"))).events[-1].data
        await _redact(tmp_path)
        assert SECRET.encode() not in (await past.read(ReadEvents(task="t-1"))).events[-1].data
