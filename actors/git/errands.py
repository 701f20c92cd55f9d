"""What the approvals do outside their turns: each a job that waits, and tells them in a message what came of it.

Rules: a job changes nothing of the docket by itself, and no error leaves it: whatever goes wrong is the proposal's end
and its reason. What only reads for someone lets it through: it is the asker's answer. What checks say is passed on as
they say it, a few times a second.
"""

from pathlib import Path

import anyio
import anyio.to_thread

from actors import supervised
from actors.git.changes import Changes
from actors.git.checks import Checked
from actors.git.repository import Told
from actors.rules import docket
from actors.runtime import Job
from actors.supervised import Upgrade
from bus.errors import AgoraError
from bus.messages.approvals import (
    APPROVALS,
    Change,
    CheckResult,
    ProposalContent,
    ProposalId,
    ProposalView,
    Target,
)
from bus.messages.base import BlobId, Message
from bus.messages.repositories import ReadRepositoryFile, RepositoryFile
from bus.messages.system import JOURNAL, ReadBlob
from bus.refusals import ChangeRefused

SAID_EVERY_S = 0.1
"""How often what checks say is passed on."""


class Prepared(Message, frozen=True):
    """Sent when a change has been worked out, with its diff."""

    wire_name = "change.prepared"

    proposal: ProposalId
    change: Change
    diff: bytes


class ChecksSaid(Message, frozen=True):
    """Sent while checks run, with what they have said since the last time."""

    wire_name = "change.checks_said"

    proposal: ProposalId
    said: bytes


class ChecksEnded(Message, frozen=True):
    """Sent when checks have ended, with what they said."""

    wire_name = "change.checks_ended"

    proposal: ProposalId
    result: CheckResult
    output: bytes


class StepEnded(Message, frozen=True):
    """Sent when a step outside has ended otherwise: where the branch stands, or why it does not."""

    wire_name = "change.step_ended"

    proposal: ProposalId
    commit: str = ""
    error: str = ""


class Undone(Message, frozen=True):
    """Sent when a rollback has ended; `revert` is the head that would undo what others have built on."""

    wire_name = "change.undone"

    proposal: ProposalId
    revert: str = ""
    error: str = ""


class LookedUp(Message, frozen=True):
    """Sent when it is known whether the branch has a change; `commit` is empty when it has not."""

    wire_name = "change.looked_up"

    proposal: ProposalId
    commit: str


class RefsFound(Message, frozen=True):
    """Sent with what is kept of proposals: repository, name and commit of each."""

    wire_name = "change.refs_found"

    refs: tuple[tuple[str, str, str], ...]


class Errands:
    """The jobs of the approvals."""

    def __init__(self, changes: Changes, *, read_timeout_s: float, supervised_at: Path | None = None) -> None:
        """`supervised_at` is the data directory, where there is a process above the server that judges upgrades."""
        self._git = changes
        self._read_timeout_s = read_timeout_s
        self._supervised_at = supervised_at

    async def prepare(self, job: Job, view: ProposalView) -> None:
        """Work a change out: for the first time, or again because its branch has moved."""
        target, before = _target(view), view.change
        try:
            patch = b""
            if target.patch and before is None:
                query = ReadBlob(target.patch)
                patch = (await job.ask(JOURNAL, query, timeout_s=self._read_timeout_s)).content
            head = before.head if before is not None else ""
            change, diff = await self._git.work_out(target, patch, told(view), view.proposal, head)
            if before is not None and before != change:
                outdated = await self._git.commit(target, before, told(view))
                await self._git.forget(target.repository, view.proposal, outdated)
        except AgoraError as error:
            job.tell(APPROVALS, StepEnded(view.proposal, error=str(error)))
        else:
            job.tell(APPROVALS, Prepared(view.proposal, change, diff))

    async def check(self, job: Job, view: ProposalView) -> None:
        """Run the checks of a change."""
        try:
            checked = await self._checked(job, view)
        except AgoraError as error:
            job.tell(APPROVALS, StepEnded(view.proposal, error=str(error)))
        else:
            command = self._git.checks_of(_target(view))
            output = docket.blob_id(checked.output)
            result = CheckResult(command, checked.exit_code, checked.took_ms, output, checked.reason)
            job.tell(APPROVALS, ChecksEnded(view.proposal, result, checked.output))

    async def apply(self, job: Job, view: ProposalView) -> None:
        """Move the branch to an approved tree."""
        try:
            await self._put_on_trial(view)
            commit = await self._git.apply(_target(view), _change(view), told(view))
        except AgoraError as error:  # the branch is as it was
            await self._take_off_trial(view)
            job.tell(APPROVALS, StepEnded(view.proposal, error=str(error)))
        else:
            job.tell(APPROVALS, StepEnded(view.proposal, commit=commit))

    async def roll_back(self, job: Job, view: ProposalView) -> None:
        """Move the branch back."""
        try:
            revert = await self._git.roll_back(_target(view), _change(view), view.commit, told(view))
        except AgoraError as error:  # the branch is as it was
            job.tell(APPROVALS, Undone(view.proposal, error=str(error)))
        else:
            job.tell(APPROVALS, Undone(view.proposal, revert=revert))

    async def look_up(self, job: Job, view: ProposalView) -> None:
        """See whether the branch has a change that another history had begun to apply, and touch nothing."""
        try:
            commit = await self._git.look_up(_target(view), _change(view), told(view))
        except AgoraError:  # no repository, no branch, no tree: then it does not have the change
            commit = ""
        job.tell(APPROVALS, LookedUp(view.proposal, commit))

    async def read_blob(self, job: Job, proposal: ProposalId, blob: BlobId) -> ProposalContent:
        """Read a diff or an output for someone. What goes wrong is the asker's answer."""
        found = await job.ask(JOURNAL, ReadBlob(blob), timeout_s=self._read_timeout_s)
        return ProposalContent(proposal, found.content.decode(errors="replace"))

    async def read_file(self, job: Job, query: ReadRepositoryFile) -> RepositoryFile:
        """Read a file of a repository for someone. What goes wrong is the asker's answer."""
        text = await self._git.read(Target(query.repository, query.branch), query.path)
        return RepositoryFile(text or "", text is not None)

    async def find_refs(self, job: Job) -> None:
        """See what is kept of proposals."""
        try:
            found = tuple(await self._git.kept())
        except AgoraError:  # a repository that cannot be read keeps what it keeps
            found = ()
        job.tell(APPROVALS, RefsFound(found))

    async def forget(self, job: Job, views: tuple[ProposalView, ...]) -> None:
        """Let what is kept of ended proposals go: only what is theirs, since other histories share the repository."""
        for view in views:
            try:
                commit = await self._git.commit(_target(view), _change(view), told(view))
                await self._git.forget(_target(view).repository, view.proposal, commit)
            except AgoraError:  # it is gone already, or its repository is
                continue

    async def _put_on_trial(self, view: ProposalView) -> None:
        """Before the server's own files change: if it ends from here on, the next start is a trial."""
        if self._supervised_at is None or not self._git.restarts(_target(view)):
            return
        found = await anyio.to_thread.run_sync(supervised.read, self._supervised_at)
        if found is not None and found.proposal != view.proposal and not await _is_stale(found):
            raise ChangeRefused(f"the upgrade by {found.proposal} is not settled yet; propose it anew")
        target, change = _target(view), _change(view)
        commit = await self._git.commit(target, change, told(view))
        path, within_s = self._git.path_of(target), self._git.ready_within_s
        upgrade = Upgrade(view.proposal, view.hash, path, target.branch, change.base, commit, within_s)
        await anyio.to_thread.run_sync(supervised.write, self._supervised_at, upgrade)

    async def _take_off_trial(self, view: ProposalView) -> None:
        if self._supervised_at is None:
            return
        found = await anyio.to_thread.run_sync(supervised.read, self._supervised_at)
        if found is not None and found.proposal == view.proposal and found.state == "begun":
            await anyio.to_thread.run_sync(supervised.remove, self._supervised_at)

    async def _checked(self, job: Job, view: ProposalView) -> Checked:
        said = bytearray()
        bell = anyio.Event()
        outcome: list[Checked | AgoraError] = []

        def heard(chunk: bytes) -> None:
            said.extend(chunk)
            bell.set()

        async def pass_on() -> None:
            nonlocal bell
            while True:
                await bell.wait()
                bell = anyio.Event()
                job.tell(APPROVALS, ChecksSaid(view.proposal, bytes(said)))
                said.clear()
                await anyio.sleep(SAID_EVERY_S)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pass_on)
            try:
                checked = await self._git.check(_target(view), _change(view), told(view), view.proposal, heard)
                outcome.append(checked)
            except AgoraError as error:  # raised below, outside the group
                outcome.append(error)
            tasks.cancel_scope.cancel()
        if isinstance(outcome[0], AgoraError):
            raise outcome[0]
        return outcome[0]


async def _is_stale(upgrade: Upgrade) -> bool:
    """Whether it was begun and came to nothing: its branch never moved."""
    tip = await anyio.to_thread.run_sync(supervised.tip_of, upgrade)
    return upgrade.state == "begun" and tip != upgrade.commit


def told(view: ProposalView) -> Told:
    """What the commit of a proposal says: nothing that another attempt would say otherwise."""
    text = f"{view.title}\n\n{view.detail}".strip()
    return Told(f"{text}\n\nProposal: {view.proposal}\nProposed-by: {view.proposer}\n", view.created_us)


def _target(view: ProposalView) -> Target:
    assert view.target is not None, "only changes have steps outside"
    return view.target


def _change(view: ProposalView) -> Change:
    assert view.change is not None, "it has been worked out"
    return view.change
