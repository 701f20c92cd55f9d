"""The configured repositories."""

from pathlib import Path

import pytest

from actors.git.changes import Changes, ChangesOptions, RepositoryOptions
from actors.git.repository import Told
from bus.messages.approvals import Target
from bus.refusals import ChangeRefused, NotFound
from tests.support.repositories import Sandbox

TOLD = Told("Change\n", 1_750_000_000_000_000)


def changes(tmp_path: Path, *, checks: tuple[str, ...] = (), branches: tuple[str, ...] = ()) -> Changes:
    configured = RepositoryOptions("r", str(Sandbox(tmp_path / "r").path), checks, branches)
    return Changes(ChangesOptions((configured,)), tmp_path / "checks")


async def test_a_repository_that_is_not_configured_does_not_exist(tmp_path: Path) -> None:
    found = changes(tmp_path)
    with pytest.raises(NotFound):
        found.check_known("other")
    with pytest.raises(ChangeRefused, match="no longer configured"):
        await found.work_out(Target("other", "main", "feature"), b"", TOLD)


async def test_only_the_listed_branches_may_be_changed(tmp_path: Path) -> None:
    found = changes(tmp_path, branches=("stable",))
    with pytest.raises(ChangeRefused, match="main is none of stable"):
        await found.work_out(Target("r", "main", "feature"), b"", TOLD)


async def test_a_change_is_worked_out_checked_applied_and_rolled_back(tmp_path: Path) -> None:
    found = changes(tmp_path, checks=("true",))
    target = Target("r", "main", "feature")
    assert found.has_checks(target)
    change, _ = await found.work_out(target, b"", TOLD)
    assert (await found.check(target, change, TOLD, "p-1")).exit_code == 0
    commit = await found.apply(target, change, TOLD)
    assert await found.roll_back(target, change, commit, TOLD) == ""
