"""The page against a real server: what a person sees, in a real Chromium."""

import gzip
import re
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Page, Response, expect

from tests.browser.chrome import BACK_MS, PATIENCE_MS, Scheme, window
from tests.support.ports import free_port
from tests.support.served import Served, served

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WORK_MS = 60_000
"""A task from its posting to its end on a loaded machine."""
FIRST_LOAD_BYTES_MAX = 40 * 1024
LOADED_BEFORE_SHOWN = """
() => {
  const [shown] = performance.getEntriesByName("shown");
  const files = performance.getEntriesByType("resource").filter((each) => each.startTime < shown.startTime);
  return [location.href, ...files.map((each) => each.name)];
}
"""
"""The page and the files that were asked for until the first event was on the screen."""
EVIL_TITLE = "<img src=x onerror=alert(1)>"
INSTRUCTIONS = (
    "Read this and say what it is about. Agora is a society of agents. They bid for tasks and are paid for results. "
    "Every event is kept in one journal. Nothing that was acknowledged is ever lost."
)
PAGES = (
    "activity",
    "tasks",
    "tasks?view=table",
    "tasks?view=schedules",
    "agents",
    "agents?view=table",
    "ledger",
    "approvals",
    "router",
    "memory",
    "system",
)
WIDTHS = (1440, 1024, 390)

expect.set_options(timeout=PATIENCE_MS)


async def post(server: Served, title: str, **spec: str | float) -> str:
    """Post a task over HTTP, as a tool would."""
    headers = {"authorization": f"Bearer {server.token}"}
    body = {"title": title, "instructions": INSTRUCTIONS, **spec}
    async with (
        aiohttp.ClientSession(server.url, headers=headers) as session,
        session.post("/api/tasks", json=body) as response,
    ):
        assert response.status == 201, await response.text()
        return str((await response.json())["task"])


async def tasks_known(server: Served) -> list[str]:
    async with aiohttp.ClientSession(server.url) as session, session.get("/api/state") as response:
        return sorted((await response.json())["tasks"]["items"])


async def expect_completed(page: Page) -> None:
    await expect(page.locator("main .page-head .state")).to_have_text("completed", timeout=WORK_MS)


async def test_a_task_posted_on_the_page_is_bid_for_done_and_paid_before_the_readers_eyes(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        await page.goto(await server.link())
        await page.get_by_role("link", name="Tasks").click()
        await page.get_by_role("button", name="Post a task").click()
        await page.get_by_label("Title").fill("Brief the society")
        await page.get_by_label("Instructions").fill(INSTRUCTIONS)
        await page.get_by_role("button", name="Post the task").click()
        await expect(page.get_by_role("heading", name="Brief the society")).to_be_visible()
        await expect_completed(page)
        await expect(page.locator(".result .text")).not_to_be_empty()
        await expect(page.locator(".ranking [data-won]")).to_contain_text("msat")
        await expect(page.locator(".timeline")).to_contain_text("placed a sealed bid on “Brief the society”")
        await page.get_by_role("link", name="Activity", exact=True).click()
        await expect(page.get_by_role("option", name=re.compile("finished “Brief the society”"))).to_be_visible()


async def test_tasks_of_others_appear_and_finish_without_a_reload(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        await page.goto(f"{server.url}/#/tasks")
        await expect(page.get_by_text("Tasks appear here as they are posted")).to_be_visible()
        await post(server, "Brief one")
        await post(server, "Brief two")
        done = page.get_by_role("region", name="Completed")
        await expect(done.get_by_text("Brief one")).to_be_visible(timeout=WORK_MS)
        await expect(done.get_by_text("Brief two")).to_be_visible(timeout=WORK_MS)


async def test_a_reload_changes_nothing_but_the_view(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        task = await post(server, "Brief once")
        await page.goto(f"{server.url}/#/tasks/{task}")
        await expect_completed(page)
        timeline = await page.locator(".timeline li").all_inner_texts()
        before = await tasks_known(server)
        for _ in range(3):
            await page.reload()
            await expect_completed(page)
        await expect(page.locator(".timeline li")).to_have_count(len(timeline))
        assert await tasks_known(server) == before == [task]


async def test_a_title_with_markup_is_shown_as_text_and_runs_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        task = await post(server, EVIL_TITLE)
        await page.goto(f"{server.url}/#/tasks/{task}")
        await expect(page.get_by_role("heading", name=EVIL_TITLE)).to_be_visible()
        await expect_completed(page)
        for where in ("tasks", "tasks?view=table", "agents", "ledger", "activity"):
            await page.goto(f"{server.url}/#/{where}")
            await expect(page.locator("main")).to_be_visible()
        await expect(page.locator(".event", has_text=EVIL_TITLE).first).to_be_visible()
        await page.locator(".event", has_text=EVIL_TITLE).first.click()
        await expect(page.get_by_label("Event in detail")).to_contain_text(EVIL_TITLE)
        assert await page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_no_page_scrolls_sideways(tmp_path: Path, width: int, scheme: Scheme) -> None:
    async with served(tmp_path) as server, window(width=width, scheme=scheme) as opened:
        page = opened.page
        task = await post(server, "Brief a document with a rather long name that has to be wrapped somewhere")
        await page.goto(f"{server.url}/#/tasks/{task}")
        await expect_completed(page)
        for where in (*PAGES, f"tasks/{task}"):
            await page.goto(f"{server.url}/#/{where}")
            await expect(page.locator("main h1")).to_have_count(1)
            await opened.settled()
            await expect(page.locator("main")).not_to_be_empty()
            assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, where
            assert await page.evaluate("document.querySelector('main').scrollWidth - innerWidth") <= 0, where


async def test_the_first_load_is_at_most_forty_kilobytes_compressed(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        answers: list[Response] = []

        def note(answer: Response) -> None:
            answers.append(answer)

        opened.page.on("response", note)
        await opened.page.goto(server.url)
        await expect(opened.page.locator(".event").first).to_be_visible()
        await expect(opened.page.get_by_role("slider", name="Moment of the journal")).to_be_visible()
        first = await opened.page.evaluate(LOADED_BEFORE_SHOWN)
        files = [answer for answer in answers if answer.url in first and "/api/" not in answer.url]
        sizes = {answer.url: len(gzip.compress(await answer.body(), 9)) for answer in files}
        assert len(sizes) > 15
        assert sum(sizes.values()) <= FIRST_LOAD_BYTES_MAX, sizes


async def test_without_a_session_the_page_only_reads_and_says_how_to_act(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        await page.goto(f"{server.url}/#/tasks")
        await expect(page.get_by_text("Read only.")).to_contain_text("python -m actors.main link")
        await expect(page.get_by_role("button", name="Post a task")).to_have_count(0)


async def test_a_link_opens_a_session_once_and_leaves_the_address(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        link = await server.link()
        await page.goto(link)
        await expect(page.get_by_text("You can act now.")).to_be_visible()
        assert "token" not in page.url
        await page.reload()
        await expect(page.get_by_text("live", exact=True)).to_be_visible()
        await expect(page.get_by_text("Read only.")).to_have_count(0)


async def test_an_open_task_is_cancelled_with_a_reason_after_being_asked_once(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        task = await post(server, "Fold a crane", capability="origami", bid_window_s=600)
        await page.goto(await server.link())
        await expect(page.get_by_text("You can act now.")).to_be_visible()
        await page.goto(f"{server.url}/#/tasks/{task}")
        await expect(page.get_by_text("no bids")).to_be_visible()
        await page.get_by_role("button", name="Cancel the task").click()
        await page.get_by_label("Reason").fill("not needed any more")
        await page.locator("dialog").get_by_role("button", name="Cancel the task").click()
        await expect(page.locator("main .page-head .state")).to_have_text("cancelled")
        await expect(page.locator(".callout")).to_contain_text("not needed any more")
        await expect(page.locator(".timeline")).to_contain_text("A hold was released for “Fold a crane”")


async def test_a_pause_counts_what_waits_and_following_shows_it(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        await page.goto(server.url)
        await expect(page.locator(".event").first).to_be_visible()
        await page.get_by_role("button", name="Pause").click()
        shown = await page.locator(".event").first.inner_text()
        task = await post(server, "Brief later")
        await expect(page.locator(".count")).to_have_text(re.compile(r"\d+ new"))
        assert await page.locator(".event").first.inner_text() == shown
        await page.get_by_role("button", name="Follow").click()
        await expect(page.get_by_role("option", name=re.compile("“Brief later”")).first).to_be_visible()
        await page.goto(f"{server.url}/#/tasks/{task}")
        await expect_completed(page)


async def test_a_filter_stands_in_the_address_and_survives_a_reload(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        await page.goto(server.url)
        await expect(page.get_by_label("Filter events")).to_be_visible()
        await page.keyboard.press("/")
        await page.keyboard.type("type:agent.*")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name="type:agent.*")).to_be_visible()
        await page.reload()
        await expect(page.get_by_role("option", name=re.compile("joined")).first).to_be_visible()
        chips = await page.locator(".event:visible .chip").all_inner_texts()
        assert {chip.split(".")[0] for chip in chips} == {"agent"}


async def test_words_are_found_in_all_of_the_journal_and_an_event_shows_what_led_to_it(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        task = await post(server, "Brief the quagmire")
        await page.goto(f"{server.url}/#/tasks/{task}")
        await expect_completed(page)
        for number in range(40):
            last = await post(server, f"Brief number {number}")
        await page.goto(f"{server.url}/#/tasks/{last}")
        await expect_completed(page)
        await page.goto(f"{server.url}/#/activity?q=quagm")
        await page.reload()
        found = page.get_by_role("option", name=re.compile("“Brief the quagmire”")).first
        await expect(found).to_be_visible()
        await found.click()
        chain = page.locator(".drawer .chain")
        await expect(chain.locator("li")).not_to_have_count(1)
        await expect(chain).to_contain_text("“Brief the quagmire” was posted")


async def test_everything_can_be_reached_by_keyboard(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        await page.goto(server.url)
        await expect(page.locator(".event").first).to_be_visible()
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("Event in detail")).to_contain_text('"position"')
        await page.keyboard.press("Escape")
        await expect(page.get_by_label("Event in detail")).to_have_count(0)
        for key, heading in (("t", "Tasks"), ("e", "Agents"), ("l", "Ledger"), ("r", "Router"), ("s", "System")):
            await page.keyboard.press("g")
            await page.keyboard.press(key)
            await expect(page.get_by_role("heading", name=heading, exact=True, level=1)).to_be_visible()
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog", name="Keys and help")).to_be_visible()
        await page.keyboard.press("Escape")
        await page.keyboard.press("Control+k")
        await expect(page.get_by_role("combobox", name="Find and do")).to_be_focused()
        await page.keyboard.type("ledger")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Ledger", exact=True)).to_be_visible()


async def test_a_restart_of_the_server_is_said_survived_and_leaves_no_gap_or_duplicate(tmp_path: Path) -> None:
    port = str(free_port())
    async with window(excused="WebSocket|ERR_") as opened:
        page = opened.page
        async with served(tmp_path, "--port", port) as server:
            task = await post(server, "Brief before")
            await page.goto(f"{server.url}/#/activity?q=type:task.*")
            await expect(page.get_by_role("option", name=re.compile("finished “Brief before”"))).to_be_visible()
            server.kill()
            await expect(page.get_by_text("reconnecting")).to_be_visible()
            await expect(page.get_by_role("option", name=re.compile("finished “Brief before”"))).to_be_visible()
        async with served(tmp_path, "--port", port) as server:
            await expect(page.get_by_text("live", exact=True)).to_be_visible(timeout=BACK_MS)
            assert await post(server, "Brief after") != task
            await expect(page.get_by_role("option", name=re.compile("finished “Brief after”"))).to_be_visible()
            ends = await page.get_by_role("option", name=re.compile("finished")).all_inner_texts()
            assert len(ends) == 2
            assert await page.get_by_text("were not received").count() == 0
