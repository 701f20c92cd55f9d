"""Working trees that have a branch checked out."""

from pathlib import Path

import pytest

from actors.git.worktrees import advance, check_clean, worktrees_at
from bus.refusals import ChangeRefused
from tests.support.repositories import Sandbox


async def test_all_working_trees_at_a_branch_are_found_and_no_others(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    sandbox.git("worktree", "add", "-q", str(tmp_path / "wt"), "feature")
    assert await worktrees_at(sandbox.path, "main", timeout_s=10.0) == [sandbox.path]
    assert await worktrees_at(sandbox.path, "feature", timeout_s=10.0) == [tmp_path / "wt"]
    assert await worktrees_at(sandbox.path, "other", timeout_s=10.0) == []


async def test_a_working_tree_in_the_middle_of_a_merge_is_refused(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    sandbox.git("merge", "-q", "--no-ff", "--no-commit", "-s", "ours", "feature")
    with pytest.raises(ChangeRefused, match="in the middle of a merge"):
        await check_clean(sandbox.path, "main", "feature", timeout_s=10.0)


async def test_untracked_files_elsewhere_are_kept(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    sandbox.write("notes.txt", "mine\n")
    await check_clean(sandbox.path, "main", "feature", timeout_s=10.0)
    await advance(sandbox.path, "main", "feature", timeout_s=10.0)
    assert (sandbox.path / "notes.txt").read_text() == "mine\n"
    assert (sandbox.path / "new.txt").read_text() == "new\n"


async def test_an_interrupted_checkout_of_something_else_is_not_gone_on_with(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    sandbox.write("a.txt", "neither\n")
    with pytest.raises(ChangeRefused):
        await advance(sandbox.path, "main", "feature", timeout_s=10.0)
    assert (sandbox.path / "a.txt").read_text() == "neither\n"
