"""The whole way of a change: proposed by an agent's program, checked, read and approved by a person, applied."""

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from bus.messages.approvals import ProposalState
from tests.browser.chrome import PATIENCE_MS, window
from tests.support.repositories import Sandbox
from tests.support.served import served
from web.client import AgoraClient

pytestmark = [pytest.mark.browser, pytest.mark.slow]

expect.set_options(timeout=PATIENCE_MS)


async def test_a_person_reads_the_diff_and_approves_and_the_branch_moves(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    before = sandbox.tip()
    config = tmp_path / "agora.toml"
    repository = f'name = "r"\npath = "{sandbox.path}"\nchecks = ["sh", "-c", "cat new.txt"]\n'
    config.write_text(f"[[approvals.changes.repositories]]\n{repository}", encoding="utf-8")
    async with (
        served(tmp_path / "data", env={"AGORA_CONFIG": str(config)}) as server,
        window() as opened,
        server.client() as agora,
    ):
        page = opened.page
        await page.goto(await server.link())
        rail = page.get_by_role("navigation", name="Pages").get_by_role("link", name=re.compile("^Approvals"))
        await rail.click()
        await expect(page.get_by_text("Whatever needs a person's word appears here")).to_be_visible()
        issued = await agora.tokens.issue("greeter", "greeter")
        async with AgoraClient(server.url, token=issued.token) as agent:
            await agent.approvals.propose(
                title="<b>change</b> it",
                repository="r",
                branch="main",
                patch=sandbox.git("diff", "main", "feature") + "\n",
            )
        await expect(rail.locator(".badge")).to_have_text("1")
        await page.locator(".proposals").get_by_text("<b>change</b> it").click()
        await expect(page.get_by_role("heading", name="<b>change</b> it")).to_be_visible()
        await expect(page.get_by_text("Checks passed")).to_be_visible()
        await expect(page.get_by_text("A working tree is not a sandbox")).to_be_visible()
        await expect(page.get_by_text("agents/greeter").first).to_be_visible()
        await expect(
            page.get_by_role("region", name="Changes of new.txt").get_by_text("+new", exact=True)
        ).to_be_visible()
        await page.get_by_role("button", name="Side by side").click()
        await expect(page.locator(".diff-split").first).to_be_visible()
        approve = page.get_by_role("button", name="Approve", exact=True)
        await expect(approve).to_be_disabled()
        await page.get_by_label("Reason").fill("I have read it")
        await page.keyboard.press("Enter")
        await expect(page.locator(".proposal .state").first).to_have_text("applied")
        await expect(rail.locator(".badge")).to_have_count(0)
        await expect(page.get_by_text("I have read it").first).to_be_visible()
        assert (await agora.approvals.one("p-1")).state is ProposalState.APPLIED
    assert sandbox.tip() != before
    assert sandbox.git("show", "main:new.txt") == "new"
    assert (sandbox.status(), sandbox.is_whole()) == ("", True)
