"""Run the checks of a change in a detached working tree of the merged tree.

Rules: the tree is the one that will be applied, not the branch's; nothing that is checked out elsewhere is touched. The
checks run under a warden (`actors/git/warden.py`) with a clean environment and hooks off, for a bounded time, and what
they began ends with them. Only their exit code judges; of their output the last part is kept. A working tree is no
sandbox: the checks run with the rights of this process.
"""

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from actors.git import warden
from actors.git.command import Ended, git, run
from actors.git.repository import Repository

WARDEN = Path(warden.__file__)
WARDEN_MORE_S = 10.0
"""What the warden may take beyond the time of the checks, to end what they began."""
REMOVAL_S = 30.0


class Checked(msgspec.Struct, frozen=True):
    """How checks ended."""

    exit_code: int
    took_ms: int
    output: bytes
    reason: str


async def check(
    repository: Repository,
    commit: str,
    command: Sequence[str],
    *,
    at: Path,
    timeout_s: float,
    output_max: int,
    heard: Callable[[bytes], None] | None = None,
) -> Checked:
    """Run the checks of a commit in a working tree `at` a path that is theirs. Raises ChangeRefused."""
    started = time.monotonic()
    try:
        await _remove(repository, at)  # what a crash may have left
        await anyio.Path(at.parent).mkdir(parents=True, exist_ok=True)
        await git(repository.path, "worktree", "add", "--detach", "--force", str(at), commit, timeout_s=timeout_s)
        ended = await run(
            (sys.executable, "-I", str(WARDEN), f"{timeout_s:g}", *command),
            cwd=at,
            timeout_s=timeout_s + WARDEN_MORE_S,
            environment={"HOME": str(at.parent), "GIT_CONFIG_COUNT": "1", **_HOOKS_OFF},
            output_max=output_max,
            heard=heard,
        )
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(REMOVAL_S):
            await _remove(repository, at)
    reason = ended.reason
    if ended.exit_code == warden.TIME_OVER and not reason:
        reason = f"the checks were still running after {timeout_s:g} s"
    return Checked(ended.exit_code, round((time.monotonic() - started) * 1_000), _said(ended), reason)


_HOOKS_OFF = {"GIT_CONFIG_KEY_0": "core.hooksPath", "GIT_CONFIG_VALUE_0": "/dev/null"}


def _said(ended: Ended) -> bytes:
    return ended.output + ended.errors


async def _remove(repository: Repository, at: Path) -> None:
    timeout_s = repository.timeout_s
    await git(
        repository.path, "worktree", "remove", "--force", "--force", str(at), timeout_s=timeout_s, may_fail=(128,)
    )
    await anyio.to_thread.run_sync(lambda: shutil.rmtree(at, ignore_errors=True))
    await git(repository.path, "worktree", "prune", timeout_s=timeout_s)
