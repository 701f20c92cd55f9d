"""The repositories that may be changed, by name, and what is done to them: each step can be done twice.

Rules: a repository that is not configured does not exist. Of all checks at most `CHECKS_AT_ONCE` run at once; a
repository's branches are moved one after the other.
"""

from pathlib import Path
from typing import Annotated

import anyio
import msgspec

from actors.git.checks import Checked, check
from actors.git.repository import Repository, Told
from bus.messages.approvals import CONTENT_BYTES_MAX, Change, Target
from bus.refusals import ChangeRefused, NotFound

CHECKS_AT_ONCE = 2
"""Checks are whole test runs; more at once would slow each other and the society."""
WORK_OUT_AT_ONCE = 8


class RepositoryOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A repository that may be changed."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    """How proposals call it."""
    path: Annotated[str, msgspec.Meta(min_length=1)]
    """Where it is on this machine."""
    checks: tuple[str, ...] = ()
    """A command and its arguments that must end with 0 in the merged tree; empty means no checks."""
    branches: tuple[str, ...] = ()
    """The branches that may be changed; empty means any."""


class ChangesOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Changes to git repositories."""

    repositories: tuple[RepositoryOptions, ...] = ()
    """Those that may be changed; no other exists for proposals."""
    git_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=3_600)] = 60.0
    """For each call of git."""
    checks_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 900.0
    """For the checks of one change."""
    diff_bytes_max: Annotated[int, msgspec.Meta(ge=1, le=CONTENT_BYTES_MAX)] = 1_048_576
    """The longest diff that can be proposed."""
    output_bytes_max: Annotated[int, msgspec.Meta(ge=1, le=CONTENT_BYTES_MAX)] = 1_048_576
    """What checks may say; one that says more is ended."""


class Changes:
    """What can be done to the configured repositories."""

    def __init__(self, options: ChangesOptions, work: Path) -> None:
        self._options = options
        self._work = work
        self._configured = {repository.name: repository for repository in options.repositories}
        self._repositories = {
            name: Repository(Path(each.path), timeout_s=options.git_timeout_s, diff_bytes_max=options.diff_bytes_max)
            for name, each in self._configured.items()
        }
        self._checks = anyio.Semaphore(CHECKS_AT_ONCE)
        self._working_out = anyio.Semaphore(WORK_OUT_AT_ONCE)

    def check_known(self, name: str) -> None:
        """Refuse a repository that is not configured. Raises NotFound."""
        if name not in self._configured:
            raise NotFound("repository", name)

    def checks_of(self, target: Target) -> tuple[str, ...]:
        """The command that checks it."""
        configured = self._configured.get(target.repository)
        return configured.checks if configured is not None else ()

    def has_checks(self, target: Target | None) -> bool:
        """Whether there is a command that checks it."""
        return target is not None and bool(self.checks_of(target))

    async def work_out(self, target: Target, patch: bytes, told: Told) -> tuple[Change, bytes]:
        """What the change comes to, and its diff. Raises ChangeRefused."""
        async with self._working_out:
            return await self._of(target).work_out(target, patch, told)

    async def check(self, target: Target, change: Change, told: Told, name: str) -> Checked:
        """Run the checks of the merged tree. Raises ChangeRefused."""
        repository = self._of(target)
        commit = await repository.commit(change, told)
        async with self._checks:
            return await check(
                repository,
                commit,
                self.checks_of(target),
                at=self._work / f"{target.repository}-{name}",
                timeout_s=self._options.checks_timeout_s,
                output_max=self._options.output_bytes_max,
            )

    async def apply(self, target: Target, change: Change, told: Told) -> str:
        """Move the branch to the change's tree; the commit that it stands at. Raises ChangeRefused."""
        return await self._of(target).apply(target.branch, change, told)

    async def roll_back(self, target: Target, change: Change, commit: str, told: Told) -> str:
        """Move the branch back, or make the head that would undo the change. Raises ChangeRefused."""
        return await self._of(target).roll_back(target.branch, change, commit, told)

    def _of(self, target: Target) -> Repository:
        repository = self._repositories.get(target.repository)
        if repository is None:
            raise ChangeRefused(f"the repository {target.repository} is no longer configured")
        branches = self._configured[target.repository].branches
        if branches and target.branch not in branches:
            raise ChangeRefused(f"{target.branch} is none of {', '.join(branches)}")
        return repository
