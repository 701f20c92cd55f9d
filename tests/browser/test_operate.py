"""Running it from the page: charts, the cascade's switches, checkpoints, and the switch that stops everything."""

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.chrome import PATIENCE_MS, window
from tests.browser.test_page import expect_completed, post
from tests.support.fault_server import FaultServer, Sickness
from tests.support.served import served

pytestmark = [pytest.mark.browser, pytest.mark.slow]

expect.set_options(timeout=PATIENCE_MS)


async def test_charts_show_what_was_earned_and_how_quick_answers_were(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        for title in ("Brief one", "Brief two", "Brief three"):
            await page.goto(f"{server.url}/#/tasks/{await post(server, title)}")
            await expect_completed(page)
        await page.goto(f"{server.url}/#/agents")
        await expect(
            page.get_by_role("img", name=re.compile(r"Earned over 3 moments; the last: .*\d+ msat"))
        ).to_be_visible()
        await expect(page.locator(".chart canvas")).to_be_visible()
        await page.goto(f"{server.url}/#/router")
        await expect(page.get_by_role("img", name=re.compile("Time to answer over 3 moments"))).to_be_visible()
        await page.get_by_role("button", name="Spend", exact=True).click()
        await expect(page.get_by_role("img", name=re.compile("Spend over 3 moments"))).to_be_visible()
        await page.goto(f"{server.url}/#/system")
        await expect(page.get_by_role("img", name=re.compile("Events per second over"))).to_be_visible()
        await expect(page.get_by_role("region", name="Actors")).to_contain_text("agents/scout")


async def test_a_provider_is_taken_out_with_a_reason_and_put_back(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        await page.goto(f"{server.url}/#/router")
        await expect(page.get_by_role("heading", name="extractive")).to_be_visible()
        await expect(page.get_by_role("switch")).to_have_count(0)
        await page.goto(await server.link())
        await expect(page.get_by_text("You can act now.")).to_be_visible()
        await page.goto(f"{server.url}/#/router")
        switch = page.get_by_role("switch", name="extractive in the cascade")
        await switch.click()
        await page.get_by_label("Reason").fill("too literal")
        await page.get_by_role("button", name="Take it out").click()
        await expect(page.locator(".lane .badge")).to_have_text("off: too literal")
        await expect(switch).to_have_attribute("aria-checked", "false")
        await switch.click()
        await expect(switch).to_have_attribute("aria-checked", "true")


async def test_a_completion_is_read_in_full_from_the_router(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        await page.goto(f"{server.url}/#/tasks/{await post(server, 'Brief the moons')}")
        await expect_completed(page)
        await page.goto(f"{server.url}/#/router")
        await expect(page.get_by_text("No model is speaking.")).to_be_visible()
        await page.get_by_role("link", name=re.compile("m-1")).click()
        await expect(page.get_by_role("heading", name="Completion m-1")).to_be_visible()
        await expect(page.get_by_role("img", name=re.compile(r"from .* to .*, ok"))).to_be_visible()
        await expect(page.locator(".answered pre")).not_to_be_empty()


async def test_a_completion_is_followed_across_its_attempts_and_a_breaker_that_the_settings_hold_open_is_shown_so(
    tmp_path: Path,
) -> None:
    config, data = tmp_path / "agora.toml", tmp_path / "data"
    async with FaultServer(Sickness.SERVER_ERROR) as first, FaultServer(Sickness.HANGS) as second:
        lanes = "".join(
            f'[[router.providers]]\nname = "{name}"\ndialect = "openai"\nbase_url = "{server.url}/v1"\nmodel = "m"\n'
            for name, server in (("failing", first), ("hanging", second))
        )
        lanes += '[[router.providers]]\nname = "extractive"\ndialect = "extractive"\n'
        config.write_text(f"[router.cascade]\nhedge_after_s = 0.1\n{lanes}", encoding="utf-8")
        async with served(data, env={"AGORA_CONFIG": str(config)}) as server, window() as opened:
            page = opened.page
            await page.goto(f"{server.url}/#/tasks/{await post(server, 'Brief the moons')}")
            await expect_completed(page)
            await page.goto(f"{server.url}/#/router/m-1")
            attempts = page.locator(".waterfall tbody tr")
            await expect(attempts).to_have_count(3)
            followed = [("failing", "server"), ("hanging", "outrun"), ("extractive hedge", "ok")]
            for number, (name, outcome) in enumerate(followed):
                await expect(attempts.nth(number)).to_contain_text(name)
                await expect(attempts.nth(number)).to_contain_text(outcome)
            config.write_text(f'[router.breaker]\nmode = "forced_open"\n{lanes}', encoding="utf-8")
            async with server.client() as agora:
                await agora.cascade.reload()
            await page.goto(f"{server.url}/#/router")
            lane = page.locator(".lane", has_text="failing").first
            await expect(lane.get_by_role("img", name="Breaker open")).to_be_visible()
            await expect(lane.locator(".badge")).to_have_text("breaker forced open")


async def test_everything_is_halted_after_being_asked_once_and_goes_on_when_resumed(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        await page.goto(await server.link())
        await expect(page.get_by_text("You can act now.")).to_be_visible()
        await page.get_by_role("button", name="Halt").click()
        await page.get_by_label("Reason").fill("to look around")
        await page.get_by_role("button", name="Stop everything").click()
        await expect(page.locator(".halted")).to_be_visible()
        task = await post(server, "Brief after the halt")
        await page.goto(f"{server.url}/#/tasks/{task}")
        await expect(page.locator(".halted")).to_be_visible()
        await page.get_by_role("button", name="Resume").click()
        await expect(page.locator(".halted")).to_have_count(0)
        await expect_completed(page)


async def test_a_checkpoint_is_saved_with_its_label(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        await page.goto(await server.link())
        await expect(page.get_by_text("You can act now.")).to_be_visible()
        await page.goto(f"{server.url}/#/system")
        await page.get_by_label("Label of the checkpoint").fill("before the change")
        await page.get_by_role("button", name="Save a checkpoint").click()
        await expect(page.get_by_role("cell", name="before the change")).to_be_visible()
        await expect(page.locator(".checkpoint-track button")).not_to_have_count(0)


async def test_a_checkpoint_is_proved_and_compared_on_the_page_and_going_back_is_a_command(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        async with server.client() as agora:
            before = await agora.checkpoints.save("before")
            await page.goto(f"{server.url}/#/tasks/{await post(server, 'Brief between the two')}")
            await expect_completed(page)
            after = await agora.checkpoints.save("after")
        await page.goto(f"{server.url}/#/system")
        await expect(page.get_by_text(re.compile("1 of up to 250,000 events"))).to_be_visible()
        await expect(page.get_by_text("all events, for good")).to_be_visible()
        await page.get_by_role("button", name=before.checkpoint, exact=True).click()
        await page.get_by_role("button", name="Verify").click()
        await expect(page.get_by_text("It is sound")).to_be_visible()
        await page.get_by_role("button", name="Compare with the newest").click()
        changes = page.get_by_role("region", name=f"What changed since {before.checkpoint}")
        await expect(changes).to_contain_text("transfers.hold/t-1")
        await expect(page.get_by_text(re.compile(f"To {after.checkpoint}, .* changed"))).to_be_visible()
        await expect(page.get_by_text(f"checkpoints restore {before.checkpoint}")).to_be_visible()


async def test_the_whole_conversation_of_an_event_is_a_click_away(tmp_path: Path) -> None:
    async with served(tmp_path) as server, window() as opened:
        page = opened.page
        task = await post(server, "Brief to be followed")
        await page.goto(f"{server.url}/#/tasks/{task}")
        await expect_completed(page)
        await page.goto(f"{server.url}/#/activity?q=type:task.created")
        await page.get_by_role("option", name=re.compile("Brief to be followed")).click()
        await page.get_by_role("link", name="Show the whole conversation").click()
        await expect(page).to_have_url(re.compile("correlation"))
        await expect(page.get_by_role("option", name=re.compile("finished “Brief to be followed”"))).to_be_visible()
        await expect(page.get_by_role("option", name=re.compile("joined"))).to_have_count(0)
