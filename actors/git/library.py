"""The library: the repository that a society has of its own, for what its agents propose to keep.

Rules: it is made when it is first needed, with one commit, so that there is a branch to change; made halfway by a
crash, it is made again. A repository that a person called `library` in the settings takes its place.
"""

import shutil
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from actors.git.command import git

LIBRARY: Final = "library"
README: Final = "# Library\n\nWhat agents proposed and people approved.\n"
_WHO = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "Agora"), ("EMAIL", "agora@localhost"), ("DATE", "1750000000 +0000"))
}


async def found_library(path: Path, *, timeout_s: float) -> None:
    """Make the repository if it is not there. Raises ChangeRefused."""
    if await anyio.Path(path / ".git").exists():
        return
    draft = path.with_name(f"{path.name}.founding")
    await anyio.to_thread.run_sync(_prepare, draft)
    for arguments in (("init", "--quiet", "-b", "main"), ("add", "README.md"), ("commit", "--quiet", "-m", "Found")):
        await git(draft, *arguments, timeout_s=timeout_s, environment=_WHO)
    await anyio.Path(draft).rename(path)


def _prepare(draft: Path) -> None:
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    (draft / "README.md").write_text(README, encoding="utf-8")
