"""For everyone: no page breaks a rule that axe-core can check, in either scheme, wide or narrow."""

import hashlib
import re
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Page, expect

from tests.browser.chrome import PATIENCE_MS, Scheme, window
from tests.browser.test_page import PAGES, expect_completed, post
from tests.support.served import Served, served

pytestmark = [pytest.mark.browser, pytest.mark.slow]

VENDOR = Path(__file__).parent / "vendor"
AXE = (VENDOR / "axe.min.js").read_text(encoding="utf-8")
RUN = """
async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations.flatMap(({ id, nodes }) => nodes.map(({ target }) => `${id}: ${target.join(" ")}`));
}
"""

expect.set_options(timeout=PATIENCE_MS)


async def violations(page: Page) -> list[str]:
    return [str(each) for each in await page.evaluate(RUN)]


async def propose(server: Served) -> str:
    """Something that waits for a person."""
    headers = {"authorization": f"Bearer {server.token}"}
    body = {"title": "Spend more on this", "kind": "spend", "detail": "It is worth it.", "impact": "high"}
    async with (
        aiohttp.ClientSession(server.url, headers=headers) as session,
        session.post("/api/approvals", json=body) as response,
    ):
        assert response.status == 201, await response.text()
        return str((await response.json())["proposal"])


def test_the_checker_is_as_published() -> None:
    (listed,) = re.findall(r"axe\.min\.js\), ([0-9a-f]{64})$", (VENDOR / "VERSIONS").read_text(), re.MULTILINE)
    assert hashlib.sha256((VENDOR / "axe.min.js").read_bytes()).hexdigest() == listed


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_no_page_and_nothing_over_it_breaks_a_rule(tmp_path: Path, width: int, scheme: Scheme) -> None:
    async with served(tmp_path) as server, window(width=width, scheme=scheme) as opened:
        page = opened.page
        await page.goto(await server.link())
        await expect(page.get_by_text("You can act now.")).to_be_visible()
        task = await post(server, "Brief for everyone")
        await page.goto(f"{server.url}/#/tasks/{task}")
        await expect_completed(page)
        proposal = await propose(server)
        await page.evaluate(AXE)
        found: dict[str, list[str]] = {}
        places = (f"tasks/{task}", "agents/scout", "tasks?new=1", f"approvals/{proposal}", "router/m-1")
        for where in (*PAGES, *places):
            await page.goto(f"{server.url}/#/{where}")
            await expect(page.locator(f"main.page-{re.split('[/?]', where)[0]} h1")).to_have_count(1)
            await opened.settled()
            found[where] = await violations(page)
            await page.keyboard.press("Escape")
        await page.goto(f"{server.url}/#/activity")
        await expect(page.locator("main.page-activity .event").first).to_be_visible()
        for key, name in (("?", "Keys and help"), ("Control+k", "Find and do")):
            await page.keyboard.press(key)
            await expect(page.get_by_role("dialog", name=name)).to_be_visible()
            found[name] = await violations(page)
            await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Halt").click()
        await expect(page.get_by_role("dialog", name="Stop everything?")).to_be_visible()
        found["halt"] = await violations(page)
        await page.keyboard.press("Escape")
        await page.locator(".event").first.click()
        await expect(page.get_by_label("Event in detail")).to_be_visible()
        found["drawer"] = await violations(page)
        assert {where: each for where, each in found.items() if each} == {}


async def test_the_feed_is_a_log_that_summarises_and_never_shouts(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        await opened.page.goto(server.url)
        log = opened.page.get_by_role("log")
        await expect(log).to_have_count(1)
        await expect(log).to_have_attribute("aria-live", "polite")
        await post(server, "Brief for the ear")
        await expect(log).to_contain_text("new events. Latest:", timeout=2 * PATIENCE_MS)
        await expect(log.locator("p")).to_have_count(1)


async def test_the_past_is_reached_by_keyboard_and_one_key_leads_back(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        task = await post(server, "Brief of long ago")
        await page.goto(f"{server.url}/#/tasks/{task}")
        await expect_completed(page)
        await page.goto(f"{server.url}/#/activity")
        slider = page.get_by_role("slider", name="Moment of the journal")
        await expect(slider).to_have_attribute("aria-valuetext", "live")
        await slider.focus()
        await page.keyboard.press("Home")
        await expect(page).to_have_url(re.compile(r"at=1\b"))
        await expect(page.locator(".event:visible")).to_have_count(1)
        await expect(slider).to_have_attribute("aria-valuetext", re.compile("position 1$"))
        await page.reload()
        await expect(page.locator(".event:visible")).to_have_count(1)
        await page.keyboard.press("l")
        await expect(page.get_by_role("option", name=re.compile("finished “Brief of long ago”"))).to_be_visible()
        await expect(slider).to_have_attribute("aria-valuetext", "live")


async def test_dragging_goes_to_a_moment_and_shows_what_stood_before_it(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        task = await post(server, "Brief to look back on")
        await page.goto(f"{server.url}/#/tasks/{task}")
        await expect_completed(page)
        await page.goto(f"{server.url}/#/activity")
        box = await page.get_by_role("slider", name="Moment of the journal").bounding_box()
        assert box is not None
        await page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 10)
        await page.mouse.down()
        await page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 10, steps=5)
        await page.mouse.up()
        await expect(page).to_have_url(re.compile(r"at=\d+"))
        await expect(page.get_by_role("button", name="Back to live")).to_be_visible()
        at = int(re.findall(r"at=(\d+)", page.url)[0])
        await expect(page.locator(".event:visible .event-position").first).to_have_text(str(at))
