"""The repositories that may be changed, by name, and what is done to them: each step can be done twice.

Rules: a repository that is not configured does not exist, but for the `library`, which is made in the data directory
when something is first proposed for it. Of all checks at most `CHECKS_AT_ONCE` run at once; a repository's branches are
moved one after the other.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import anyio
import msgspec

from actors.git.checks import Checked, check
from actors.git.library import LIBRARY, found_library
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
    restarts: bool = False
    """Whether it holds what this server runs on, its code, personas or settings: an applied change takes effect by a
    restart under `agora serve --supervised`, and is rolled back if the server is not healthy afterwards."""


class ChangesOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Changes to git repositories."""

    repositories: tuple[RepositoryOptions, ...] = ()
    """Those that may be changed; beside them there is only `library`, in the data directory, if none is called so."""
    git_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=3_600)] = 60.0
    """For each call of git."""
    checks_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 900.0
    """For the checks of one change."""
    diff_bytes_max: Annotated[int, msgspec.Meta(ge=1, le=CONTENT_BYTES_MAX)] = 1_048_576
    """The longest diff that can be proposed."""
    ready_within_s: Annotated[float, msgspec.Meta(gt=0, le=3_600)] = 60.0
    """How long the server may take to be ready after a change that restarts it, before it is rolled back."""
    output_bytes_max: Annotated[int, msgspec.Meta(ge=1, le=CONTENT_BYTES_MAX)] = 1_048_576
    """What checks may say; one that says more is ended."""
    keep_refs_s: Annotated[float, msgspec.Meta(ge=0, le=31_536_000)] = 1_209_600.0
    """How long the ref of a proposal that has ended stays below `refs/agora/proposals/`."""


class Changes:
    """What can be done to the configured repositories."""

    def __init__(self, options: ChangesOptions, work: Path) -> None:
        """`work` is a folder of the data directory where the working trees of checks stand while they run."""
        self._options = options
        self._work = work
        library = RepositoryOptions(LIBRARY, str(work.parent / LIBRARY), branches=("main",))
        self._configured = {repository.name: repository for repository in (library, *options.repositories)}
        self._is_ours = self._configured[LIBRARY] is library
        self._founding = anyio.Lock()
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

    def restarts(self, target: Target) -> bool:
        """Whether a change of it takes effect by a restart."""
        configured = self._configured.get(target.repository)
        return configured is not None and configured.restarts

    @property
    def ready_within_s(self) -> float:
        """How long the server may take to be ready after a restart."""
        return self._options.ready_within_s

    def path_of(self, target: Target) -> str:
        """Where its repository is, or nothing if it is no longer configured."""
        configured = self._configured.get(target.repository)
        return str(Path(configured.path).absolute()) if configured is not None else ""

    async def work_out(
        self, target: Target, patch: bytes, told: Told, name: str = "", head: str = ""
    ) -> tuple[Change, bytes]:
        """What the change comes to, and its diff; it is kept by its name. Raises ChangeRefused.

        With a `head` it was worked out before, and that commit is merged again.
        """
        async with self._working_out:
            await self._found(target.repository)
            return await self._of(target).work_out(target, patch, told, name=name, head=head)

    async def read(self, target: Target, path: str) -> str | None:
        """The text of a plain file at the target's branch, or None where there is none. Raises ChangeRefused."""
        async with self._working_out:
            await self._found(target.repository)
            return await self._of(target).read(target.branch, path)

    async def commit(self, target: Target, change: Change, told: Told) -> str:
        """The commit of a change. Raises ChangeRefused."""
        return await self._of(target).commit(change, told)

    async def kept(self) -> list[tuple[str, str, str]]:
        """What is kept of proposals: repository, name and commit. A repository that is gone keeps nothing."""
        found: list[tuple[str, str, str]] = []
        for repository, each in self._repositories.items():
            if await anyio.Path(each.path).exists():
                found += [(repository, name, commit) for name, commit in await each.kept()]
        return found

    async def forget(self, repository: str, name: str, commit: str) -> None:
        """Let what is kept of a proposal go. Raises ChangeRefused."""
        if repository in self._repositories:
            await self._repositories[repository].forget(name, commit)

    async def look_up(self, target: Target, change: Change, told: Told) -> str:
        """The commit of the change if its branch stands at it or has gone on from it. Raises ChangeRefused."""
        repository = self._of(target)
        commit = await repository.commit(change, told)
        return commit if await repository.stands(target.branch, commit) else ""

    async def check(
        self, target: Target, change: Change, told: Told, name: str, heard: Callable[[bytes], None] | None = None
    ) -> Checked:
        """Run the checks of the merged tree; `heard` is told what they say as they say it. Raises ChangeRefused."""
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
                heard=heard,
            )

    async def apply(self, target: Target, change: Change, told: Told) -> str:
        """Move the branch to the change's tree; the commit that it stands at. Raises ChangeRefused."""
        return await self._of(target).apply(target.branch, change, told)

    async def roll_back(self, target: Target, change: Change, commit: str, told: Told) -> str:
        """Move the branch back, or make the head that would undo the change. Raises ChangeRefused."""
        return await self._of(target).roll_back(target.branch, change, commit, told)

    async def _found(self, name: str) -> None:
        if name == LIBRARY and self._is_ours:
            async with self._founding:
                await found_library(Path(self._configured[name].path), timeout_s=self._options.git_timeout_s)

    def _of(self, target: Target) -> Repository:
        repository = self._repositories.get(target.repository)
        if repository is None:
            raise ChangeRefused(f"the repository {target.repository} is no longer configured")
        branches = self._configured[target.repository].branches
        if branches and target.branch not in branches:
            raise ChangeRefused(f"{target.branch} is none of {', '.join(branches)}")
        return repository
