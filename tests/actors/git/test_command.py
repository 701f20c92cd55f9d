"""Programs outside are bounded and leave nothing behind."""

import asyncio
import gc
import os
import sys
from pathlib import Path

import pytest

from actors.git.command import clean_environment, git, run
from bus.refusals import ChangeRefused


async def python(
    code: str, *, timeout_s: float = 20.0, output_max: int = 10_000, stdin: bytes = b""
) -> tuple[int, bytes, str]:
    command = (sys.executable, "-I", "-c", code)
    ended = await run(command, cwd=Path("/"), timeout_s=timeout_s, stdin=stdin, output_max=output_max)
    return ended.exit_code, ended.output, ended.reason


async def test_a_program_says_what_it_says_and_ends_with_its_code() -> None:
    assert await python("import sys; print(sys.stdin.read()); sys.exit(3)", stdin=b"hello") == (3, b"hello\n", "")


async def test_a_program_that_hangs_is_killed_in_time() -> None:
    _, _, reason = await python("import time; time.sleep(600)", timeout_s=0.3)
    assert reason == "it was still running after 0.3 s"


async def test_a_program_that_never_stops_talking_is_killed() -> None:
    _, output, reason = await python("while True: print('x' * 1000)", output_max=5_000)
    assert reason == "it said more than 5000 bytes"
    assert len(output) == 5_000


async def test_a_program_that_does_not_read_what_it_is_given_may_end() -> None:
    assert await python("pass", stdin=b"x" * 1_000_000) == (0, b"", "")


async def test_a_program_that_is_not_there_is_refused() -> None:
    with pytest.raises(ChangeRefused, match="cannot be started"):
        await run(("/nonexistent/program",), cwd=Path("/"), timeout_s=1.0)


async def test_nothing_of_the_environment_is_passed_on() -> None:
    _, output, _ = await python("import os; print(sorted(os.environ))")
    names = output.decode()
    assert all(repr(name) in names for name in clean_environment())
    assert "VIRTUAL_ENV" not in names
    assert "KEY" not in names.replace("GIT_CONFIG_KEY", "")


async def test_git_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(ChangeRefused, match="git rev-parse ended with 128: fatal: not a git repository"):
        await git(tmp_path, "rev-parse", "HEAD", timeout_s=10.0)


async def test_what_a_program_says_is_heard_as_it_says_it() -> None:
    heard: list[bytes] = []
    code = "import sys; print('one', flush=True); print('two', file=sys.stderr, flush=True)"
    ended = await run((sys.executable, "-c", code), cwd=Path("/"), timeout_s=20.0, heard=heard.append)
    assert b"".join(sorted(heard)) == ended.output + ended.errors == b"one\ntwo\n"


async def test_a_run_that_is_cancelled_leaves_nothing_behind_wherever_it_stands() -> None:
    """As a job is cancelled, which no shield of its task keeps off; the second time is its actor's end."""
    for steps in range(60):
        at_work = asyncio.create_task(run(("sleep", "600"), cwd=Path("/"), timeout_s=60.0, stdin=b"x" * 1_000_000))
        for _ in range(steps):
            await asyncio.sleep(0)
        for _ in range(3):
            at_work.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await at_work
        assert children() == [], f"cancelled after {steps} steps"
    gc.collect()  # what was left open warns when it is let go, and a warning is an error


def children() -> list[str]:
    """The processes that this one has begun and that are there still."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
