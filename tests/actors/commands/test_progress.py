"""A bar is shown to people, and nothing to machines."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import anyio.to_thread
import pytest

from actors.commands.progress import progress
from tests.storage.support import opened, records, write
from tests.support.inside import shell_at

EVENTS = 3_000
TIMEOUT_S = 60.0


def test_where_nobody_looks_nothing_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with progress(shell_at(tmp_path), "events") as step:
        step(1, 10)
        step(10, 10)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


def _verified(data: Path, err: int) -> subprocess.CompletedProcess[bytes]:
    """What `agora verify` prints, its errors and its bar going elsewhere."""
    return subprocess.run(
        [sys.executable, "-m", "actors.main", "--data", str(data), "verify"],
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=err,
        timeout=TIMEOUT_S,
        check=True,
    )


def _seen(terminal: int) -> bytes:
    """All that was written to a terminal that nobody has open any more."""
    seen = bytearray()
    try:
        while some := os.read(terminal, 65_536):
            seen += some
    except OSError:  # how a terminal says that its other end is closed
        pass
    return bytes(seen)


@pytest.mark.slow
async def test_on_a_terminal_a_bar_is_drawn_comes_to_its_end_and_goes(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, EVENTS), {})
    terminal, theirs = pty.openpty()
    try:
        done = await anyio.to_thread.run_sync(_verified, tmp_path, theirs)
    finally:
        os.close(theirs)
    seen = await anyio.to_thread.run_sync(_seen, terminal)
    os.close(terminal)
    assert done.stdout.decode() == f"{EVENTS} events and 0 blobs are as they were written\n"
    assert "events" in seen.decode()
    assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" in seen.decode(), "the bar"
    assert f"{EVENTS}/{EVENTS}" in seen.decode(), "it came to its end"
    assert seen.index(b"\x1b[?25l") < seen.index(b"\x1b[?25h"), "the cursor was hidden, and is there again"
    assert seen.rstrip().endswith(b"\x1b[2K"), "nothing is left of it"


@pytest.mark.slow
async def test_what_is_no_terminal_gets_no_bar_and_no_control_characters(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, EVENTS), {})
    done = await anyio.to_thread.run_sync(_verified, tmp_path, subprocess.PIPE)
    assert done.stderr == b""
    assert b"\x1b" not in done.stdout
