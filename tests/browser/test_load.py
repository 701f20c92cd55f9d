"""The page under more than anyone reads: many rows, and many events each second."""

import asyncio
import time
from contextlib import suppress

import pytest
from playwright.async_api import Page, expect

from tests.browser.chrome import PATIENCE_MS, window
from tests.browser.stage import staged

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ROWS = 10_000
PACE = 10_000
"""Events per second."""
BATCHES_PER_S = 25
MEASURED_S = 4.0
FRAMES = """
async (seconds) => {
  const start = performance.now();
  let frames = 0;
  while (performance.now() - start < seconds * 1000) {
    await new Promise(requestAnimationFrame);
    frames += 1;
  }
  return frames / seconds;
}
"""
LAG_MS = """
async (seconds) => {
  const lags = [];
  const { feed } = await import("/static/store.js");
  const start = performance.now();
  while (performance.now() - start < seconds * 1000) {
    await new Promise(requestAnimationFrame);
    const row = document.querySelector(".event:not([hidden]) .event-position");
    const event = row && feed.find(Number(row.textContent));
    if (event) lags.push(Date.now() - event.ms);
  }
  lags.sort((a, b) => a - b);
  return lags[Math.floor(lags.length / 2)];
}
"""
"""How old the newest event on the screen is: the middle of what each frame shows."""

expect.set_options(timeout=PATIENCE_MS)


async def evaluated(page: Page, script: str) -> float:
    return float(await page.evaluate(script, MEASURED_S))


async def test_ten_thousand_rows_take_few_elements_and_the_last_is_a_key_away() -> None:
    async with staged() as stage, window() as opened:
        page = opened.page
        await page.goto(stage.url)
        await expect(page.get_by_text("live", exact=True)).to_be_visible()
        for _ in range(10):
            await stage.play(ROWS // 10)
        await expect(page.get_by_text(f"{ROWS:,} events shown")).to_be_visible()
        assert await page.locator(".event").count() < 100
        await page.get_by_role("listbox").focus()
        await page.keyboard.press("End")
        await expect(page.get_by_text("line 1 of many", exact=False).first).to_be_visible()
        assert await page.locator(".event").count() < 100


async def test_who_reads_below_the_top_keeps_the_place_while_events_arrive() -> None:
    async with staged() as stage, window() as opened:
        page = opened.page
        await page.goto(stage.url)
        await expect(page.get_by_text("live", exact=True)).to_be_visible()
        await stage.play(1_000)
        await expect(page.get_by_text("1,000 events shown")).to_be_visible()
        await page.locator(".events").evaluate("(list) => { list.scrollTop = 4200; }")
        await expect(page.get_by_text("line 850 of many")).to_be_visible()
        await stage.play(1_000)
        await expect(page.get_by_text("line 850 of many")).to_be_visible()
        assert await page.locator(".events").evaluate("(list) => list.scrollTop") == 4200


@pytest.mark.long
async def test_ten_thousand_events_a_second_leave_the_page_smooth_and_current() -> None:
    async with staged() as stage, window() as opened:
        page = opened.page
        await page.goto(stage.url)
        await expect(page.get_by_text("live", exact=True)).to_be_visible()
        await stage.play(500)
        await expect(page.locator(".event").first).to_be_visible()
        idle = await evaluated(page, FRAMES)
        is_over = asyncio.Event()

        async def pour() -> None:
            due = time.monotonic()
            while not is_over.is_set():
                await stage.play(PACE // BATCHES_PER_S)
                due += 1 / BATCHES_PER_S
                with suppress(TimeoutError):
                    await asyncio.wait_for(is_over.wait(), max(0.0, due - time.monotonic()))

        async with asyncio.TaskGroup() as group:
            group.create_task(pour())
            busy = await evaluated(page, FRAMES)
            lag_ms = await evaluated(page, LAG_MS)
            text = await page.locator(".event:visible .event-text").first.inner_text()
            is_over.set()
        print(f"frames per second: {idle:.1f} idle, {busy:.1f} at {PACE:,} events/s; lag {lag_ms:.0f} ms")
        assert "of many" in text
        assert stage.position >= PACE * MEASURED_S
        assert busy >= 0.9 * idle
        assert lag_ms <= 150
