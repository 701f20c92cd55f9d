"""The process is killed while it applies an approved change: the branch is as before or as approved, and whole."""

import asyncio
from pathlib import Path

import pytest

from bus.messages.approvals import ProposalState, ProposalView
from tests.support.repositories import Sandbox
from tests.support.served import served
from web.client import AgoraClient

KILLS_AFTER_S = (0.0, 0.02, 0.05, 0.09)
"""After the approval was answered; an apply is some ten calls of git, 100 ms in all."""


async def _until(agora: AgoraClient, *states: ProposalState) -> ProposalView:
    while True:
        view = await agora.approvals.one("p-1")
        if view.state in states:
            return view


@pytest.mark.slow
@pytest.mark.parametrize("after_s", KILLS_AFTER_S)
async def test_a_kill_in_the_middle_of_an_apply_leaves_the_branch_before_or_after_and_it_is_ended(
    tmp_path: Path, after_s: float
) -> None:
    sandbox = Sandbox(tmp_path / "r")
    before = sandbox.tip()
    config = tmp_path / "agora.toml"
    config.write_text(f'[[approvals.changes.repositories]]\nname = "r"\npath = "{sandbox.path}"\n')
    environment = {"AGORA_CONFIG": str(config)}
    async with served(tmp_path / "data", env=environment) as server, server.client() as agora:
        issued = await agora.tokens.issue("", "grace", ("task", "read"))
        async with AgoraClient(server.url, token=issued.token) as grace:
            await grace.approvals.propose(title="change it", repository="r", branch="main", head="feature")
        view = await _until(agora, ProposalState.READY)
        await agora.approvals.decide("p-1", "approve", view.hash, "looks right")
        asyncio.get_running_loop().call_later(after_s, server.kill)
        assert (await server.ended()).code != 0
    assert sandbox.is_whole()
    assert view.change is not None
    tree = sandbox.git("rev-parse", "main^{tree}")
    assert tree in (sandbox.git("rev-parse", f"{before}^{{tree}}"), view.change.tree)
    async with served(tmp_path / "data", env=environment) as server, server.client() as agora:
        applied = await _until(agora, ProposalState.APPLIED, ProposalState.FAILED)
    assert (applied.state, sandbox.tip()) == (ProposalState.APPLIED, applied.commit)
    assert sandbox.git("rev-parse", "main^{tree}") == view.change.tree
    assert (sandbox.status(), sandbox.is_whole()) == ("", True)
