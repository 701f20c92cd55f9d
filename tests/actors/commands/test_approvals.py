"""`agora approvals list`, `agora approve`, `agora reject`, on a served society and a real repository."""

from pathlib import Path

import pytest

from actors.approvals import ApprovalsOptions
from actors.commands import approvals
from actors.commands.connection import joined
from actors.commands.console import ExitCode, first_of
from actors.git.changes import ChangesOptions, RepositoryOptions
from bus.errors import BadUsage
from bus.messages.approvals import ProposalState
from tests.support.inside import serving, shell_at
from tests.support.repositories import Sandbox
from web.client import AgoraClient


async def proposed(url: str, token: str) -> None:
    """Propose a change as someone else than the operator, and wait until it is ready."""
    async with AgoraClient(url, token=token) as agora:
        issued = await agora.tokens.issue("", "grace", ("task", "read"))
        async with AgoraClient(url, token=issued.token) as grace:
            await grace.approvals.propose(title="change it", repository="r", branch="main", head="feature")
        while (await agora.approvals.one("p-1")).state is ProposalState.PROPOSED:
            pass


def options(sandbox: Sandbox) -> ApprovalsOptions:
    return ApprovalsOptions(changes=ChangesOptions((RepositoryOptions("r", str(sandbox.path)),)))


async def test_a_change_is_listed_shown_approved_and_applied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox = Sandbox(tmp_path / "r")
    shell = shell_at(tmp_path / "data")
    async with serving(tmp_path / "data", approvals=options(sandbox)) as society:
        await proposed(society.url, society.token_path.read_text().strip())
        assert await approvals.list_(shell, "ready") is ExitCode.DONE
        assert "1 wait for a decision" in capsys.readouterr().out
        with pytest.raises(BadUsage, match="--reason"):
            await approvals.decide(shell, "p-1", "approve", reason="", hash_="")
        with pytest.raises(ExceptionGroup) as refusal:
            await approvals.decide(shell, "p-1", "approve", reason="yes", hash_="0" * 64)
        assert "not 000000000000; it cannot be decided" in str(first_of(refusal.value))
        capsys.readouterr()
        assert await approvals.branches(shell) is ExitCode.DONE
        listed = capsys.readouterr().out
        assert "p-1" in listed
        assert sandbox.git("for-each-ref", "refs/agora/proposals/").split()[0][:12] in listed
        assert await approvals.decide(shell, "p-1", "approve", reason="looks right", hash_="") is ExitCode.DONE
        shown = capsys.readouterr().out
        assert "+new" in shown
        assert "p-1 is applying" in shown
        async with joined(shell) as agora:
            while (await agora.approvals.one("p-1")).state is ProposalState.APPLYING:
                pass
    assert sandbox.git("show", "main:new.txt") == "new"


async def test_a_rejection_says_so_in_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sandbox = Sandbox(tmp_path / "r")
    before = sandbox.tip()
    async with serving(tmp_path / "data", approvals=options(sandbox)) as society:
        await proposed(society.url, society.token_path.read_text().strip())
        shell = shell_at(tmp_path / "data", is_json=True)
        assert await approvals.decide(shell, "p-1", "reject", reason="not now", hash_="") is ExitCode.DONE
        assert '"state": "rejected"' in capsys.readouterr().out
        assert await approvals.list_(shell, "") is ExitCode.DONE
        assert '"pending": 0' in capsys.readouterr().out
    assert sandbox.tip() == before
