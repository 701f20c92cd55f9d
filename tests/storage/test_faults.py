"""Real crashes and real I/O errors, at chosen writes and syncs of the database, in a process of its own."""

import asyncio
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from storage.checkpoints import CHECKPOINTS_NAME, CheckpointStore
from tests.storage.power_cuts import Disk, Operation, read_record
from tests.storage.shims import needs_a_compiler, shim
from tests.storage.support import everything, naming, opened
from tests.storage.writer import BATCH_SIZES, SEGMENT_EVENTS

ROOT = Path(__file__).resolve().parents[2]
BATCHES = 24
ALL = sum(BATCH_SIZES) * BATCHES // len(BATCH_SIZES)
"""Events of a whole run."""
CHECKPOINTS = 6
AT_ONCE = 3
"""Processes beside each other."""
RUN_TIMEOUT_S = 60.0


class Run:
    """One process on a failing disk: what it acknowledged, and how it ended."""

    def __init__(self, library: Path, directory: Path, fault: str, *words: str) -> None:
        counted, traced = directory.with_suffix(".count"), directory.with_suffix(".trace")
        traced.unlink(missing_ok=True)
        kind, *rest = words or ("log", str(BATCHES))
        shimmed = {"LD_PRELOAD": str(library), "FAULT": fault, "FAULT_COUNT": str(counted), "FAULT_TRACE": str(traced)}
        process = subprocess.run(
            [sys.executable, "-m", "tests.storage.writer", kind, str(directory), *rest],
            cwd=ROOT,
            env={**os.environ, **shimmed},
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT_S,
            check=False,
        )
        lines = [int(line) for line in process.stdout.splitlines() if line.isdigit()]
        self.acknowledged = lines[-1] if lines else 0
        self.status = process.returncode
        self.errors = process.stderr
        self.operations = int(counted.read_text()) if counted.exists() else 0
        self.trace = traced.read_text().splitlines() if traced.exists() else []
        self.hit = next((line.removeprefix("hit ") for line in self.trace if line.startswith("hit ")), "")
        """What met the fault: "write" or "sync", and the name of the file."""


async def _prove(directory: Path, acknowledged: int, what: str) -> None:
    """A journal that is left is whole, and has all that was acknowledged."""
    async with opened(directory, segment_events=SEGMENT_EVENTS) as store:
        found = await store.verify()
        assert found.problem == "", (what, found)
        assert store.head >= acknowledged, what
        assert store.epoch == 1, (what, store.take_warnings())
        assert await everything(store) == naming(1, store.head)[0], what


async def _prove_checkpoints(directory: Path, acknowledged: int, what: str) -> None:
    """The checkpoints that are left are sound, and all that was acknowledged is there."""
    async with CheckpointStore.open(directory) as store:
        findings = await store.verify()
        newest = await store.load_newest()
        assert store.take_warnings() == (), what
    assert all(finding.problem == "" for finding in findings), (what, findings)
    assert (newest.view.position if newest is not None else 0) >= acknowledged, what


async def _survivors(library: Path, directory: Path, faults: Sequence[str], *words: str) -> list[Run]:
    """Run them all, and prove what each has left."""
    prove = _prove_checkpoints if "checkpoints" in words else _prove
    room = anyio.Semaphore(AT_ONCE)
    runs: list[Run] = []

    async def one(number: int, fault: str) -> None:
        async with room:
            data = directory / f"{number}"
            run = await anyio.to_thread.run_sync(Run, library, data, fault, *words)
            await prove(data, run.acknowledged, f"{fault} {run.errors}")
            await anyio.to_thread.run_sync(shutil.rmtree, data)
            runs.append(run)

    async with asyncio.TaskGroup() as tasks:
        for number, fault in enumerate(faults):
            tasks.create_task(one(number, fault))
    return runs


def _recorded(directory: Path) -> tuple[Path, list[Operation]]:
    """A run on a disk that is sound, and all that it did to its files."""
    root, record = directory / "root", directory / "record"
    root.mkdir()
    library = shim(directory, "trace")
    subprocess.run(
        [sys.executable, "-m", "tests.storage.writer", "log", str(root / "data"), str(BATCHES)],
        cwd=ROOT,
        env={**os.environ, "LD_PRELOAD": str(library), "TRACE": str(record), "TRACE_ROOT": str(root)},
        stdout=subprocess.DEVNULL,
        timeout=RUN_TIMEOUT_S,
        check=True,
    )
    return root, read_record(record)


async def _prove_cuts(directory: Path, cuts: int | None, seed: int) -> None:
    """Cut the power after so many operations of a run, or after each, and prove what is left."""
    root, operations = await anyio.to_thread.run_sync(_recorded, directory)
    moments = range(len(operations))
    chosen = set(moments if cuts is None else random.Random(seed).sample(moments, cuts))
    disk = Disk(root)
    for number, operation in enumerate(operations):
        disk.do(operation)
        if number in chosen:
            left = directory / "left"
            await anyio.to_thread.run_sync(disk.cut, left, random.Random(f"{seed}/{number}"))
            await _prove(left / "data", disk.acknowledged, f"cut {seed}/{number}, after {operation.kind}")
            await anyio.to_thread.run_sync(shutil.rmtree, left)
    assert disk.acknowledged == ALL


async def _whole(library: Path, directory: Path, *words: str) -> Run:
    """A run without a fault."""
    run = await anyio.to_thread.run_sync(Run, library, directory / "whole", "none:0", *words)
    assert run.status == 0, run.errors
    return run


def _moments(run: Run, dice: random.Random, count: int) -> list[int]:
    """Numbers of operations, some of any and as many of the syncs, which are few."""
    syncs = [number for number, line in enumerate(run.trace, 1) if line.startswith("sync ")]
    return [dice.choice(syncs) if number % 2 else dice.randint(1, run.operations) for number in range(count)]


@needs_a_compiler
@pytest.mark.slow
async def test_killed_in_a_hundred_writes_and_syncs_nothing_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    library = await anyio.to_thread.run_sync(shim, tmp_path)
    whole = await _whole(library, tmp_path)
    moments = _moments(whole, random.Random(4), 100)
    runs = await _survivors(library, tmp_path, [f"kill:{moment}" for moment in moments])
    assert sum(run.status == -9 for run in runs) > 80
    hit = Counter(run.hit.split(" ")[0] for run in runs)
    assert min(hit["write"], hit["sync"]) > 20, hit


@needs_a_compiler
@pytest.mark.slow
async def test_an_io_error_in_a_write_or_a_sync_is_overcome_or_ends_the_process(tmp_path: Path) -> None:
    library = await anyio.to_thread.run_sync(shim, tmp_path)
    whole = await _whole(library, tmp_path)
    moments = _moments(whole, random.Random(5), 40)
    runs = await _survivors(library, tmp_path, [f"eio:{moment}" for moment in moments])
    overcome = [run for run in runs if run.status == 0]
    assert {run.acknowledged for run in overcome} == {ALL}, "what is overcome is acknowledged to the end"
    assert len(overcome) > 20
    assert sum("it is opened again" in run.errors for run in overcome) > 10, "by opening it again, as a rule"
    assert all(run.errors for run in runs if run.status)
    hit = Counter(run.hit.split(" ")[0] for run in runs)
    assert min(hit["write"], hit["sync"]) > 3, hit


@needs_a_compiler
@pytest.mark.long
async def test_killed_in_every_write_and_sync_a_thousand_times_nothing_that_was_acknowledged_is_lost(
    tmp_path: Path,
) -> None:
    library = await anyio.to_thread.run_sync(shim, tmp_path)
    last = (await _whole(library, tmp_path)).operations
    dice = random.Random(6)
    moments = [*range(1, last + 1), *(dice.randint(1, last) for _ in range(1_000 - last))]
    await _survivors(library, tmp_path, [f"kill:{moment}" for moment in moments])


@needs_a_compiler
@pytest.mark.slow
async def test_a_hundred_power_cuts_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    await _prove_cuts(tmp_path, 100, seed=7)


@needs_a_compiler
@pytest.mark.long
@pytest.mark.parametrize("seed", [8, 9])
async def test_a_power_cut_after_any_operation_loses_nothing_that_was_acknowledged(tmp_path: Path, seed: int) -> None:
    await _prove_cuts(tmp_path, None, seed=seed)


@needs_a_compiler
@pytest.mark.slow
async def test_killed_or_failing_in_any_write_or_sync_of_a_checkpoint_all_that_are_there_are_sound(
    tmp_path: Path,
) -> None:
    library = await anyio.to_thread.run_sync(shim, tmp_path)
    last = (await _whole(library, tmp_path, "checkpoints", str(CHECKPOINTS))).operations
    dice = random.Random(7)
    faults = [f"{kind}:{dice.randint(1, last)}" for kind in ("kill", "eio") for _ in range(20)]
    runs = await _survivors(library, tmp_path, faults, "checkpoints", str(CHECKPOINTS))
    assert sum(run.status == -9 for run in runs) > 15
    assert sum(run.acknowledged == CHECKPOINTS for run in runs) > 10, "a save that failed is tried again"


@needs_a_compiler
@pytest.mark.slow
async def test_what_a_kill_left_in_the_log_of_the_checkpoints_is_synced_before_anything_rests_on_it(
    tmp_path: Path,
) -> None:
    library = await anyio.to_thread.run_sync(shim, tmp_path)
    last = (await _whole(library, tmp_path, "checkpoints", str(CHECKPOINTS))).operations
    data = tmp_path / "killed"
    words = ("checkpoints", str(CHECKPOINTS))
    killed = await anyio.to_thread.run_sync(Run, library, data, f"kill:{last * 3 // 4}", *words)
    log = CHECKPOINTS_NAME + "-wal"
    assert killed.status == -9
    assert (data / log).stat().st_size > 0
    other = await anyio.to_thread.run_sync(shutil.copytree, data, tmp_path / "failing")
    sound = await anyio.to_thread.run_sync(Run, library, data, "none:0", "open")
    assert sound.status == 0, sound.errors
    assert sound.acknowledged == min(3, killed.acknowledged), "those that were acknowledged are there"
    synced, copied = sound.trace.index(f"sync {log}"), sound.trace.index(f"write {CHECKPOINTS_NAME}")
    assert synced < copied < sound.trace.index(f"sync {CHECKPOINTS_NAME}")
    failing = await anyio.to_thread.run_sync(Run, library, other, f"eio:{synced + 1}", "open")
    assert failing.trace[: synced + 1] == sound.trace[: synced + 1]
    assert failing.status == 1, "what could not be synced is not used"
    assert "DatabaseFailed" in failing.errors
