"""The pages over what a society has left, in a real browser, with nothing running: a directory, a mirror, an export."""

import re
from pathlib import Path

import anyio
import pytest
from playwright.async_api import expect

from actors.commands.exchange import export
from actors.commands.view import viewing
from tests.browser.chrome import window
from tests.support.inside import briefed, shell_at

pytestmark = [pytest.mark.browser, pytest.mark.slow]


async def _left(directory: Path, kind: str) -> Path:
    """What a society has left that has briefed two documents."""
    data = directory / "data"
    await briefed(data, directory / "documents", 1, 2)
    if kind == "directory":
        return data
    file = directory / "left.jsonl"
    await export(shell_at(data), str(file), has_sealed=kind == "export")
    if kind == "mirror":  # which a kill tore in the middle of a line
        async with await anyio.open_file(file, "ab") as torn:
            await torn.write(b'{"position":1000,"time_us":17')
    return file


@pytest.mark.parametrize("kind", ["directory", "mirror", "export"])
async def test_what_is_left_is_shown_searched_and_not_changed(tmp_path: Path, kind: str) -> None:
    what = await _left(tmp_path, kind)
    async with viewing(shell_at(tmp_path / "elsewhere"), what) as url, window(excused="status of 403") as opened:
        page = opened.page
        await page.goto(f"{url}/#/tasks?view=table")
        await expect(page.locator("main")).to_contain_text("1.txt")
        await expect(page.locator(".live")).to_have_text("past")
        rights = page.get_by_role("region", name="Rights")
        await expect(rights).to_contain_text(
            re.compile("a view of what a society has left. It ends .*20[0-9][0-9].*, at ")
        )
        await expect(page.locator("body")).not_to_contain_text("To act")
        await page.goto(f"{url}/#/activity")
        await expect(page.locator("main")).to_contain_text(re.compile("completed", re.IGNORECASE))
        await page.locator("[data-search]").fill("brief")
        await page.keyboard.press("Enter")
        await expect(page.locator("main")).to_contain_text(re.compile("[1-9][0-9]* events? shown"))
        async with page.expect_response("**/api/memory*") as answer:
            await page.goto(f"{url}/#/memory")
        assert (await answer.value).status == 200
