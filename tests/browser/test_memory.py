"""The memory's page: what is remembered, found, corrected and ended, and what each reader gets to see of it."""

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Page, Route, expect

from tests.browser.chrome import PATIENCE_MS, Scheme, window
from tests.browser.stage import staged
from tests.browser.test_access import AXE, violations
from tests.browser.test_page import EVIL_TITLE
from tests.support.served import Served, served

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MANY = 10_000
READ_TO_THE_END = """
async (rows) => {
  const list = document.querySelector(".fact-rows");
  const height = rows * parseFloat(getComputedStyle(list).getPropertyValue("--row"));
  const ends = performance.now() + 15000;
  while (list.scrollHeight < height && performance.now() < ends) {
    list.scrollTop = list.scrollHeight;
    await new Promise(requestAnimationFrame);
  }
  list.scrollTop = list.scrollHeight;
  return list.scrollHeight >= height;
}
"""
SLOWEST_FRAME_MS = """
async () => {
  const list = document.querySelector(".fact-rows");
  list.scrollTop = 0;
  await new Promise(requestAnimationFrame);
  let slowest = 0, before = performance.now();
  for (let frame = 0; frame < 60; frame++) {
    list.scrollTop += 4000;
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    slowest = Math.max(slowest, now - before);
    before = now;
  }
  return slowest;
}
"""

SCROLLS = 5

expect.set_options(timeout=PATIENCE_MS)


async def operate(page: Page, server: Served) -> None:
    await page.goto(await server.link())
    await expect(page.get_by_text("You can act now.")).to_be_visible()


async def remember_key(server: Served) -> None:
    async with server.client() as agora:
        await agora.memory.remember("spare key", "It hangs behind the clock.")


async def test_an_empty_memory_says_what_will_appear_and_others_words_appear_by_themselves(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        await page.goto(server.url)
        await page.keyboard.press("g")
        await page.keyboard.press("m")
        await expect(page.get_by_text("What agents and people remember appears here")).to_be_visible()
        await expect(page.get_by_text('python -m actors.main memory remember "spare key"')).to_be_visible()
        await remember_key(server)
        row = page.get_by_role("row", name=re.compile("spare key"))
        await expect(row).to_contain_text("It hangs behind the clock.")
        await expect(row).to_contain_text("everyone")
        await expect(row).to_contain_text("since just now")
        async with server.client() as agora:
            await agora.memory.correct("f-1", "Ann keeps it.", reason="moved")
        await expect(row).to_contain_text("Ann keeps it.")
        async with server.client() as agora:
            await agora.memory.end("f-2", reason="lost")
        await expect(page.get_by_text("What agents and people remember appears here")).to_be_visible()


async def test_a_fact_is_remembered_corrected_and_ended_on_the_page_and_all_versions_stay(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        await operate(page, server)
        await page.goto(f"{server.url}/#/memory")
        await page.get_by_role("button", name="Remember").click()
        await page.get_by_label("About what").fill("spare key")
        await page.get_by_label("What is so").fill("It hangs behind the clock.")
        await page.get_by_role("dialog").get_by_role("button", name="Remember").click()
        detail = page.get_by_role("article", name="spare key")
        await expect(detail).to_contain_text("valid now")
        await detail.get_by_role("button", name="Correct").click()
        await page.get_by_label("What is so instead").fill("Ann keeps it.")
        await page.get_by_label("Why").fill("moved after the flood")
        await page.get_by_role("button", name="Correct it").click()
        await expect(page).to_have_url(re.compile("memory/f-2$"))
        await expect(detail.locator(".versions li")).to_have_count(2)
        await expect(detail).to_contain_text("admin: moved after the flood")
        await page.get_by_role("button", name=re.compile("1 earlier of spare key")).click()
        await expect(page.locator(".fact[data-depth='1']:visible")).to_contain_text("It hangs behind the clock.")
        await page.get_by_role("button", name=re.compile("1 earlier of spare key")).click()
        await expect(page.locator(".fact[data-depth='1']:visible")).to_have_count(0)
        await detail.get_by_role("link", name="f-1").click()
        await expect(detail).to_contain_text("It was corrected: f-2 stands in its place.")
        await expect(detail.get_by_role("button", name="Correct")).to_have_count(0)
        await detail.get_by_role("link", name="f-2").first.click()
        await detail.get_by_role("button", name="End").click()
        await page.get_by_label("Why").fill("it is lost")
        await page.get_by_role("button", name="End it").click()
        await expect(detail).to_contain_text("It has ended: it is lost.")
        await expect(page.locator(".fact:visible")).to_have_count(0)
        await page.get_by_role("button", name="All", exact=True).click()
        await expect(page.locator(".fact:visible")).to_contain_text("ended just now")
        async with server.client() as agora:
            assert [one.text for one in (await agora.memory.history("f-1")).versions] == [
                "Ann keeps it.",
                "It hangs behind the clock.",
            ]


async def test_words_and_a_moment_of_the_past_stand_in_the_address_and_survive_a_reload(tmp_path: Path) -> None:
    async with served(tmp_path) as server, server.client() as agora, window() as opened:
        page = opened.page
        await agora.memory.remember("spare key", "It hangs behind the clock.", valid_from="2025-01-01T00:00:00Z")
        await agora.memory.correct("f-1", "Ann keeps it.", valid_from="2026-01-01T00:00:00Z")
        await agora.memory.remember("clock", "It is slow.", valid_from="2025-06-01T00:00:00Z")
        await page.goto(f"{server.url}/#/memory")
        await expect(page.locator(".fact:visible")).to_have_count(2)
        await page.keyboard.press("/")
        await page.keyboard.type("spare clock")
        await expect(page).to_have_url(re.compile("q=spare"))
        await expect(page.locator(".fact:visible .fact-words a")).to_have_text(["clock", "spare key"])
        await page.get_by_label("as of").fill("2025-09-01T12:00")
        await expect(page).to_have_url(re.compile("at=2025-09-01"))
        rows = page.locator(".fact:visible")
        await expect(rows.first).to_contain_text("It hangs behind the clock.")
        await page.reload()
        await expect(rows.first).to_contain_text("It hangs behind the clock.")
        await page.get_by_role("button", name="Now").click()
        await page.get_by_label("Words to recall").fill("submarine")
        await expect(page.get_by_text("Nothing that you may read has these words.")).to_be_visible()


async def test_who_may_only_read_sees_what_is_for_everyone_and_changes_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as server, server.client() as agora, window() as opened:
        page = opened.page
        await remember_key(server)
        await agora.memory.remember("vault", "Under the lime tree.", audience="owner")
        await page.goto(f"{server.url}/#/memory/f-1")
        await expect(page.get_by_role("article", name="spare key")).to_be_visible()
        await expect(page.get_by_role("button", name="Correct")).to_have_count(0)
        await expect(page.get_by_role("button", name="Remember")).to_have_count(0)
        await expect(page.locator(".fact:visible")).to_have_count(1)
        await page.goto(f"{server.url}/#/activity?q=type:memory.*")
        await expect(page.get_by_role("option", name=re.compile("something that is not for everyone"))).to_be_visible()
        await expect(page.get_by_text("lime tree")).to_have_count(0)
        await page.goto(f"{server.url}/#/memory/f-2")
        await expect(page.get_by_role("alert")).to_contain_text("no fact is called 'f-2'")
        opened.complaints.clear()  # the browser notes that the fact was not found
        await operate(page, server)
        await page.goto(f"{server.url}/#/memory/f-2")
        await expect(page.get_by_role("article", name="vault")).to_contain_text("admin only")


async def test_an_agents_fact_leads_to_the_agent_and_the_task(tmp_path: Path) -> None:
    async with served(tmp_path) as server, server.client() as agora, window() as opened:
        page = opened.page
        await agora.memory.remember("style", "No adjectives.", task="t-1", audience="named", readers=["agents/scout"])
        await page.goto(await server.link())
        await expect(page.get_by_text("You can act now.")).to_be_visible()
        await page.goto(f"{server.url}/#/memory/f-1")
        detail = page.get_by_role("article", name="style")
        await expect(detail).to_contain_text("admin, scout")
        await expect(detail.get_by_role("link", name="t-1")).to_have_attribute("href", "#/tasks/t-1")


async def test_a_memory_that_cannot_be_read_says_so_keeps_what_was_read_and_is_read_again(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window(excused="503") as opened:
        page = opened.page

        async def refuse(route: Route) -> None:
            await route.fulfill(status=503, json={"detail": "memory is not running; try again"})

        await remember_key(server)
        await page.route("**/api/memory?*", refuse)
        await page.goto(f"{server.url}/#/memory")
        alert = page.get_by_role("alert")
        await expect(alert).to_contain_text("The memory could not be read: memory is not running; try again.")
        await page.unroute("**/api/memory?*")
        await page.get_by_role("button", name="Try again").click()
        await expect(page.locator(".fact:visible")).to_have_count(1)
        await expect(alert).to_have_count(0)
        await page.route("**/api/memory?*", refuse)
        await remember_key(server)
        await expect(alert).to_contain_text("What is shown is what was read before.")
        await expect(page.locator(".fact:visible")).to_have_count(1)


async def test_script_that_is_remembered_is_shown_and_never_run(tmp_path: Path) -> None:
    async with served(tmp_path) as server, server.client() as agora, window() as opened:
        page = opened.page
        await agora.memory.remember(EVIL_TITLE, EVIL_TITLE)
        await agora.memory.correct("f-1", f"{EVIL_TITLE} again", reason=EVIL_TITLE)
        await agora.memory.remember(EVIL_TITLE, EVIL_TITLE)
        await agora.memory.end("f-3", reason=EVIL_TITLE)
        for where in ("memory", "memory?which=all", "memory/f-1", "memory/f-3", f"memory?q={EVIL_TITLE}", "activity"):
            await page.goto(f"{server.url}/#/{where}")
            await expect(page.locator("main").get_by_text("<img").first).to_be_visible()
            assert await page.locator("img[src=x]").count() == 0


async def test_everything_is_done_by_keyboard(tmp_path: Path) -> None:
    async with served(tmp_path) as server, server.client() as agora, window() as opened:
        page = opened.page
        for name in ("one", "two", "three"):
            await agora.memory.remember(name, f"It is {name}.")
        await agora.memory.correct("f-3", "It is three again.")
        await page.goto(f"{server.url}/#/memory")
        await expect(page.locator(".fact:visible")).to_have_count(3)
        await page.keyboard.press("j")
        await expect(page.get_by_role("link", name="three", exact=True)).to_be_focused()
        await page.keyboard.press("ArrowRight")
        await expect(page.locator(".fact:visible")).to_have_count(4)
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        await expect(page.get_by_role("link", name="two", exact=True)).to_be_focused()
        await page.keyboard.press("k")
        await expect(page.get_by_role("link", name="before: three, f-3")).to_be_focused()
        await page.keyboard.press("End")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("article", name="one")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page).to_have_url(re.compile("#/memory$"))


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_the_memory_breaks_no_rule_in_any_of_its_states(tmp_path: Path, width: int, scheme: Scheme) -> None:
    async with served(tmp_path) as server, server.client() as agora, window(width=width, scheme=scheme) as opened:
        page = opened.page
        await operate(page, server)
        await page.evaluate(AXE)
        found: dict[str, list[str]] = {}
        await page.goto(f"{server.url}/#/memory")
        await expect(page.get_by_text("What agents and people remember appears here")).to_be_visible()
        found["empty"] = await violations(page)
        await remember_key(server)
        await agora.memory.correct("f-1", "Ann keeps it.", reason="moved")
        await agora.memory.remember("style", "No adjectives.", audience="named", readers=["agents/scout"])
        await agora.memory.end("f-3", reason="nobody kept to it")
        await page.goto(f"{server.url}/#/memory?which=all")
        await page.get_by_role("button", name=re.compile("1 earlier of spare key")).click()
        await expect(page.locator(".fact:visible")).to_have_count(3)
        found["list"] = await violations(page)
        for fact in ("f-1", "f-2", "f-3"):
            await page.goto(f"{server.url}/#/memory/{fact}")
            await expect(page.locator(".fact-detail h2")).to_be_visible()
            found[fact] = await violations(page)
            assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        await page.goto(f"{server.url}/#/memory/f-2")
        await page.get_by_role("button", name="Correct").click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        found["dialog"] = await violations(page)
        assert {where: each for where, each in found.items() if each} == {}


async def test_ten_thousand_facts_take_few_elements_and_scroll_smoothly_to_the_oldest() -> None:
    async with staged() as stage, window() as opened:
        page = opened.page
        await page.route("**/api/memory?*", answer_many)
        await page.goto(f"{stage.url}/#/memory")
        await expect(page.get_by_text("10,000 facts", exact=True).first).to_be_visible()
        rows = page.locator(".fact-rows")
        assert await page.evaluate(READ_TO_THE_END, MANY)
        await expect(page.get_by_role("link", name="fact 1", exact=True)).to_be_visible()
        assert await page.locator(".fact").count() < 60
        await rows.evaluate("(list) => { list.scrollTop = 0; }")
        await expect(page.get_by_role("link", name="fact 10000", exact=True)).to_be_visible()
        slowest_ms = [float(await page.evaluate(SLOWEST_FRAME_MS)) for _ in range(SCROLLS)]
        print(f"slowest frames of scrolls through {MANY:,} facts: {[round(each) for each in slowest_ms]} ms")
        assert min(slowest_ms) < 250, "what else a machine does is in some of them, what a frame costs in all"


async def answer_many(route: Route) -> None:
    """Facts from the ten thousandth down, as the memory would page them."""
    asked = parse_qs(urlsplit(route.request.url).query)
    last = int(asked.get("after", [f"f-{MANY + 1}"])[0][2:]) - 1
    first = max(1, last - int(asked["limit"][0]) + 1)
    facts = [fact(number) for number in range(last, first - 1, -1)]
    await route.fulfill(json={"facts": facts, "next": f"f-{first}" if first > 1 else "", "held": MANY})


def fact(number: int) -> dict[str, object]:
    return {
        "fact": f"f-{number}",
        "subject": f"fact {number}",
        "text": "It is one of many.",
        "owner": "agents/scout",
        "by": "agents/scout",
        "audience": "everyone",
        "readers": [],
        "valid_from_us": 1_750_000_000_000_000 + number,
        "valid_to_us": 0,
        "recorded_us": 1_750_000_000_000_000 + number,
        "task": "",
        "reason": "",
        "supersedes": "",
        "superseded_by": "",
        "earlier": number % 3,
        "is_ended": False,
    }
