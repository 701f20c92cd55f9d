"""Checks run in the merged tree, bounded, and leave nothing behind."""

import os
import sys
from pathlib import Path

import pytest

from actors.git.checks import Checked, check
from actors.git.repository import Repository, Told
from actors.git.warden import descendants
from bus.messages.approvals import Target
from tests.support.repositories import Sandbox

TOLD = Told("Change\n", 1_750_000_000_000_000)


async def checked(tmp_path: Path, code: str, *, timeout_s: float = 30.0, output_max: int = 10_000) -> Checked:
    sandbox = Sandbox(tmp_path / "r")
    sandbox.write("c.txt", "only in main\n")
    sandbox.commit("main goes on")
    repository = Repository(sandbox.path, timeout_s=30.0, diff_bytes_max=100_000)
    change, _ = await repository.work_out(Target("r", "main", "feature"), b"", TOLD)
    commit = await repository.commit(change, TOLD)
    result = await check(
        repository,
        commit,
        (sys.executable, "-I", "-c", code),
        at=tmp_path / "work" / "p-1",
        timeout_s=timeout_s,
        output_max=output_max,
    )
    assert not (tmp_path / "work" / "p-1").exists()
    assert sandbox.git("worktree", "list").count("\n") == 0
    assert (sandbox.status(), sandbox.is_whole()) == ("", True)
    return result


async def test_checks_see_the_merged_tree_and_not_only_the_head(tmp_path: Path) -> None:
    code = "print(open('new.txt').read(), open('c.txt').read(), open('a.txt').read())"
    result = await checked(tmp_path, code)
    assert (result.exit_code, result.reason) == (0, "")
    assert result.output == b"new\n only in main\n one\n2\nthree\n\n"


async def test_only_the_exit_code_counts_whatever_is_said(tmp_path: Path) -> None:
    result = await checked(tmp_path, "print('100 passed'); raise SystemExit(1)")
    assert result.exit_code == 1
    assert result.output == b"100 passed\n"


async def test_a_check_that_hangs_is_ended_with_the_reason(tmp_path: Path) -> None:
    result = await checked(tmp_path, "import time; time.sleep(600)", timeout_s=0.5)
    assert result.reason == "the checks were still running after 0.5 s"


async def test_a_check_that_talks_without_end_is_ended(tmp_path: Path) -> None:
    result = await checked(tmp_path, "while True: print('x' * 1000)", output_max=5_000)
    assert "more than 5000 bytes" in result.reason


async def test_what_a_check_leaves_running_ends_with_it(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = f"""
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open({str(pid_file)!r}, 'w').write(str(os.getpid()))
        time.sleep(600)
    os._exit(0)
while not os.path.exists({str(pid_file)!r}) or not open({str(pid_file)!r}).read():
    time.sleep(0.01)
"""
    result = await checked(tmp_path, code)
    assert result.exit_code == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


async def test_a_check_that_forks_without_end_is_ended(tmp_path: Path) -> None:
    code = """
import os, time
for _ in range(40):
    if os.fork() == 0:
        os.setsid()
        while True:
            time.sleep(0.01)
time.sleep(600)
"""
    result = await checked(tmp_path, code, timeout_s=1.0)
    assert result.reason == "the checks were still running after 1 s"


async def test_a_working_tree_that_a_crash_left_is_in_nobodys_way(tmp_path: Path) -> None:
    left = tmp_path / "work" / "p-1"
    left.mkdir(parents=True)
    (left / "old.txt").write_text("old")
    assert (await checked(tmp_path, "import os; print(os.path.exists('old.txt'))")).output == b"False\n"


async def test_a_check_knows_no_secrets_of_its_parent(tmp_path: Path) -> None:
    result = await checked(tmp_path, "import os; print('VIRTUAL_ENV' in os.environ, os.environ['GIT_CONFIG_VALUE_0'])")
    assert result.output == b"False /dev/null\n"


def test_descendants_of_nobody_are_none() -> None:
    assert descendants(2**22 + 1) == []
