"""A process that applies a change is killed at every call of git: before it, while git goes on alone, and after it.

Whatever the moment, the branch is exactly before or exactly after, git finds nothing wrong, and applying again ends it.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from actors.git.repository import Repository, Told
from bus.messages.approvals import Change, Target
from tests.house.tree import ROOT
from tests.support.repositories import Sandbox

pytestmark = pytest.mark.slow

TOLD = Told("Change\n", 1_750_000_000_000_000)
WAIT_MAX_S = 30.0
GIT = """#!/bin/sh
echo >> {count}
if [ "$(wc -l < {count})" -ne {step} ]; then exec {git} "$@"; fi
{kill}
touch {done}
"""
KILLS = {"before": "kill -9 $PPID", "alone": '{git} "$@" & kill -9 $PPID; wait', "after": '{git} "$@"; kill -9 $PPID'}
PROGRAM = """
import sys
from pathlib import Path
import anyio, msgspec
from actors.git.repository import Repository, Told
from bus.messages.approvals import Change
path, words, text = sys.argv[1:]
told, change = msgspec.json.decode(words, type=Told), msgspec.json.decode(text, type=Change)
anyio.run(Repository(Path(path), timeout_s=30.0, diff_bytes_max=10**6).apply, "main", change, told)
"""


async def worked_out(sandbox: Sandbox) -> Change:
    target = Target("r", "main", "feature")
    change, _ = await repository(sandbox).work_out(target, b"", TOLD)
    return change


def repository(sandbox: Sandbox) -> Repository:
    return Repository(sandbox.path, timeout_s=30.0, diff_bytes_max=1_000_000)


def applied(path: Path, sandbox: Sandbox, change: Change, *, step: int, kill: str) -> bool:
    """Apply in a process of its own that dies at one of its calls of git. Whether there was such a call."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    git = shutil.which("git")
    assert git is not None
    words = GIT.format(count=path / "count", step=step, git=git, kill=KILLS[kill].format(git=git), done=path / "done")
    (path / "git").write_text(words)
    (path / "git").chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{path}:{os.environ['PATH']}"}
    arguments = [str(sandbox.path), encoded(TOLD), encoded(change)]
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], env=environment)
    code = process.wait(WAIT_MAX_S)
    if code == 0:
        return False
    assert code == -9
    deadline_s = time.monotonic() + WAIT_MAX_S
    while not (path / "done").exists():
        assert time.monotonic() < deadline_s
    return True


def encoded(value: Told | Change) -> str:
    return msgspec.json.encode(value).decode()


@pytest.mark.parametrize("kill", KILLS)
async def test_a_kill_at_any_call_of_git_leaves_the_branch_before_or_after_and_the_next_try_ends_it(
    tmp_path: Path, kill: str
) -> None:
    sandbox = Sandbox(tmp_path / "r")
    change = await worked_out(sandbox)
    before, after = sandbox.tip(), await repository(sandbox).commit(change, TOLD)
    tips = []
    step = 1
    while applied(tmp_path / "bin", sandbox, change, step=step, kill=kill):
        tips.append(sandbox.tip())
        assert tips[-1] in (before, after)
        assert sandbox.is_whole()
        assert await repository(sandbox).apply("main", change, TOLD) == after
        assert (sandbox.tip(), sandbox.status(), sandbox.is_whole()) == (after, "", True)
        sandbox.git("reset", "-q", "--hard", before)
        step += 1
    assert {before, after} == set(tips), "some were killed before the branch moved, and some after"
    assert len(tips) >= 8
