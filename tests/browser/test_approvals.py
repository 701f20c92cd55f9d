"""The whole way of a change: proposed by an agent, checked, read and decided on by a person, applied."""

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from bus.messages.approvals import ProposalState
from bus.messages.tasks import TaskSpec
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


HEARD = """
const Real = Notification;
window.Notification = class extends Real {
  constructor(title, options) {
    super(title, options);
    void window.hear(`${title} ${options.body}`);
  }
};
"""
"""The real notifications, with their words kept: no page can read what the desktop shows."""


async def test_a_shipped_agent_proposes_what_a_person_hears_of_watches_and_decides_by_keyboard(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    gate = tmp_path / "gate"
    heard: asyncio.Queue[str] = asyncio.Queue()
    config = tmp_path / "agora.toml"
    checks = f"echo looking at briefs/; while [ ! -e {gate} ]; do :; done; ls briefs"
    config.write_text(
        f'[[approvals.changes.repositories]]\nname = "library"\npath = "{sandbox.path}"\n'
        f'checks = ["sh", "-c", "{checks}"]\n',
        encoding="utf-8",
    )
    async with (
        served(tmp_path / "data", env={"AGORA_CONFIG": str(config)}) as server,
        window() as opened,
        server.client() as agora,
    ):
        page = opened.page
        await page.context.grant_permissions(["notifications"], origin=server.url)
        await page.expose_function("hear", heard.put_nowait)
        await page.add_init_script(HEARD)
        await page.goto(await server.link())
        await page.get_by_role("navigation", name="Pages").get_by_role("link", name=re.compile("^Approvals")).click()
        notify = page.get_by_role("button", name="Notify me")
        await expect(notify).to_have_attribute("aria-pressed", "false")
        await notify.click()
        await expect(notify).to_have_attribute("aria-pressed", "true")
        document = await agora.write_artifact(
            "moons", "Mars has two moons. They are Phobos and Deimos. Both are small."
        )
        for title in ("Moons of Mars", "Moons again"):
            spec = TaskSpec(title, capability="file", reward_msat=1_000, input=document.artifact)
            await agora.create_task(spec)
        await page.locator(".proposals").get_by_text("Keep briefs/moons-of-mars.md").click()
        log = page.get_by_role("log", name="What the checks say")
        await expect(log).to_contain_text("looking at briefs/")
        await expect(page.get_by_text("A working tree is not a sandbox")).to_be_visible()
        assert heard.empty()
        gate.touch()
        await expect(page.get_by_text("Checks passed")).to_be_visible()
        async with asyncio.timeout(PATIENCE_MS / 1_000):
            told = {await heard.get(), await heard.get()}
        assert told == {f"A proposal waits for a decision p-{number}" for number in (1, 2)}
        alert = '{type: "alert.raised", data: {alert: "disk", cause: "1 MiB are free"}}'
        words = await page.evaluate(f"import('/static/notify.js').then((notify) => notify.words({alert}))")
        assert words == {"title": "Alert: disk", "body": "1 MiB are free", "at": "#/system"}
        region = page.get_by_role("region", name="Changes of briefs/moons-of-mars.md")
        await expect(region.get_by_text("They are Phobos and Deimos", exact=False)).to_be_visible()
        await expect(page.get_by_text("By librarian with extractive, for t-1: Moons of Mars")).to_be_visible()
        await page.get_by_label("Reason").fill("worth keeping")
        await page.keyboard.press("Enter")
        await expect(page.locator(".proposal .state").first).to_have_text("applied")
        await page.locator(".proposals").get_by_text("Keep briefs/moons-again.md").click()
        await expect(page.get_by_text("p-1 has moved the branch").first).to_be_visible()
        await expect(page.locator(".proposal .state").first).to_have_text("ready")
        await page.get_by_label("Reason").fill("we have that already")
        await page.keyboard.press("Shift+Enter")
        await expect(page.locator(".proposal .state").first).to_have_text("rejected")
        await expect(page.get_by_text("we have that already").first).to_be_visible()
        assert (await agora.approvals.one("p-1")).proposer == "agents/librarian"
    assert "Phobos" in sandbox.git("show", "main:briefs/moons-of-mars.md")
    assert not sandbox.git("ls-tree", "main", "briefs/moons-again.md")
    assert (sandbox.status(), sandbox.is_whole()) == ("", True)


async def test_a_long_file_is_folded_until_someone_wants_it_and_a_phone_decides_too(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    sandbox.git("checkout", "-q", "feature")
    sandbox.write("long.txt", "".join(f"line {number}\n" for number in range(2_000)))
    sandbox.commit("long")
    sandbox.git("checkout", "-q", "main")
    config = tmp_path / "agora.toml"
    config.write_text(f'[[approvals.changes.repositories]]\nname = "r"\npath = "{sandbox.path}"\n', encoding="utf-8")
    async with (
        served(tmp_path / "data", env={"AGORA_CONFIG": str(config)}) as server,
        window(width=390, height=844, scheme="light") as opened,
        server.client() as agora,
    ):
        token = (await agora.tokens.issue("", "grace", ("task", "read"))).token
        async with AgoraClient(server.url, token=token) as grace:
            await grace.approvals.propose(title="a long one", repository="r", branch="main", head="feature")
        page = opened.page
        await page.goto(await server.link())
        await page.goto(f"{server.url}/#/approvals/p-1")
        await expect(page.get_by_text("+2,000")).to_be_visible()
        region = page.get_by_role("region", name="Changes of long.txt")
        await expect(region).to_have_count(0)
        await page.get_by_text("long.txt").first.click()
        await expect(region.get_by_text("+line 1999", exact=True)).to_have_count(1)
        width = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert width <= 0, "the page does not scroll sideways"
        await page.get_by_label("Reason").fill("read on the way")
        await page.get_by_role("button", name="Approve", exact=True).click()
        await expect(page.locator(".proposal .state").first).to_have_text("applied")
    assert sandbox.git("show", "main:long.txt").startswith("line 0")
