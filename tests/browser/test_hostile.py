"""Hostile neighbours: another page, a rebound name, stored script in every text, and a clock that is wrong."""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from playwright.async_api import Page, Route, expect

from tests.browser.chrome import PATIENCE_MS, window
from tests.browser.test_page import EVIL_TITLE, PAGES, expect_completed, post, tasks_known
from tests.support.served import Served, served

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EVIL = "http://evil.test"
POSTS = """
async ([url, body]) => {
  const said = [];
  for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/json"]) {
    const mode = type.endsWith("json") ? "cors" : "no-cors";
    const options = { method: "POST", mode, credentials: "include", body, headers: { "content-type": type } };
    said.push(await fetch(`${url}/api/tasks`, options).then((answer) => answer.type, () => "failed"));
  }
  said.push(await fetch(`${url}/api/state`, { credentials: "include" }).then(() => "read", () => "failed"));
  said.push(await new Promise((resolve) => {
    const socket = new WebSocket(`${url.replace("http", "ws")}/ws`, "agora.v1");
    socket.onopen = () => resolve("opened");
    socket.onerror = () => resolve("failed");
  }));
  return said;
}
"""
AN_HOUR_OFF = """
const real = Date;
const shift = %d * 3600_000;
globalThis.Date = class extends real {
  constructor(...parts) { parts.length ? super(...parts) : super(real.now() + shift); }
  static now() { return real.now() + shift; }
};
"""

expect.set_options(timeout=PATIENCE_MS)


async def blank(route: Route) -> None:
    await route.fulfill(content_type="text/html", body="<!doctype html><title>evil</title>")


async def send(server: Served, method: str, path: str, body: Mapping[str, object]) -> dict[str, object]:
    headers = {"authorization": f"Bearer {server.token}"}
    async with (
        aiohttp.ClientSession(server.url, headers=headers) as session,
        session.request(method, path, json=body) as response,
    ):
        assert response.status < 300, await response.text()
        found: dict[str, object] = await response.json()
        return found


async def fill_every_text(server: Served) -> tuple[str, ...]:
    """Script in each further text that somebody may write; the places where those are shown."""
    proposal = {"title": EVIL_TITLE, "kind": "spend", "detail": EVIL_TITLE, "subject": EVIL_TITLE}
    rejected = await send(server, "POST", "/api/approvals", proposal)
    decision = {"hash": rejected["hash"], "reason": EVIL_TITLE, "version": rejected["version"]}
    await send(server, "POST", f"/api/approvals/{rejected['proposal']}/reject", decision)
    waiting = await send(server, "POST", "/api/approvals", {**proposal, "subject": f"{EVIL_TITLE} again"})
    invoice = {"amount_msat": 1_000, "description": EVIL_TITLE}
    await send(server, "POST", "/api/ledger/invoices", invoice)
    task = {"title": EVIL_TITLE, "instructions": EVIL_TITLE}
    await send(server, "POST", "/api/schedules", {"task": task, "cron": "0 9 * * *", "zone": "UTC"})
    await send(server, "POST", "/api/triggers", {"types": ["task.failed"], "post": task})
    chat = {"model": "agora", "messages": [{"role": "user", "content": f"{EVIL_TITLE}. It is a text. It is short."}]}
    await send(server, "POST", "/v1/chat/completions", chat)
    return (
        "approvals",
        f"approvals/{rejected['proposal']}",
        f"approvals/{waiting['proposal']}",
        "tasks?view=schedules",
        "router/m-1",
        f"router/{EVIL_TITLE}",
        f"tasks/{EVIL_TITLE}",
        f"approvals/{EVIL_TITLE}",
        f"tasks?view=table&q={EVIL_TITLE}",
    )


async def shown_as_text(page: Page) -> None:
    assert await page.locator("img[src=x]").count() == 0


async def test_another_page_in_the_same_browser_can_neither_act_nor_read(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window(excused="CORS|WebSocket|ERR_|403") as opened:
        page = opened.page
        await page.goto(await server.link())
        await expect(page.get_by_text("You can act now.")).to_be_visible()
        await page.route(f"{EVIL}/**", blank)
        await page.goto(f"{EVIL}/")
        said = await page.evaluate(POSTS, [server.url, '{"title": "stolen"}'])
        assert said == ["failed"] * 5
        assert await tasks_known(server) == []


async def test_a_name_rebound_to_this_machine_reaches_nothing(tmp_path: Path) -> None:
    arguments = ("--host-resolver-rules=MAP rebound.test 127.0.0.1",)
    async with served(tmp_path) as server, window(arguments=arguments, excused="421|Opener-Policy") as opened:
        port = urlsplit(server.url).port
        for path in ("/", "/api/state", "/static/app.js", "/ws"):
            answer = await opened.page.goto(f"http://rebound.test:{port}{path}")
            assert answer is not None
            assert answer.status == 421


async def test_script_that_is_stored_in_any_text_is_shown_and_never_run(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window(excused="404") as opened:
        page = opened.page
        artifact = await send(
            server, "POST", "/api/artifacts", {"name": EVIL_TITLE, "text": f"{EVIL_TITLE}. {EVIL_TITLE}."}
        )
        done = await post(server, EVIL_TITLE, instructions=f"{EVIL_TITLE} is a text. It has two sentences.")
        read = await post(server, "Brief it", input=str(artifact["artifact"]))
        gone = await post(server, EVIL_TITLE, capability="nobody", bid_window_s=600)
        await send(server, "POST", f"/api/tasks/{gone}/cancel", {"reason": EVIL_TITLE})
        await send(server, "POST", "/api/checkpoints", {"label": EVIL_TITLE})
        await send(server, "PATCH", "/api/router/providers/extractive", {"enabled": False, "reason": EVIL_TITLE})
        await send(server, "PATCH", "/api/router/providers/extractive", {"enabled": True})
        await send(server, "POST", "/api/system/halt", {"reason": EVIL_TITLE})
        await send(server, "POST", "/api/system/resume", {})
        places = await fill_every_text(server)
        await page.goto(await server.link())
        await expect(page.get_by_text("You can act now.")).to_be_visible()
        for where in (
            *PAGES,
            f"tasks/{done}",
            f"tasks/{read}",
            f"tasks/{gone}",
            "agents/scout",
            f"agents/{EVIL_TITLE}",
            *places,
        ):
            await page.goto(f"{server.url}/#/{where}")
            await expect(page.locator("main")).not_to_be_empty()
            if where in places:
                await expect(page.locator("main")).to_contain_text(EVIL_TITLE)
            await shown_as_text(page)
        await page.goto(f"{server.url}/#/activity?q={EVIL_TITLE}")
        rows = page.locator(".event:visible", has_text=EVIL_TITLE)
        await expect(rows.first).to_be_visible()
        for index in range(min(8, await rows.count())):
            await rows.nth(index).click()
            await expect(page.get_by_label("Event in detail")).to_contain_text("<img")
        await page.keyboard.press("Control+k")
        await page.keyboard.type("<img")
        await expect(page.get_by_role("option", name=EVIL_TITLE).first).to_be_visible()
        await shown_as_text(page)


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_clock_an_hour_off_changes_no_countdown_and_no_age(tmp_path: Path, hours: int) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        await page.add_init_script(AN_HOUR_OFF % hours)
        open_ = await post(server, "Fold a crane", capability="origami", bid_window_s=600)
        done = await post(server, "Brief now")
        await page.goto(f"{server.url}/#/tasks/{done}")
        await expect_completed(page)
        await expect(page.locator(".facts time").first).to_have_text(re.compile(r"just now|\d+ s ago"))
        await page.goto(f"{server.url}/#/tasks/{open_}")
        timer = page.get_by_role("timer")
        await expect(timer).to_be_visible()
        left = re.findall(r"\d+", await timer.get_attribute("aria-label") or "")
        assert 500 <= int(left[0]) <= 600
