"""Real git repositories for tests, small and quick."""

import os
import subprocess
from pathlib import Path

IDENTITY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "Test"), ("EMAIL", "test@localhost"), ("DATE", "1750000000 +0000"))
}
ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "LC_ALL": "C.UTF-8",
    **IDENTITY,
}


class Sandbox:
    """A repository with a branch `main` and a branch `feature`, which adds `new.txt` and changes `a.txt`."""

    def __init__(self, path: Path, *, is_bare: bool = False) -> None:
        self.path = path
        work = path if not is_bare else path.parent / f"{path.name}-work"
        work.mkdir(parents=True)
        self.work = work
        self.git("init", "-q", "-b", "main")
        self.write("a.txt", "one\ntwo\nthree\n")
        self.write("docs/b.txt", "beta\n")
        self.commit("first")
        self.git("checkout", "-q", "-b", "feature")
        self.write("a.txt", "one\n2\nthree\n")
        self.write("new.txt", "new\n")
        self.commit("feature")
        self.git("checkout", "-q", "main")
        if is_bare:
            subprocess.run(["git", "clone", "-q", "--bare", str(work), str(path)], env=ENVIRONMENT, check=True)
            self.work = path

    def git(self, *arguments: str) -> str:
        """Run git and return what it says."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.work, env=ENVIRONMENT, check=True, capture_output=True, text=True, timeout=60
        )
        return done.stdout.strip()

    def write(self, name: str, text: str) -> None:
        """Write a file of the working tree."""
        file = self.work / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def commit(self, message: str) -> str:
        """Commit everything in the working tree."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    def tip(self, branch: str = "main") -> str:
        """Where a branch stands."""
        return self.git("rev-parse", f"refs/heads/{branch}")

    def status(self) -> str:
        """What is changed in the working tree."""
        return self.git("status", "--porcelain")

    def is_whole(self) -> bool:
        """Whether git finds nothing wrong with it; dangling objects are no fault."""
        done = subprocess.run(
            ["git", "fsck", "--strict", "--no-dangling"],
            cwd=self.work,
            env=ENVIRONMENT,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode == 0 and not done.stdout.strip()
