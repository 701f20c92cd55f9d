"""One git repository: what a change comes to, and its branch moved to an approved tree or back.

Rules: a change is worked out in the object database alone, no working tree is touched. The commit of an approved tree
depends on nothing but the proposal, so doing it again makes the same one. The branch is swapped against its old value.
Where it is checked out, a working tree with changes refuses the whole; a clean one is advanced with it. Whatever fails
on the way is taken back; what a crash interrupted is gone on with by calling the same again.
"""

import hashlib
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import mkdtemp

import anyio
import anyio.to_thread
import msgspec

from actors.git.command import git
from actors.git.worktrees import advance, check_clean, worktrees_at
from actors.rules.changes import SYMLINK, check_path, check_plain, check_symlink, check_touched, parse_raw
from bus.messages.approvals import Change, Target
from bus.messages.base import BlobId, Microseconds
from bus.refusals import ChangeRefused

ANCESTOR_NO = 1
CONFLICT = 1
KEPT = "refs/agora/proposals/"
"""Where what is proposed is kept from git's forgetting, a ref for each proposal and commit."""
REMOVAL_S = 10.0
FILE_BYTES_MAX = 1024 * 1024
"""The longest file that is read for who wants to change it."""


class Told(msgspec.Struct, frozen=True):
    """What a commit says: made of the proposal alone."""

    message: str
    at_us: Microseconds


@asynccontextmanager
async def _folder() -> AsyncIterator[str]:
    """A folder for a while; it goes even if whoever wanted it is cancelled."""
    directory = await anyio.to_thread.run_sync(lambda: mkdtemp(prefix="agora-index-"))
    try:
        yield directory
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(REMOVAL_S):
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(directory, ignore_errors=True))


class Repository:
    """A repository on this machine."""

    def __init__(self, path: Path, *, timeout_s: float, diff_bytes_max: int) -> None:
        self.path = path
        self.timeout_s = timeout_s
        self._diff_bytes_max = diff_bytes_max
        self._moves = anyio.Lock()

    async def work_out(
        self, target: Target, patch: bytes, told: Told, *, name: str = "", head: str = ""
    ) -> tuple[Change, bytes]:
        """What the change comes to, merged into its branch as it stands now, and the diff. Raises ChangeRefused.

        With a `head` it was worked out before, and that commit is merged again. With a `name` it is kept.
        """
        base = await self.tip(target.branch)
        if not head:
            head = await self._patched(base, patch, told) if target.patch else await self._commit_named(target.head)
        tree = await self._merged(base, head, target.branch)
        listing = await self._git("diff-tree", "-r", "--raw", "-z", "--no-renames", base, tree)
        touched = parse_raw(listing)
        check_touched(touched, target.paths)
        for one in touched:
            if one.mode == SYMLINK:
                check_symlink(one.path, (await self._git("cat-file", "blob", one.blob)).decode(errors="replace"))
        if target.patch:
            check_plain(touched)
        diff = await self._diff(base, tree)
        blob = BlobId(hashlib.sha256(diff).hexdigest())
        change = Change(base, head, tree, blob, len(diff), len(touched))
        if name:
            commit = await self.commit(change, told)
            await self._git("update-ref", f"{KEPT}{name}/{commit}", commit)
        return change, diff

    async def kept(self) -> list[tuple[str, str]]:
        """What is kept of proposals: their names and commits. Raises ChangeRefused."""
        listing = await self._git("for-each-ref", "--format=%(refname)", KEPT)
        names = [line.removeprefix(KEPT).rpartition("/") for line in listing.decode().splitlines()]
        return [(name, commit) for name, _, commit in names]

    async def forget(self, name: str, commit: str) -> None:
        """Let what is kept of a proposal go; it may be gone already. Raises ChangeRefused."""
        arguments = ("update-ref", "-d", f"{KEPT}{name}/{commit}", commit)
        await git(self.path, *arguments, timeout_s=self.timeout_s, may_fail=(1, 128))

    async def stands(self, branch: str, commit: str) -> bool:
        """Whether the branch stands at the commit or has gone on from it. Raises ChangeRefused."""
        tip = await self.tip(branch)
        return tip == commit or await self._is_ancestor(commit, tip)

    async def read(self, branch: str, path: str) -> str | None:
        """The text of a plain file at the branch, or None where there is no such file. Raises ChangeRefused."""
        listing = await self._git("ls-tree", "-z", "-l", await self.tip(branch), "--", check_path(path))
        if not listing:
            return None
        mode, kind, blob, size = listing.partition(b"\t")[0].decode("ascii").split()
        if kind != "blob" or mode == SYMLINK:
            raise ChangeRefused(f"{path} is no plain file")
        if int(size) > FILE_BYTES_MAX:
            raise ChangeRefused(f"{path} is longer than {FILE_BYTES_MAX} bytes")
        try:
            return (await self._git("cat-file", "blob", blob)).decode()
        except UnicodeDecodeError as error:
            raise ChangeRefused(f"{path} is not in UTF-8") from error

    async def commit(self, change: Change, told: Told) -> str:
        """The commit of the merged tree: always the same one for the same change. Raises ChangeRefused."""
        return await self._commit(change.tree, (change.base, change.head), told)

    async def apply(self, branch: str, change: Change, told: Told) -> str:
        """Move the branch from the change's base to the commit of its tree, which is returned. Raises ChangeRefused.

        Called again after a crash it goes on where it was, and where it is done already it does nothing.
        """
        async with self._moves:
            commit = await self.commit(change, told)
            tip = await self.tip(branch)
            if tip not in (change.base, commit):
                if await self._is_ancestor(commit, tip):
                    return commit  # it was done, and others have gone on from there
                raise ChangeRefused(f"{branch} has moved from {change.base[:12]} to {tip[:12]}; propose it anew")
            await self._move(branch, change.base, commit, tip, told.message.partition("\n")[0])
            return commit

    async def roll_back(self, branch: str, change: Change, commit: str, told: Told) -> str:
        """Move the branch back to the change's base, if it still stands at the change's commit.

        Returns nothing then; else the head of a change that would undo this one. Raises ChangeRefused.
        """
        async with self._moves:
            tip = await self.tip(branch)
            if tip in (change.base, commit):
                await self._move(branch, commit, change.base, tip, "rolled back")
                return ""
            if not await self._is_ancestor(commit, tip):
                raise ChangeRefused(f"{commit[:12]} is no longer part of {branch}")
            return await self._commit(f"{change.base}^{{tree}}", (commit,), told)

    async def tip(self, branch: str) -> str:
        """The commit that a branch stands at. Raises ChangeRefused."""
        exactly = ("show-ref", "--verify", "--hash", f"refs/heads/{branch}")
        found = await git(self.path, *exactly, timeout_s=self.timeout_s, may_fail=(1, 128))
        if found.exit_code != 0:
            raise ChangeRefused(f"there is no branch {branch!r}")
        return found.output.decode().strip()

    async def _move(self, branch: str, old: str, new: str, tip: str, reason: str) -> None:
        """Move the branch and every clean working tree at it, or nothing. `tip` is where the branch stands."""
        trees = await worktrees_at(self.path, branch, timeout_s=self.timeout_s)
        if tip == old:
            for tree in trees:
                await check_clean(tree, old, new, timeout_s=self.timeout_s)
            await self._swap(branch, old, new, reason)
        moved: list[Path] = []
        try:
            for tree in trees:
                await advance(tree, old, new, timeout_s=self.timeout_s, is_clean=tip == old)
                moved.append(tree)
        except ChangeRefused:
            await self._swap(branch, new, old, "taken back")
            for tree in moved:
                await advance(tree, new, old, timeout_s=self.timeout_s)
            raise

    async def _swap(self, branch: str, old: str, new: str, reason: str) -> None:
        await self._git("update-ref", "-m", f"agora: {reason}", f"refs/heads/{branch}", new, old)

    async def _merged(self, base: str, head: str, branch: str) -> str:
        ended = await git(
            self.path,
            "merge-tree",
            "--write-tree",
            "--name-only",
            "--no-messages",
            base,
            head,
            timeout_s=self.timeout_s,
            may_fail=(CONFLICT,),
        )
        lines = ended.output.decode(errors="replace").splitlines()
        if ended.exit_code == CONFLICT:
            raise ChangeRefused(f"it conflicts with {branch} in {', '.join(lines[1:20])}")
        return lines[0]

    async def _patched(self, base: str, patch: bytes, told: Told) -> str:
        """A commit on top of the base with the patch applied, in an index of its own."""
        async with _folder() as directory:
            environment = {"GIT_INDEX_FILE": f"{directory}/index"}
            for stdin, arguments in (
                (b"", ("read-tree", base)),
                (patch, ("apply", "--cached", "--whitespace=nowarn", "-")),
                (b"", ("write-tree",)),
            ):
                ended = await git(self.path, *arguments, timeout_s=self.timeout_s, stdin=stdin, environment=environment)
        return await self._commit(ended.output.decode().strip(), (base,), told)

    async def _commit(self, tree: str, parents: tuple[str, ...], told: Told) -> str:
        date = f"{told.at_us // 1_000_000} +0000"
        who = {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in (("NAME", "Agora"), ("EMAIL", "agora@localhost"), ("DATE", date))
        }
        ended = await git(
            self.path,
            "commit-tree",
            tree,
            *(word for parent in dict.fromkeys(parents) for word in ("-p", parent)),
            timeout_s=self.timeout_s,
            stdin=told.message.encode(),
            environment=who,
        )
        return ended.output.decode().strip()

    async def _commit_named(self, name: str) -> str:
        found = await git(
            self.path,
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            f"{name}^{{commit}}",
            timeout_s=self.timeout_s,
            may_fail=(1, 128),
        )
        if found.exit_code != 0:
            raise ChangeRefused(f"there is no commit {name.removeprefix('refs/heads/')!r}")
        return found.output.decode().strip()

    async def _is_ancestor(self, commit: str, tip: str) -> bool:
        ended = await git(
            self.path,
            "merge-base",
            "--is-ancestor",
            commit,
            tip,
            timeout_s=self.timeout_s,
            may_fail=(ANCESTOR_NO,),
        )
        return ended.exit_code == 0

    async def _diff(self, base: str, tree: str) -> bytes:
        options = ("-p", "--no-ext-diff", "--no-textconv", "--no-color", "--full-index", "--binary", "-M")
        ended = await git(
            self.path,
            "diff-tree",
            *options,
            base,
            tree,
            timeout_s=self.timeout_s,
            output_max=self._diff_bytes_max,
        )
        return ended.output

    async def _git(self, *arguments: str) -> bytes:
        return (await git(self.path, *arguments, timeout_s=self.timeout_s)).output
