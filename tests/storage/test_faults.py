"""Real crashes and real I/O errors, at chosen writes and syncs of the database, in a process of its own."""

import asyncio
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tests.storage.support import everything, opened, told
from tests.storage.writer import SEGMENT_EVENTS

ROOT = Path(__file__).resolve().parents[2]
BATCHES = 24
AT_ONCE = 3
"""Processes beside each other."""
RUN_TIMEOUT_S = 60.0

needs_a_compiler = pytest.mark.skipif(shutil.which("gcc") is None, reason="the failing disk is written in C")


def _shim(directory: Path) -> Path:
    library = directory / "faults.so"
    source = Path(__file__).parent / "faults.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library


class Run:
    """One process on a failing disk: what it acknowledged, and how it ended."""

    def __init__(self, shim: Path, directory: Path, fault: str) -> None:
        counted = directory.with_suffix(".count")
        process = subprocess.run(
            [sys.executable, "-m", "tests.storage.writer", "log", str(directory), str(BATCHES)],
            cwd=ROOT,
            env={**os.environ, "LD_PRELOAD": str(shim), "FAULT": fault, "FAULT_COUNT": str(counted)},
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


async def _survivors(shim: Path, directory: Path, faults: Sequence[str]) -> list[Run]:
    """Run them all, and prove each journal that is left."""
    room = anyio.Semaphore(AT_ONCE)
    runs: list[Run] = []

    async def one(number: int, fault: str) -> None:
        async with room:
            data = directory / f"{number}"
            run = await anyio.to_thread.run_sync(Run, shim, data, fault)
            async with opened(data, segment_events=SEGMENT_EVENTS) as store:
                found = await store.verify()
                assert found.problem == "", (fault, found, run.errors)
                assert store.head >= run.acknowledged, (fault, run.errors)
                assert store.epoch == 1, (fault, store.take_warnings())
                assert await everything(store) == told(1, store.head), fault
            await anyio.to_thread.run_sync(shutil.rmtree, data)
            runs.append(run)

    async with asyncio.TaskGroup() as tasks:
        for number, fault in enumerate(faults):
            tasks.create_task(one(number, fault))
    return runs


async def _operations(shim: Path, directory: Path) -> int:
    run = await anyio.to_thread.run_sync(Run, shim, directory / "whole", "none:0")
    assert run.status == 0, run.errors
    return run.operations


@needs_a_compiler
@pytest.mark.slow
async def test_killed_in_a_hundred_writes_and_syncs_nothing_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    shim = await anyio.to_thread.run_sync(_shim, tmp_path)
    last = await _operations(shim, tmp_path)
    dice = random.Random(4)
    runs = await _survivors(shim, tmp_path, [f"kill:{dice.randint(1, last)}" for _ in range(100)])
    assert sum(run.status == -9 for run in runs) > 80


@needs_a_compiler
@pytest.mark.slow
async def test_an_io_error_in_a_write_or_a_sync_is_overcome_or_ends_the_process(tmp_path: Path) -> None:
    shim = await anyio.to_thread.run_sync(_shim, tmp_path)
    last = await _operations(shim, tmp_path)
    dice = random.Random(5)
    runs = await _survivors(shim, tmp_path, [f"eio:{dice.randint(1, last)}" for _ in range(40)])
    overcome = [run for run in runs if run.status == 0]
    assert all("could not be written" in run.errors or run.acknowledged for run in overcome)
    assert len(overcome) > 20
    assert all(run.errors for run in runs if run.status)


@needs_a_compiler
@pytest.mark.long
async def test_killed_in_a_thousand_writes_and_syncs_nothing_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    shim = await anyio.to_thread.run_sync(_shim, tmp_path)
    last = await _operations(shim, tmp_path)
    dice = random.Random(6)
    await _survivors(shim, tmp_path, [f"kill:{dice.randint(1, last)}" for _ in range(1_000)])
