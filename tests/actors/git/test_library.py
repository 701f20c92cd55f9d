"""The library is made when it is needed, once, and whole."""

from pathlib import Path

from actors.git.changes import Changes, ChangesOptions, RepositoryOptions
from actors.git.command import git
from actors.git.library import README, found_library
from bus.messages.approvals import Target
from tests.support.repositories import Sandbox

MAIN = Target("library", "main")


async def said(path: Path, *arguments: str) -> str:
    return (await git(path, *arguments, timeout_s=20.0)).output.decode().strip()


async def test_it_is_made_with_one_commit_and_left_as_it_is_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "library"
    await found_library(path, timeout_s=20.0)
    first = await said(path, "rev-parse", "main")
    (path / "mine.txt").write_text("kept")
    await found_library(path, timeout_s=20.0)
    assert await said(path, "rev-parse", "main") == first
    assert (path / "mine.txt").read_text() == "kept"
    assert (path / "README.md").read_text() == README


async def test_what_a_crash_left_halfway_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "library.founding").mkdir()
    (tmp_path / "library.founding" / "rest").write_text("x")
    await found_library(tmp_path / "library", timeout_s=20.0)
    assert await said(tmp_path / "library", "status", "--porcelain") == ""
    assert not (tmp_path / "library" / "rest").exists()


async def test_it_is_there_without_configuration_and_a_persons_own_takes_its_place(tmp_path: Path) -> None:
    ours = Changes(ChangesOptions(), tmp_path / "data" / "checks")
    assert await ours.read(MAIN, "README.md") == README
    assert (tmp_path / "data" / "library" / ".git").exists()
    sandbox = Sandbox(tmp_path / "r")
    options = ChangesOptions((RepositoryOptions("library", str(sandbox.path)),))
    own = Changes(options, tmp_path / "other" / "checks")
    assert await own.read(MAIN, "a.txt") == "one\ntwo\nthree\n"
    assert not (tmp_path / "other").exists()
