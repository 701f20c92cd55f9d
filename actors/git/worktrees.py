"""The working trees of a repository that have a branch checked out, moved along with it.

Rules: a working tree with changes, or in the middle of a merge, is never touched. Advancing one that was interrupted is
gone on with, as long as every file is as before or as after. Untracked files stay; one in the way refuses.
"""

from pathlib import Path

from actors.git.command import git
from bus.refusals import ChangeRefused


async def worktrees_at(repository: Path, branch: str, *, timeout_s: float) -> list[Path]:
    """Where the branch is checked out. Raises ChangeRefused."""
    listing = (await git(repository, "worktree", "list", "--porcelain", "-z", timeout_s=timeout_s)).output
    found: list[Path] = []
    for record in listing.decode(errors="surrogateescape").split("\0\0"):
        lines = record.split("\0")
        is_gone = any(line.startswith("prunable") for line in lines)
        if f"branch refs/heads/{branch}" in lines and not is_gone:
            found.append(Path(lines[0].removeprefix("worktree ")))
    return found


async def check_clean(worktree: Path, old: str, new: str, *, timeout_s: float) -> None:
    """Refuse a working tree that could not be advanced. Raises ChangeRefused."""
    status = ("status", "--porcelain", "-z", "--untracked-files=no", "--ignore-submodules=none")
    changed = (await git(worktree, *status, timeout_s=timeout_s)).output
    if changed:
        names = ", ".join(line[3:].decode(errors="replace") for line in changed.split(b"\0")[:5] if line)
        raise ChangeRefused(f"the branch is checked out in {worktree.name} with changes: {names}")
    merging = ("rev-parse", "--verify", "--quiet", "MERGE_HEAD")
    if (await git(worktree, *merging, timeout_s=timeout_s, may_fail=(1,))).exit_code == 0:
        raise ChangeRefused(f"the branch is checked out in {worktree.name}, in the middle of a merge")
    await git(worktree, "read-tree", "-n", "-m", "-u", old, new, timeout_s=timeout_s)


async def advance(worktree: Path, old: str, new: str, *, timeout_s: float, is_clean: bool = False) -> None:
    """Bring the index and the files from one commit to the other. Raises ChangeRefused.

    With `is_clean` it was just seen at the old commit; else an earlier try may have done some of it, or all.
    """
    if not is_clean and await _stands_at(worktree, new, timeout_s):
        return  # git writes the index last: the files are there
    try:
        await git(worktree, "read-tree", "-m", "-u", old, new, timeout_s=timeout_s)
    except ChangeRefused:
        if not await _is_between(worktree, old, new, timeout_s):
            raise
        await git(worktree, "read-tree", "--reset", "-u", new, timeout_s=timeout_s)


async def _stands_at(worktree: Path, commit: str, timeout_s: float) -> bool:
    arguments = ("diff-index", "--cached", "--quiet", commit)
    return (await git(worktree, *arguments, timeout_s=timeout_s, may_fail=(1,))).exit_code == 0


async def _is_between(worktree: Path, old: str, new: str, timeout_s: float) -> bool:
    """Whether an interrupted checkout is all that is different: each file is as before or as after."""
    if not await _stands_at(worktree, old, timeout_s):
        return False
    await git(worktree, "update-index", "-q", "--refresh", timeout_s=timeout_s, may_fail=(1,))
    listing = await git(worktree, "diff-files", "--name-only", "-z", timeout_s=timeout_s)
    added = ("diff-tree", "-r", "--no-renames", "--name-only", "--diff-filter=A", "-z", old, new)
    names = {name for name in listing.output.split(b"\0") if name}
    names |= {name for name in (await git(worktree, *added, timeout_s=timeout_s)).output.split(b"\0") if name}
    return all([await _is_as_in(worktree, name.decode(errors="surrogateescape"), new, timeout_s) for name in names])


async def _is_as_in(worktree: Path, name: str, commit: str, timeout_s: float) -> bool:
    """Whether a file has the content that the commit gives it, or is absent."""
    found = await git(worktree, "hash-object", "--", name, timeout_s=timeout_s, may_fail=(128,))
    wanted = await git(
        worktree, "rev-parse", "--verify", "--quiet", f"{commit}:{name}", timeout_s=timeout_s, may_fail=(1, 128)
    )
    if found.exit_code != 0:
        return True
    return wanted.exit_code == 0 and found.output == wanted.output
