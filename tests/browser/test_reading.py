"""What the pages show in full: texts as prose, words as they are said, what is wrong, and every point to go back to."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from playwright.async_api import expect

from tests.browser.chrome import PATIENCE_MS, SCRIPTED, serve_files, window
from tests.browser.test_page import EVIL_TITLE, expect_completed, post
from tests.support.fault_server import refusing_url
from tests.support.served import served

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BLOCKS = """
async (text) => {
  const { blocks, spans } = await import("/static/prose.js");
  const parts = blocks(text).map(({ kind, lines }) => [kind, ...lines]);
  return { blocks: parts, spans: spans(text).map(({ kind, text }) => [kind, text]) };
}
"""
PROSE = """# What it says

One line
and the next.

- a point
- another
  that goes on

1. first
2) second

> as was said

```
if x: - not a point
```
---
"""

expect.set_options(timeout=PATIENCE_MS)


class Read(msgspec.Struct):
    """What the page makes of a text."""

    blocks: list[list[str]]
    spans: list[tuple[str, str]]


async def understood(text: str) -> Read:
    async with window() as opened:
        await serve_files(opened.page)
        await opened.page.goto(f"{SCRIPTED}/static/prose.js")
        return msgspec.convert(await opened.page.evaluate(BLOCKS, text), Read)


async def test_a_text_is_understood_as_headings_lists_quotes_and_code() -> None:
    assert (await understood(PROSE)).blocks == [
        ["heading", "What it says"],
        ["paragraph", "One line", "and the next."],
        ["bullets", "a point", "another that goes on"],
        ["numbers", "first", "second"],
        ["quote", "as was said"],
        ["code", "if x: - not a point"],
        ["rule", ""],
    ]


async def test_emphasis_is_seen_and_all_else_stays_as_it_was_written() -> None:
    text = "a **b** `c*d*` *e* 2 * 3 * 4 snake_case [f](javascript:g) <img src=x>"
    assert (await understood(text)).spans == [
        ("text", "a "),
        ("strong", "b"),
        ("text", " "),
        ("code", "c*d*"),
        ("text", " "),
        ("em", "e"),
        ("text", " 2 * 3 * 4 snake_case "),
        ("link", "f"),
        ("text", " <img src=x>"),
    ]


async def test_a_text_without_an_end_or_a_beginning_is_shown_all_the_same() -> None:
    assert (await understood("")).blocks == []
    assert (await understood("```\nnever closed")).blocks == [["code", "never closed"]]
    assert (await understood("**open\n####### seven")).blocks == [["paragraph", "**open", "####### seven"]]


class Speaker:
    """A provider that says the first half of its answer, and the rest when it is told to."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.url = ""

    async def on_chat(self, request: web.Request) -> web.StreamResponse:
        """Answer as most engines do, word by word."""
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(_said("Mars has two moons. "))
        await self.go_on.wait()
        await answer.write(_said(f"{EVIL_TITLE} they are small.", "stop"))
        await answer.write(b"data: [DONE]\n\n")
        return answer


def _said(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    usage = {"prompt_tokens": 10, "completion_tokens": 8, "total_tokens": 18}
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + msgspec.json.encode({**chunk, **({"usage": usage} if finish else {})}) + b"\n\n"


@asynccontextmanager
async def speaking() -> AsyncIterator[Speaker]:
    speaker = Speaker()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", speaker.on_chat)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        speaker.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield speaker
    finally:
        await runner.cleanup()


async def test_a_completion_streams_its_words_and_then_stands_there_with_its_attempts(tmp_path: Path) -> None:
    config = tmp_path / "agora.toml"
    async with speaking() as speaker:
        provider = f'[[router.providers]]\nname = "near"\ndialect = "openai"\nbase_url = "{speaker.url}"\nmodel = "m"\n'
        config.write_text(provider, encoding="utf-8")
        async with (
            served(tmp_path / "data", env={"AGORA_CONFIG": str(config)}) as server,
            window(excused="404") as opened,
        ):
            page = opened.page
            task = await post(server, "Brief the moons")
            await page.goto(f"{server.url}/#/router")
            words = page.locator(".words")
            await expect(words).to_contain_text("Mars has two")
            await words.get_by_role("link").click()
            await expect(page.get_by_role("heading", name="Completion m-1", level=1)).to_be_visible()
            await expect(page.locator(".stream")).to_contain_text("Mars has two")
            speaker.go_on.set()
            await expect(page.get_by_role("img", name=re.compile(r"from .* to .*, ok"))).to_be_visible()
            await expect(page.locator(".answered pre")).to_contain_text(f"{EVIL_TITLE} they are small.")
            await page.goto(f"{server.url}/#/tasks/{task}")
            await expect_completed(page)
            await expect(page.locator(".result .prose")).to_contain_text(EVIL_TITLE)
            assert await page.locator("img[src=x]").count() == 0


async def test_what_is_wrong_is_said_in_the_bar_and_on_the_systems_page_with_its_cause(tmp_path: Path) -> None:
    config = tmp_path / "agora.toml"
    with refusing_url() as url:
        broken = f'[[router.providers]]\nname = "gone"\ndialect = "openai"\nbase_url = "{url}"\nmodel = "m"\n'
        config.write_text(f'{broken}[[router.providers]]\nname = "extractive"\ndialect = "extractive"\n', "utf-8")
        async with served(tmp_path / "data", env={"AGORA_CONFIG": str(config)}) as server, window() as opened:
            page = opened.page
            await page.goto(f"{server.url}/#/system")
            await expect(page.locator(".wrong")).to_contain_text("All is well")
            for number in range(3):
                await post(server, f"Brief number {number}")
            await expect(page.locator(".wrong li")).to_contain_text("breaker/gone")
            await expect(page.get_by_role("button", name="1 alert")).to_be_visible()
            await page.locator(".wrong").get_by_role("link", name="breaker/gone").click()
            lane = page.locator(".lane", has_text="gone").first
            await expect(lane.get_by_role("img", name="Breaker open")).to_be_visible()


async def test_a_checkpoint_tells_the_ways_from_it_and_is_kept_when_it_is_pinned(tmp_path: Path) -> None:
    async with served(tmp_path) as server, server.client() as agora, window() as opened:
        page = opened.page
        saved = (await agora.checkpoints.save("a good moment")).checkpoint
        await page.goto(await server.link())
        await expect(page.get_by_text("You can act now.")).to_be_visible()
        await page.goto(f"{server.url}/#/system")
        panel = page.locator(".checkpoints")
        await panel.get_by_role("button", name=saved, exact=True).click()
        for way in ("Verify", "Compare with the newest", f"restore {saved}", f"fork {saved} --into"):
            await expect(panel.locator(".ways")).to_contain_text(way)
        await panel.get_by_role("button", name="Pin it").click()
        await expect(panel.get_by_role("button", name="Pinned")).to_have_attribute("aria-pressed", "true")
        assert [each.is_pinned for each in (await agora.checkpoints.all()).checkpoints] == [True]


async def test_an_agents_page_shows_what_it_earned_what_it_spent_and_its_own_feed(tmp_path: Path) -> None:
    async with served(tmp_path) as server, server.client() as agora, window() as opened:
        page = opened.page
        task = await post(server, "Brief by one of them")
        await page.goto(f"{server.url}/#/tasks/{task}")
        await expect_completed(page)
        view = await agora.task(task)
        await page.goto(f"{server.url}/#/agents/{view.agent}")
        facts = page.locator(".side-column .facts").first
        await expect(facts).to_contain_text(f"{view.price_msat} msat")
        await expect(facts).to_contain_text("spent on models")
        await expect(page.get_by_role("option", name=re.compile("finished “Brief by one of them”"))).to_be_visible()
        await expect(page.get_by_text("It has no task in hand.")).to_be_visible()


async def test_what_is_not_there_is_said_under_a_heading_of_its_own(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window(excused="404") as opened:
        for where in ("tasks/t-99", "agents/nobody", "approvals/p-99", "router/m-99"):
            await opened.page.goto(f"{server.url}/#/{where}")
            await expect(opened.page.locator("main h1")).to_have_count(1)
            await expect(opened.page.locator("main")).to_contain_text(re.compile("there is no|no .* is called", re.I))
