"""The journal as a whole: opened, written, read, killed, opened again."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import aclosing, closing
from pathlib import Path

import pytest

from bus.address import Address
from bus.clock import VirtualClock
from bus.codec import EventTooLarge
from bus.envelope import Batch
from bus.errors import StorageError
from bus.messages.base import BlobId, Position
from bus.messages.system import ReadEvents, SystemInfo
from bus.refusals import InvalidField, NotFound
from storage.errors import CorruptJournal, DirectoryInUse, DiskFull, UnknownSchema
from storage.events import EventStore
from tests.storage.support import CATALOGUE, START_US, blob, everything, opened, record, records, segment_path, write

ROOT = Path(__file__).resolve().parents[2]


async def test_positions_have_no_gap_and_events_are_the_same_after_each_opening(tmp_path: Path) -> None:
    for opening in range(4):
        async with opened(tmp_path) as store:
            assert store.head == opening * 25
            stored = await write(store, records(store.head + 1, 25), {})
            assert [event.position for event in stored] == list(range(opening * 25 + 1, opening * 25 + 26))
    async with opened(tmp_path) as store:
        assert await everything(store) == records(1, 100)
        assert (await store.verify()).problem == ""
        assert store.take_warnings() == ()


async def test_sealed_fields_come_back_to_actors_and_stay_apart_in_pages(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 7), {})
        (bid,) = (await store.read(ReadEvents(types=("bid.submitted",)))).events
        assert bid.data == b'{"task":"t-1","agent":"scribe","attempt":1}'
        assert bid.sealed == b'{"price_msat":901}'
        assert (await everything(store))[0] == record(1)


async def test_a_batch_that_cannot_be_encoded_changes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 3), {})
        with pytest.raises(EventTooLarge):
            await write(store, [*records(4, 2), record(6, SystemInfo("x" * 40_000))], {})
        assert store.head == 3
        await write(store, records(4, 2), {})
        assert await everything(store) == records(1, 5)


async def test_own_events_and_facts_are_read_in_batches_in_order(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 9_000), {})
        own = [batch async for batch in store.own_events(Address("ledger"), Position(100))]
        recorded = [event for event in records(101, 8_900) if event.source == "ledger"]
        assert [event for batch in own for event in batch.events] == [record.event for record in recorded]
        assert (own[-1].position, own[-1].cursor) == (recorded[-1].position, recorded[-1].cursor)
        assert max(len(batch.events) for batch in own) == 2_000
        facts = [batch async for batch in store.facts(("step.*", "task.#"), "scout", Position(10), Position(4_000))]
        assert [event for batch in facts for event in batch] == [
            event
            for event in records(11, 3_990)
            if event.event.wire_name.split(".")[0] in ("step", "task") and getattr(event.event, "agent", "") == "scout"
        ]


async def test_own_events_that_nobody_reads_to_the_end_are_let_go(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 9_000), {})
        async with aclosing(store.own_events(Address("agents/scout"), Position(0))) as own:
            async for batch in own:
                assert len(batch.events) == 2_000
                break
        assert await everything(store) == records(1, 9_000)


async def test_history_without_a_match_ends_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 10), {})
        assert [batch async for batch in store.own_events(Address("nobody"), Position(0))] == []
        assert [batch async for batch in store.facts(("x.*",), None, Position(0), Position(10))] == []
        assert [batch async for batch in store.facts(("#",), None, Position(10), Position(10))] == []


async def test_a_blob_is_there_with_its_event_and_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        content = os.urandom(100_000)
        (name,) = blob(content)
        with pytest.raises(NotFound):
            await store.blob(name)
        await write(store, records(1, 1), blob(content))
        await write(store, records(2, 1), blob(content))
        assert await store.blob(name) == content
        for wrong in (BlobId("00" * 32), BlobId("no hexadecimal")):
            with pytest.raises(NotFound):
                await store.blob(wrong)


async def test_questions_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        with pytest.raises(InvalidField):
            await store.read(ReadEvents(limit=0))
        with pytest.raises(InvalidField):
            await store.summarise(-1.0)


async def test_counts_and_sizes_are_those_of_what_was_written(tmp_path: Path) -> None:
    clock = VirtualClock(START_US + 14 * 10_000_000)
    async with opened(tmp_path, clock) as store:
        assert (await store.measure()).oldest == 0
        await write(store, records(1, 14), {})
        assert await store.count("step.completed") == (2, 14)
        assert await store.count("nothing") == (0, 14)
        size = await store.measure()
        assert size.oldest == 1
        assert size.size_bytes > 4_096
        assert (await store.summarise(60.0)).total == 14


async def test_a_directory_in_use_is_refused_by_the_pid_of_its_holder(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        with pytest.raises(DirectoryInUse) as refusal:
            async with opened(tmp_path):
                pass
        assert refusal.value.pid == os.getpid()
        await write(store, records(1, 1), {})


async def test_a_journal_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 5), {})
    path = tmp_path / "journal.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(UnknownSchema) as refusal:
        async with opened(tmp_path):
            pass
    assert (refusal.value.found, refusal.value.known) == (7, 2)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["blobs.sqlite", "keys.sqlite", "segments/0000000000000001.sqlite"])
async def test_any_file_of_a_newer_version_is_refused_by_its_name_and_left_alone(tmp_path: Path, name: str) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 5), blob(b"content"))
    path = tmp_path / name
    with closing(sqlite3.connect(path)) as connection:
        (known,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute("PRAGMA user_version = 7")
    before = path.read_bytes()
    with pytest.raises(UnknownSchema, match=path.name) as refusal:
        async with opened(tmp_path):
            pass
    assert (refusal.value.found, refusal.value.known) == (7, known)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database " * 400, b"SQLite format 3\x00" + b"\xff" * 8_000])
async def test_a_destroyed_journal_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(content)
    with pytest.raises(CorruptJournal, match="nothing was changed"):
        async with opened(tmp_path):
            pass
    assert path.read_bytes() == content


async def test_a_journal_whose_pages_are_damaged_never_gives_wrong_events(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 2_000), {})
    path = segment_path(tmp_path)
    content = bytearray(path.read_bytes())
    for start in range(40 * 4_096, len(content), 4_096):
        content[start : start + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(CorruptJournal):
        async with opened(tmp_path) as store:
            await everything(store)


async def test_a_journal_that_came_back_shorter_goes_on_in_a_new_epoch(tmp_path: Path) -> None:
    async with opened(tmp_path / "a") as store:
        await write(store, records(1, 10), {})
        assert store.epoch == 1
    shutil.copytree(tmp_path / "a", tmp_path / "old")
    async with opened(tmp_path / "a") as store:
        await write(store, records(11, 10), {})
    shutil.copy(segment_path(tmp_path / "old"), segment_path(tmp_path / "a"))
    async with opened(tmp_path / "a") as store:
        assert (store.head, store.epoch) == (10, 2)
        (warning,) = store.take_warnings()
        assert "position 20 of epoch 1 was reached before" in warning
        await write(store, records(11, 15), {})
        assert [store.holds(1, Position(10)), store.holds(1, Position(11)), store.holds(2, Position(20))] == [
            True,
            False,
            True,
        ]
    async with opened(tmp_path / "a") as store:
        assert (store.head, store.epoch, store.take_warnings()) == (25, 2, ())


async def test_a_journal_that_is_gone_begins_a_new_epoch(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 10), {})
    (tmp_path / "journal.sqlite").unlink()
    shutil.rmtree(tmp_path / "segments")
    async with opened(tmp_path) as store:
        assert (store.head, store.epoch) == (0, 2)
        assert not store.holds(1, Position(5))
        assert len(store.take_warnings()) == 1


async def test_a_torn_mark_is_a_warning(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 10), {})
    (tmp_path / "journal.mark").write_bytes(b"{")
    async with opened(tmp_path) as store:
        assert (store.head, store.epoch) == (10, 1)
        assert "cannot be read" in store.take_warnings()[0]


@pytest.mark.parametrize("share", [0.5, 1.0], ids=["in the middle", "the last commit alone"])
async def test_a_torn_write_ahead_log_restores_a_prefix_and_is_noticed(tmp_path: Path, share: float) -> None:
    async with opened(tmp_path / "a") as store:
        for _ in range(20):
            await write(store, records(store.head + 1, 5), {})
        shutil.copytree(tmp_path / "a", tmp_path / "torn")  # what a kill leaves
    wal = segment_path(tmp_path / "torn").with_name("0000000000000001.sqlite-wal")
    content = bytearray(wal.read_bytes())
    end = round(share * len(content))
    content[end - 2_000 : end] = bytes(2_000)
    wal.write_bytes(content)
    async with opened(tmp_path / "torn") as store:
        assert 0 < store.head < 100
        assert store.head % 5 == 0
        assert store.epoch == 2
        assert "its end is lost" in store.take_warnings()[0]
        assert await everything(store) == records(1, store.head)
        await write(store, records(store.head + 1, 5), {})
        assert (await store.verify()).problem == ""


async def test_a_clock_that_steps_back_changes_neither_positions_nor_order(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 20), {})
        late = [record(position, time_us=START_US - 3_600_000_000) for position in range(21, 41)]
        await write(store, late, {})
        assert await everything(store) == [*records(1, 20), *late]
        page = await store.read(ReadEvents(until_us=START_US, limit=100))
        assert [event.position for event in page.events] == list(range(40, 20, -1))


async def test_reopening_tells_the_head_that_is_on_disk_and_reads_go_on(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        store.encode(records(1, 10), batch := Batch())
        await store.write(batch, {})
        assert await store.reopen() == 10
        assert (await store.read(ReadEvents())).head == 10
        await store.write(batch, {})
        await write(store, records(11, 10), {})
        assert await everything(store) == records(1, 20)


async def test_a_write_whose_caller_is_gone_still_lands_whole(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        store.encode(records(1, 3_000), batch := Batch())
        task = asyncio.create_task(store.write(batch, {}))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await store.reopen() in (0, 3_000)
        await store.write(batch, {})
        await write(store, records(3_001, 5), {})
        assert (await store.verify()).problem == ""


@pytest.mark.slow
async def test_killed_at_any_moment_nothing_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    for kill in range(6):
        acknowledged = await asyncio.to_thread(_write_and_kill, tmp_path, after_lines=1 + kill * 7)
        async with opened(tmp_path) as store:
            assert store.head >= acknowledged
            assert store.epoch == 1
            assert await everything(store) == records(1, store.head)
            assert (await store.verify()).problem == ""


@pytest.mark.slow
async def test_a_full_disk_loses_nothing_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    mounted = await asyncio.to_thread(
        subprocess.run,
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(tmp_path)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        filling = tmp_path / "filling"
        filling.write_bytes(bytes(3_000_000))
        async with opened(tmp_path / "data") as store:
            unwritten = await _written_until_full(store)
            head = store.head
            assert head > 0
            assert (await store.read(ReadEvents(limit=1))).head == head
            filling.unlink()
            assert await store.reopen() == head
            await store.write(unwritten, {})
            await write(store, records(head + 501, 500), {})
            assert await everything(store) == records(1, head + 1_000)
            assert (await store.verify()).problem == ""
    finally:
        await asyncio.to_thread(subprocess.run, ["umount", str(tmp_path)], check=True)


async def test_a_store_that_cannot_be_opened_again_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path / "a") as store:
        await write(store, records(1, 3), {})
        (tmp_path / "a").rename(tmp_path / "b")
        with pytest.raises(StorageError):
            await store.reopen()
        store.encode(records(4, 1), batch := Batch())
        with pytest.raises(StorageError, match="closed"):
            await store.write(batch, {})
        (tmp_path / "b").rename(tmp_path / "a")
        assert await store.reopen() == 3
        await store.write(batch, {})


async def _written_until_full(store: EventStore) -> Batch:
    """Write until there is no room; the batch for which there was none."""
    while True:
        store.encode(records(store.head + 1, 500), batch := Batch())
        try:
            await store.write(batch, {})
        except DiskFull:
            return batch


def _write_and_kill(directory: Path, *, after_lines: int) -> int:
    """Start the writer, kill it after some acknowledgements; the last head that it acknowledged."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.storage.writer", "events", str(directory)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(after_lines)]
        process.kill()
        rest = process.stdout.read().splitlines()
    complete = [line for line in (*lines, *rest) if line.strip().isdigit()]
    return int(complete[-1])


def test_the_catalogue_has_every_event_that_these_tests_use() -> None:
    assert {event.event.wire_name for event in records(1, 7)} <= set(CATALOGUE.names)
