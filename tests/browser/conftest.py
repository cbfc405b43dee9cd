from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from app.embedded.readiness import api_url
from tests.support import tools
from tests.support.browser import open_browser
from tests.support.stack import Stack

expect.set_options(timeout=60_000)  # milliseconds: a page is slow where the machine is busy


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The browser, once for all tests."""
    tools.require_programs("chromium")
    async with open_browser() as found:
        yield found


@pytest.fixture
async def page(browser: Browser, stack: Stack) -> AsyncIterator[Page]:
    """A window of its own on the platform's pages; errors of theirs, and whatever asks another host, fail the test."""
    url = api_url(stack.settings)
    context = await browser.new_context(base_url=url, viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "request", lambda asked: None if asked.url.startswith((url, "data:", "blob:")) else faults.append(asked.url)
    )
    yield page
    await context.close()
    assert not faults
