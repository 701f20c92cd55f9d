"""Money and time from the page: invoices with their codes, what is held, quotas, and schedules to cancel."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from bus.messages.tasks import TaskSpec
from tests.browser.chrome import PATIENCE_MS, window
from tests.browser.test_page import expect_completed, post
from tests.support.served import Served, served

pytestmark = [pytest.mark.browser, pytest.mark.slow]

expect.set_options(timeout=PATIENCE_MS)

PAGES = ("activity", "tasks", "agents", "ledger", "approvals", "router", "memory", "system")


async def opened_by_an_operator(page: Page, server: Served) -> None:
    await page.goto(await server.link())
    await expect(page.get_by_text("You can act now.")).to_be_visible()


async def test_that_lightning_is_simulated_is_said_on_every_page(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        for name in PAGES:
            await opened.page.goto(f"{server.url}/#/{name}")
            await expect(opened.page.locator(".badge.simulated")).to_have_text("simulated Lightning")


async def test_an_invoice_is_made_shown_as_a_code_and_settled_and_the_books_still_sum_to_zero(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        await opened_by_an_operator(page, server)
        await page.goto(f"{server.url}/#/ledger")
        await page.get_by_role("button", name="New invoice").click()
        await page.get_by_label("Amount, in msat").fill("42000")
        await page.get_by_label("What for").fill("<b>A month</b> of briefs")
        await page.get_by_role("button", name="Make the invoice").click()
        dialog = page.get_by_role("dialog", name="Invoice i-1")
        code = dialog.get_by_role("img", name="QR code of the invoice")
        await expect(code).to_be_visible()
        drawn = "(image) => image.decode().then(() => image.naturalWidth > 0)"
        assert await code.evaluate(drawn), "the code is an image that the page may show"
        await expect(dialog).to_contain_text("lnbcrt420n1")
        await expect(dialog).to_contain_text("<b>A month</b> of briefs")
        await expect(dialog.locator(".badge")).to_have_text("simulated")
        await dialog.get_by_role("button", name="Settle it (simulated)").click()
        await expect(dialog).to_contain_text("settled")
        await expect(dialog).to_contain_text("proof")
        await expect(code).to_have_count(0)
        await dialog.get_by_role("button", name="Close").last.click()
        row = page.get_by_role("region", name="Balances").get_by_role("row", name="lightning/simulated")
        await expect(row).to_contain_text("\N{MINUS SIGN}42,000 msat")
        await expect(page.locator(".proof")).to_contain_text("All postings sum to zero")


async def test_a_reader_sees_invoices_and_can_neither_make_nor_settle_one(tmp_path: Path) -> None:
    async with served(tmp_path) as server, server.client() as agora, window() as opened:
        made = await agora.invoices.create(5_000)
        page = opened.page
        await page.goto(f"{server.url}/#/ledger")
        await page.get_by_role("button", name=made.invoice, exact=True).click()
        await expect(page.get_by_role("img", name="QR code of the invoice")).to_be_visible()
        await expect(page.get_by_role("button", name="Settle it (simulated)")).to_have_count(0)
        await expect(page.get_by_role("button", name="New invoice")).to_have_count(0)


async def test_what_is_held_is_listed_until_it_is_paid_or_released(tmp_path: Path) -> None:
    async with served(tmp_path) as server, server.client() as agora, window() as opened:
        spec = TaskSpec(title="Look at the stars", capability="astronomy", bid_window_s=600)
        task = await agora.create_task(spec)
        page = opened.page
        await page.goto(f"{server.url}/#/ledger")
        holds = page.get_by_role("region", name="Holds")
        await expect(holds.get_by_role("link", name=f"hold/{task.task}")).to_be_visible()
        await agora.cancel_task(task.task, "no need")
        await expect(page.get_by_text("No money is held: nothing is under way.")).to_be_visible()


async def test_a_schedule_is_shown_with_its_next_time_and_cancelled_after_being_asked(tmp_path: Path) -> None:
    async with served(tmp_path) as server, server.client() as agora, window() as opened:
        await agora.schedules.create(TaskSpec(title="Read the news"), cron="0 9 * * *", zone="Europe/Berlin")
        page = opened.page
        await page.goto(f"{server.url}/#/tasks?view=schedules")
        row = page.get_by_role("row", name=re.compile("Read the news"))
        await expect(row).to_contain_text("0 9 * * * in Europe/Berlin")
        await expect(row).to_contain_text(re.compile(r"in \d+ (h|min)"))
        await expect(row.get_by_role("button", name="Cancel")).to_have_count(0)
        await opened_by_an_operator(page, server)
        await page.goto(f"{server.url}/#/tasks?view=schedules")
        await row.get_by_role("button", name="Cancel").click()
        await page.get_by_role("button", name="Cancel the schedule").click()
        await expect(row).to_contain_text("cancelled")
        await expect(row.get_by_role("button", name="Cancel")).to_have_count(0)
        assert [one.is_cancelled for one in (await agora.schedules.all()).schedules] == [True]


async def test_what_an_agent_has_used_of_its_quotas_is_on_its_page(tmp_path: Path) -> None:
    env = {"AGORA_QUOTAS__CALLS": "1", "AGORA_QUOTAS__POLICY": "wait"}
    async with served(tmp_path, env=env) as server, window() as opened:
        page = opened.page
        task = await post(server, "Brief once")
        await page.goto(f"{server.url}/#/tasks/{task}")
        await expect_completed(page)
        async with server.client() as agora:
            worker = (await agora.task(task)).agent
        await page.goto(f"{server.url}/#/agents/{worker}")
        await expect(page.locator(".quotas")).to_contain_text("1 of 1")
        await expect(page.locator(".quotas .meter")).to_have_attribute("data-high", "")


async def test_a_card_says_why_its_agent_won(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        await page.goto(f"{server.url}/#/tasks/{await post(server, 'Brief one')}")
        await expect_completed(page)
        await page.goto(f"{server.url}/#/tasks")
        await expect(page.locator(".card .why")).to_contain_text(re.compile("lowest|only"))
