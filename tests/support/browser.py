"""The system's Chromium, controlled by Playwright. Nothing is downloaded."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page, async_playwright

from tests.support import tools

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """Run the browser for as long as the block lasts."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=tools.find_program("chromium"), headless=True, args=list(_ARGUMENTS)
        )
        try:
            yield browser
        finally:
            await browser.close()


async def open_page(page: Page, path: str) -> None:
    """Open a page of the platform and wait until its websocket is connected: earlier clicks would be lost."""
    await page.goto(path)
    await page.wait_for_function("window.socket !== undefined && window.socket.connected")
