"""What the page says that is stored nowhere: until when a lease runs, and what stands in the way of work."""

import re
import time
from pathlib import Path

import anyio
import pytest
from playwright.async_api import expect

from tests.acceptance.test_full_disk import ALERT, post_until_refused
from tests.browser.chrome import PATIENCE_MS, window
from tests.browser.stage import Stage, staged
from tests.support.served import served
from tests.support.small_disk import BY_ROOT, fill, small_disk

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LEASE_S = 60.0
PATIENCE_S = 60.0

expect.set_options(timeout=PATIENCE_MS)


def at_work() -> dict[str, object]:
    """An agent with a task in hand, whose lease began a quarter of an hour ago and was renewed ever since."""
    began_us = (time.time_ns() // 1000) - 900_000_000
    task = {"task": "t-1", "title": "Brief the tides", "state": "running", "reward_msat": 900, "capability": "brief"}
    lease = {"attempt": 1, "agent": "scout", "price_msat": 700, "lease_s": LEASE_S}
    agent = {"agent": "scout", "status": "working", "tasks": ["t-1"], "capabilities": ["brief"], "price_msat": 100}
    counts = {"completed": 0, "failed": 0, "lost": 0, "earned_msat": 0}
    return {
        "run": "stage",
        "status": "running",
        "position": 0,
        "tasks": {"items": {"t-1": {**task, **lease, "created_us": began_us, "updated_us": began_us}}, "counts": {}},
        "agents": {"items": {"scout": {**agent, **counts}}},
    }


def renew(stage: Stage, left_s: float) -> None:
    until_us = time.time_ns() // 1000 + round(left_s * 1e6)
    lease = {"task": "t-1", "agent": "scout", "attempt": 1, "lease_s": LEASE_S, "until_us": until_us}
    stage.answers["/api/leases"] = {"leases": [lease], "count": 1}


@pytest.mark.parametrize("where", ["tasks", "tasks/t-1", "agents", "agents/scout"])
async def test_a_lease_is_a_ring_that_a_heartbeat_fills_again(where: str) -> None:
    async with staged(at_work()) as stage, window() as opened:
        page = opened.page
        renew(stage, 15)
        stage.answers["/api/quotas"] = {"quotas": []}
        await page.goto(f"{stage.url}/#/{where}")
        nearly_over = page.get_by_role(
            "timer", name=re.compile(r"Lease of scout, 1\d seconds left without a heartbeat")
        )
        await expect(nearly_over.first).to_be_visible()
        renew(stage, LEASE_S)
        renewed = page.get_by_role("timer", name=re.compile(r"Lease of scout, 5\d seconds left without a heartbeat"))
        await expect(renewed.first).to_be_visible()


async def test_what_stands_in_the_way_is_on_every_page_with_what_to_do_and_goes_with_it() -> None:
    async with staged() as stage, window() as opened:
        page = opened.page
        await page.goto(f"{stage.url}/#/ledger")
        await expect(page.get_by_role("button", name="Keys and help")).to_be_visible()
        alarm = page.get_by_role("button", name="not ready")
        await expect(page.locator(".live[data-phase=live]")).to_be_visible()
        await stage.beat("coordinator is stuck: a message has waited for 31 s")
        await expect(alarm).to_be_visible()
        await expect(page.get_by_text("The server is not ready: coordinator is stuck")).to_be_attached()
        await page.goto(f"{stage.url}/#/tasks")
        await alarm.click()
        dialog = page.get_by_role("dialog", name="not ready")
        await expect(dialog).to_contain_text("coordinator is stuck: a message has waited for 31 s")
        await expect(dialog).to_contain_text("nothing that was recorded is lost")
        await expect(dialog).to_contain_text("start the server again")
        await stage.beat()
        await expect(page.get_by_role("dialog")).to_contain_text("All is well again.")
        await page.keyboard.press("Escape")
        await expect(alarm).to_have_count(0)


@BY_ROOT
async def test_a_full_disk_is_told_although_nothing_can_be_recorded_and_is_over_when_there_is_room(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk") as disk, anyio.fail_after(PATIENCE_S):
        async with (
            served(disk / "data", env=ALERT) as server,
            server.client() as agora,
            window(excused="status of 50[34]") as opened,  # what is read meanwhile waits for commits that do not come
        ):
            page = opened.page
            await page.goto(f"{server.url}/#/agents")
            await expect(page.locator(".agent-card").first).to_be_visible()
            ballast = fill(disk, but_bytes=3 * 2**20)
            await post_until_refused(agora, {})
            alarm = page.get_by_role("button", name="not ready")
            await expect(alarm).to_be_visible()
            await alarm.click()
            dialog = page.get_by_role("dialog", name="not ready")
            await expect(dialog).to_contain_text("disk full")
            await expect(dialog).to_contain_text("Make room on the disk")
            ballast.unlink()
            await expect(page.get_by_role("button", name="not ready")).to_have_count(0)
