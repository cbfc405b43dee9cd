from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from app.embedded.api_readiness import api_url
from tests.support import tools
from tests.support.browser import open_browser
from tests.support.stack import Stack

expect.set_options(timeout=60_000)  # milliseconds: pages are slow on a busy machine


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A browser that all tests share."""
    tools.require_programs("chromium")
    async with open_browser() as browser:
        yield browser


@pytest.fixture
async def page(browser: Browser, stack: Stack) -> AsyncIterator[Page]:
    """A new window on the platform's pages. Errors of the pages and requests to other hosts fail the test."""
    url = api_url(stack.settings)
    context = await browser.new_context(base_url=url, viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request",
        lambda request: None if request.url.startswith((url, "data:", "blob:")) else problems.append(request.url),
    )
    yield page
    await context.close()
    assert not problems
