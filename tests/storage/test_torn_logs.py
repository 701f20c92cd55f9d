"""A write-ahead log whose end is torn: of each of the files, cut, overwritten, or with something after its end."""

import random
import shutil
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest

from bus.address import Address
from bus.clock import VirtualClock
from bus.envelope import Recorded
from bus.errors import StorageError
from bus.messages.artifacts import ArtifactWritten
from bus.messages.base import ArtifactId, BlobId, TaskId
from bus.messages.system import SearchEvents
from storage.checkpoints import CHECKPOINTS_NAME, CheckpointStore
from storage.manifests import ActorState
from storage.transcripts import TRANSCRIPTS_NAME, TranscriptStore
from tests.storage.asking import OURS, ask_checkpoints, ask_past, ask_store, ask_transcripts
from tests.storage.support import everything, opened, record, told, write
from tests.storage.test_transcripts import row
from tests.storage.writer import description

BATCHES = 20
BATCH = 10
SEGMENT_EVENTS = 60
HEAD = BATCHES * BATCH
LOGS = (
    "journal.sqlite",
    "blobs.sqlite",
    "keys.sqlite",
    CHECKPOINTS_NAME,
    TRANSCRIPTS_NAME,
    "segments/0000000000000181.sqlite",
)
TEARS = 8


def _content(number: int) -> bytes:
    return f"content {number} ".encode() * 100


def _events(first: int) -> list[Recorded]:
    """Nine events, some with a person's words, and one that names a content."""
    content = _content(first)
    name, blob = ArtifactId(f"a-{first}"), BlobId(sha256(content).hexdigest())
    written = ArtifactWritten(name, "n", "text/plain", len(content), blob, "o", TaskId("t-1"), 1)
    return [*told(first, BATCH - 1), record(first + BATCH - 1, written)]


ALL = [event for number in range(BATCHES) for event in _events(number * BATCH + 1)]
CONTENTS: Mapping[BlobId, bytes] = {
    BlobId(sha256(content).hexdigest()): content
    for content in (_content(number * BATCH + 1) for number in range(BATCHES))
}


async def _written(directory: Path) -> Path:
    """What is left of a directory whose power went, in a copy: what was acknowledged is in logs that were synced."""
    clock, copy = VirtualClock(), directory.with_name("copy")
    async with (
        opened(directory, clock, segment_events=SEGMENT_EVENTS) as store,
        CheckpointStore.open(directory / "c") as checkpoints,
        TranscriptStore.open(directory) as transcripts,
    ):
        for number in range(BATCHES):
            clock.advance(2)  # the mark follows
            content = _content(store.head + 1)
            await write(store, _events(store.head + 1), {BlobId(sha256(content).hexdigest()): content})
            await store.contents.keep({})  # the writer's thread has noted the head before the clock goes on
            await transcripts.add([row(number + 1)])
            if number % 4 == 3:
                actors = {Address("ledger"): ActorState.of(store.head, store.head, b"%d" % number * 1_000)}
                await checkpoints.save(description(), actors, keep=[one.checkpoint for one in await checkpoints.list()])
        await store.search(SearchEvents("number"))  # the keeper's thread has done what follows the end of a segment
        shutil.copytree(directory, copy, ignore=shutil.ignore_patterns("*.new", "*-shm"))
    for path in (copy / "c").glob("checkpoints.sqlite*"):
        path.rename(copy / path.name)
    return copy


def _tear(log: Path, dice: random.Random) -> str:
    """Damage the end of a log, as a disk may that lied about a sync; how."""
    content = bytearray(log.read_bytes())
    at = dice.randrange(len(content))
    match dice.choice(("cut", "noise", "hole")):
        case "cut":
            del content[at:]
        case "noise":
            content[at:] = dice.randbytes(len(content) - at)
        case _:
            content[at : at + 4_096] = bytes(len(content[at : at + 4_096]))
    log.write_bytes(content)
    return f"{log.name} at {at} of {len(content)}"


async def _prove(directory: Path, what: str) -> None:
    """The journal is whole, or says where it is not: nothing of it is missing in silence."""
    async with opened(directory, segment_events=SEGMENT_EVENTS) as store:
        warnings = store.take_warnings()
        found = await store.verify()
        assert (store.head, store.epoch) == (HEAD, 1) or (store.epoch == 2 and "its end is lost" in warnings[0]), what
        if not found.problem:
            assert await everything(store) == ALL[: store.head], what
            for number in range(0, store.head, BATCH):
                content = _content(number + 1)
                assert await store.blob(BlobId(sha256(content).hexdigest())) == content, what


async def _prove_others(directory: Path, what: str) -> None:
    """Checkpoints are sound, and of the completions the first are there."""
    async with CheckpointStore.open(directory) as checkpoints:
        assert not [finding for finding in await checkpoints.verify() if finding.problem], what
        saved = [view.position for view in await checkpoints.list()]
        assert saved == sorted(range(4 * BATCH, HEAD + 1, 4 * BATCH), reverse=True)[-len(saved) or HEAD :], what
    async with TranscriptStore.open(directory) as transcripts:
        names = [f"s{number + 1}".encode() for number in range(BATCHES)]
        kept = await transcripts.page("", "", 0, 100)
        assert kept == names[: len(kept)][::-1], what


@pytest.mark.slow
@pytest.mark.parametrize("file", LOGS)
async def test_a_torn_log_is_a_beginning_of_it_or_an_error_that_names_the_place_and_never_another_one(
    tmp_path: Path, file: str
) -> None:
    sound, torn = await _written(tmp_path / "data"), tmp_path / "torn"
    (blob, *_) = CONTENTS
    said: list[str] = []
    for number in range(TEARS):
        shutil.copytree(sound, torn)
        log = torn / f"{file}-wal"
        assert log.stat().st_size, "there is something to tear"
        what = f"{number}: {_tear(log, random.Random(f'{file}/{number}'))}"
        await _prove_others(torn, what)
        try:
            await _prove(torn, what)
        except StorageError as error:
            said.append(str(error))
        asks = (ask_past(torn, blob), ask_checkpoints(torn), ask_store(torn, blob), ask_transcripts(torn))
        for asking in asks:
            with suppress(*OURS):
                await asking
        shutil.rmtree(torn)
    assert [one for one in said if str(torn) not in one] == []


@pytest.mark.slow
@pytest.mark.parametrize("file", LOGS)
async def test_what_was_begun_after_the_last_sync_and_is_torn_takes_nothing_along(tmp_path: Path, file: str) -> None:
    dice = random.Random(file)
    directory = await _written(tmp_path / "data")
    log = directory / f"{file}-wal"
    content = log.read_bytes()
    frame = content[-4_120:]  # a page with its header: as if the same were written once more, and cut
    for more in (
        dice.randbytes(dice.randint(1, 20_000)),
        frame[: dice.randint(1, len(frame) - 1)],
        frame,
        bytes(9_000),
    ):
        torn = tmp_path / "torn"
        shutil.copytree(directory, torn)
        (torn / f"{file}-wal").write_bytes(content + more)
        async with opened(torn, segment_events=SEGMENT_EVENTS) as store:
            assert (store.head, store.epoch, store.take_warnings()) == (HEAD, 1, ())
            assert await everything(store) == ALL
            assert (await store.verify()).problem == ""
            for blob, content_ in CONTENTS.items():
                assert await store.blob(blob) == content_
        async with CheckpointStore.open(torn) as checkpoints:
            newest = await checkpoints.load_newest()
            assert newest is not None
            assert newest.view.position == HEAD
        async with TranscriptStore.open(torn) as transcripts:
            assert len(await transcripts.page("", "", 0, 100)) == BATCHES
        shutil.rmtree(torn)
