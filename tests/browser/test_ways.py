"""The ways of a person who has never been here: by keyboard, by thumb, by address, and back again."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Locator, expect

from tests.browser.chrome import BACK_MS, PATIENCE_MS, window
from tests.browser.stage import event, staged
from tests.browser.test_page import expect_completed, post
from tests.support.ports import free_port
from tests.support.served import served

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDTH, HEIGHT = 390, 844
"""Of a phone."""

expect.set_options(timeout=PATIENCE_MS)


async def lies_within(element: Locator, width: float, height: float) -> bool:
    box = await element.bounding_box()
    assert box is not None
    return box["x"] >= 0 and box["y"] >= 0 and box["x"] + box["width"] <= width and box["y"] + box["height"] <= height


async def test_the_first_key_skips_to_the_page_and_the_next_ones_go_through_it_in_order(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        await page.goto(f"{server.url}/#/agents")
        await expect(page.locator(".agent-card").first).to_be_visible()
        await page.keyboard.press("Tab")
        skip = page.get_by_role("button", name="Skip to the page")
        await expect(skip).to_be_focused()
        assert await lies_within(skip, 1440, 900)
        await page.keyboard.press("Enter")
        await expect(page.locator("main")).to_be_focused()
        for name in ("Search agents", "Cards", "Table", "scout"):
            await page.keyboard.press("Tab")
            focused = page.locator(":focus")
            await expect(focused).to_have_accessible_name(name)


async def test_lists_are_walked_with_two_keys_opened_with_a_third_and_left_with_escape(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        await page.goto(f"{server.url}/#/agents")
        await expect(page.locator(".agent-card").first).to_be_visible()
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        await page.keyboard.press("k")
        await expect(page.get_by_role("link", name="scout")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(re.compile("#/agents/scout$"))
        await page.keyboard.press("Escape")
        await expect(page).to_have_url(re.compile("#/agents$"))
        await expect(page.get_by_label("Search agents")).to_be_visible()  # the address is there before the page
        await page.keyboard.press("/")
        await expect(page.get_by_label("Search agents")).to_be_focused()
        await page.keyboard.type("writ")
        await expect(page.locator(".agent-card")).to_have_count(1)
        await expect(page).to_have_url(re.compile("q=writ"))


async def test_the_palette_searches_the_whole_journal_and_leads_to_any_position(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        task = await post(server, "Brief the quagmire")
        await page.goto(f"{server.url}/#/tasks/{task}")
        await expect_completed(page)
        await page.keyboard.press("Control+k")
        words = page.get_by_role("combobox", name="Find and do")
        await expect(words).to_be_focused()
        await page.keyboard.type("3")
        await page.get_by_role("option", name="Position 3 and what stood before it").click()
        await expect(page).to_have_url(re.compile(r"at=3$"))
        await expect(page.locator(".event:visible")).to_have_count(3)
        await page.keyboard.press("Control+k")
        await expect(words).to_be_focused()
        await page.keyboard.type("quagmire was")
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(re.compile("w=quagmire"))
        await expect(page.get_by_label("Filter events")).to_have_value("quagmire was")


async def test_the_way_back_closes_what_lies_over_a_page_and_returns_to_the_one_before(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window(width=WIDTH, height=HEIGHT) as opened:
        page = opened.page
        await page.goto(f"{server.url}/#/activity?q=type:agent.*")
        await page.locator(".event").first.click()
        await expect(page.get_by_label("Event in detail")).to_be_visible()
        await page.goto(f"{server.url}/#/agents/scout")
        await expect(page.get_by_label("Event in detail")).to_have_count(0)
        await expect(page.get_by_role("heading", name="scout", level=1)).to_be_visible()
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog", name="Keys and help")).to_be_visible()
        await page.go_back()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(page).to_have_url(re.compile(r"#/activity\?q=type"))
        await expect(page.get_by_role("button", name="type:agent.*")).to_be_visible()


async def test_a_phone_shows_every_hand_and_cuts_nothing_that_is_asked(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window(width=WIDTH, height=HEIGHT) as opened:
        page = opened.page
        await page.goto(await server.link())
        await expect(page.get_by_text("You can act now.")).to_be_visible()
        for name in ("Halt", re.compile("Switch to the"), "Keys and help"):
            assert await lies_within(page.get_by_role("button", name=name), WIDTH, HEIGHT)
        for link in await page.get_by_role("navigation", name="Pages").get_by_role("link").all():
            if await link.is_visible():
                assert await lies_within(link, WIDTH, HEIGHT)
        await page.get_by_role("button", name="Halt").click()
        dialog = page.get_by_role("dialog", name="Stop everything?")
        await expect(dialog).to_be_visible()
        assert await dialog.evaluate("(it) => it.scrollWidth <= it.clientWidth")


async def test_a_thumb_finds_the_decision_at_the_foot_and_only_what_it_decides_on(tmp_path: Path) -> None:
    async with served(tmp_path) as server, server.client() as agora, window(width=WIDTH, height=HEIGHT) as opened:
        page = opened.page
        await agora.approvals.propose(title="Spend more on this", kind="spend", detail="line\n" * 200)
        issued = await agora.tokens.issue("", "grace", ("task", "read", "approve"))
        async with type(agora)(server.url, token=issued.token) as grace:
            await grace.approvals.propose(title="And on that", kind="spend", detail="line\n" * 200)
        await page.goto(await server.link())
        await expect(page.get_by_text("You can act now.")).to_be_visible()
        await page.goto(f"{server.url}/#/approvals")
        await page.get_by_text("And on that").click()
        await expect(page.get_by_role("heading", name="And on that", level=1)).to_be_visible()
        await expect(page.locator(".proposals")).to_be_hidden()
        bar = page.locator(".decide")
        await expect(bar).to_contain_text("needs 1 approver")
        await page.get_by_label("Reason").fill("it pays")
        for name in ("Approve", "Reject"):
            button = page.get_by_role("button", name=name, exact=True)
            assert await lies_within(button, WIDTH, HEIGHT)
            box = await button.bounding_box()
            assert box is not None
            assert min(box["width"], box["height"]) >= 44, "what a thumb hits"
        await page.get_by_role("button", name="Approve", exact=True).click()
        await expect(page.locator(".proposal .state").first).not_to_have_text("ready")
        await page.get_by_role("link", name="Approvals", exact=True).first.click()
        await expect(page.locator(".proposals")).to_be_visible()


async def test_a_countdown_is_a_ring_that_steps_for_who_wants_no_motion(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        await post(server, "Fold a crane", capability="origami", bid_window_s=600)
        await page.goto(f"{server.url}/#/tasks")
        ring = page.locator(".countdown .left")
        await expect(ring).to_have_css("animation-name", "none")
        left = "(ring) => parseFloat(ring.style.strokeDashoffset)"
        before = float(await ring.evaluate(left))
        timer = page.get_by_role("timer")
        await expect(timer).to_have_attribute("aria-label", re.compile(r"^Closes in \d+ seconds$"))
        label = await timer.get_attribute("aria-label")
        await expect(timer).not_to_have_attribute("aria-label", str(label))
        assert float(await ring.evaluate(left)) > before


async def test_a_page_that_could_not_be_fetched_says_so_and_comes_with_the_server(tmp_path: Path) -> None:
    port = str(free_port())
    async with window(excused="WebSocket|ERR_") as opened:
        page = opened.page
        async with served(tmp_path, "--port", port) as server:
            await page.goto(server.url)
            await expect(page.get_by_role("slider", name="Moment of the journal")).to_be_visible()
            server.kill()
            await expect(page.get_by_text("reconnecting")).to_be_visible()
            await page.keyboard.press("g")
            await page.keyboard.press("s")
            await expect(page.get_by_role("alert")).to_contain_text("the server does not answer")
        async with served(tmp_path, "--port", port):
            await expect(page.get_by_role("heading", name="System", level=1)).to_be_visible(timeout=BACK_MS)
            await expect(page.get_by_role("alert")).to_have_count(0)


async def test_what_is_copied_is_what_stands_there(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.url)
        task = await post(server, "Brief to copy")
        await page.goto(f"{server.url}/#/tasks/{task}")
        await expect_completed(page)
        await page.get_by_role("button", name=f"Copy id: {task}").click()
        await expect(page.get_by_text("Copied", exact=True)).to_be_visible()
        assert await page.evaluate("navigator.clipboard.readText()") == task
        await page.get_by_role("button", name="Copy text: text").click()
        shown = await page.locator(".result .text").inner_text()
        copied = str(await page.evaluate("navigator.clipboard.readText()"))
        assert copied.split()[:5] == shown.split()[:5]


async def test_a_search_of_a_journal_that_is_still_being_indexed_says_how_far_it_has_looked() -> None:
    async with staged() as stage, window() as opened:
        stage.position = 1_000
        found = {"events": [event(300)], "scanned": 1, "head": 400, "epoch": 7, "next": None}
        stage.answers["/api/events/search"] = found
        page = opened.page
        await page.goto(f"{stage.url}/#/activity?q=many")
        foot = page.locator(".feed-foot")
        await expect(foot).to_contain_text("0 events shown")
        await expect(foot).not_to_contain_text("indexed")
        await stage.play(5)
        await expect(foot).to_contain_text("searched up to position 400, the rest is still being indexed")
        stage.answers["/api/events/search"] = found | {"head": 1_005}
        await page.goto(f"{stage.url}/#/activity?q=line")
        await expect(foot).to_contain_text("6 events shown")
        await expect(foot).not_to_contain_text("indexed")
