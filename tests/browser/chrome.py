"""A real Chromium for the tests of the page: every console error, failed script and dialog is a complaint.

Rules: each use is a browser of its own, closed at the end; what the page complained of fails the test, unless the test
said that it expects the connection to break.
"""

import mimetypes
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import anyio
import msgspec
from playwright.async_api import ConsoleMessage, Dialog, Page, Request, Route, async_playwright

from tests.chromium import ensure_chromium

STATIC = Path(__file__).resolve().parents[2] / "web" / "static"
ARGUMENTS = (
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 15_000
"""How long an expectation may take to come true: a loaded machine draws slowly."""
BACK_MS = 60_000
"""How long a page may take to find a server that has come back: between two tries it waits up to ten seconds."""
SCRIPTED = "http://agora.test"
"""Where the page's files stand when there is no server."""

ENDLESS = ("eventsource", "websocket")
FRAMES_QUIET = 2
"""A page may read on, once it has drawn what came."""
NEXT_FRAME = "() => new Promise(requestAnimationFrame)"

Scheme = Literal["dark", "light"]


class Window(msgspec.Struct):
    """A page, what it complained of, and what it is reading."""

    page: Page
    complaints: list[str]
    reading: set[Request]

    async def settled(self) -> None:
        """Wait until what the page reads has come and is drawn: nothing is under way in two frames in a row."""
        quiet = 0
        with anyio.fail_after(PATIENCE_MS / 1_000):
            while quiet < FRAMES_QUIET:
                await self.page.evaluate(NEXT_FRAME)
                quiet = 0 if self.reading else quiet + 1


@asynccontextmanager
async def window(
    *,
    width: int = 1440,
    height: int = 900,
    scheme: Scheme = "dark",
    arguments: tuple[str, ...] = (),
    excused: str = "$^",
) -> AsyncIterator[Window]:
    """A browser window. Its complaints fail the test at the end, but for those that match `excused`."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(ensure_chromium()), args=[*ARGUMENTS, *arguments]
        )
        context = await browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
        )
        context.set_default_timeout(PATIENCE_MS)
        opened = Window(page=await context.new_page(), complaints=[], reading=set())
        _listen(opened)
        try:
            yield opened
        finally:
            await browser.close()
        unexcused = [each for each in opened.complaints if not re.search(excused, each)]
        assert not unexcused, unexcused


async def serve_files(page: Page) -> None:
    """Answer the page's requests for its files without any server; whatever else it reads is empty."""
    await page.route(f"{SCRIPTED}/**", _answer)


def _listen(opened: Window) -> None:
    async def dialog(found: Dialog) -> None:
        opened.complaints.append(f"dialog: {found.message}")
        await found.dismiss()

    def console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            opened.complaints.append(f"console: {message.text}")

    def asked(request: Request) -> None:
        if request.resource_type not in ENDLESS:
            opened.reading.add(request)

    def answered(request: Request) -> None:
        opened.reading.discard(request)

    opened.page.on("request", asked)
    opened.page.on("requestfinished", answered)
    opened.page.on("requestfailed", answered)
    opened.page.on("dialog", dialog)
    opened.page.on("console", console)
    opened.page.on("pageerror", lambda error: opened.complaints.append(f"script: {error}"))


async def _answer(route: Route) -> None:
    path = route.request.url.removeprefix(SCRIPTED).partition("?")[0]
    if path.startswith("/api/"):
        await route.fulfill(json={})
        return
    file = STATIC / ("index.html" if path == "/" else path.removeprefix("/static/"))
    media_type = mimetypes.guess_type(file.name)[0] or "text/plain"
    await route.fulfill(path=file, content_type="text/javascript" if file.suffix == ".js" else media_type)
