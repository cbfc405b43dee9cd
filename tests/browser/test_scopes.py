"""The pages for keys without all scopes, in a real browser."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from app.auth.keys import KeyStore
from app.auth.scopes import Scope
from app.embedded.api_readiness import api_url
from app.settings import Settings
from tests.support.browser import open_page
from tests.support.platform import platform_settings, run_processes, wait_until_alive

FREEZE = "[data-change=freeze]"
BEGIN = "[data-change=begin]"


@pytest.fixture(scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Settings, KeyStore]]:
    """An API with keys."""
    settings = platform_settings(tmp_path_factory.mktemp("guarded"), tasks={"ocr": "models.small.ocr:Ocr"})
    async with run_processes(settings, only=("kafka", "api")):
        await wait_until_alive(settings)
        keys = KeyStore(settings.catalog_url)
        yield settings, keys
        keys.close()


async def log_in(browser: Browser, guarded: tuple[Settings, KeyStore], path: str, *scopes: Scope) -> Page:
    """Log in with a new key of these scopes, and return the page."""
    settings, keys = guarded
    name = "-".join(scopes)
    token = await asyncio.to_thread(keys.create, name, frozenset(scopes))
    page = await (await browser.new_context(base_url=api_url(settings))).new_page()
    await page.goto(path)
    await page.fill("[name=key]", token)
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**{path}")
    return page


async def test_a_key_with_the_scope_read_sees_the_pages_without_any_changes(
    browser: Browser, guarded: tuple[Settings, KeyStore]
) -> None:
    page = await log_in(browser, guarded, "/models", "read")
    await expect(page.locator("[aria-label=Versions]")).to_contain_text("Version 1 answers")
    await expect(page.locator("[data-change]")).to_have_count(0)
    await open_page(page, "/replay")
    await expect(page.get_by_text("log in with a key that has the scope operate")).to_be_visible()
    await expect(page.locator(BEGIN)).to_have_count(0)


async def test_a_key_with_the_scope_operate_can_make_changes_under_its_name(
    browser: Browser, guarded: tuple[Settings, KeyStore]
) -> None:
    page = await log_in(browser, guarded, "/models", "read", "operate")
    await expect(page.locator(FREEZE)).to_be_visible()
    await expect(page.locator("#viewer")).to_have_value("read-operate")
    await expect(page.locator("#viewer")).to_be_disabled()
    await open_page(page, "/replay")
    await expect(page.locator(BEGIN)).to_be_visible()


async def test_a_key_without_the_scope_read_can_not_log_in(
    browser: Browser, guarded: tuple[Settings, KeyStore]
) -> None:
    settings, keys = guarded
    token = await asyncio.to_thread(keys.create, "scanner", frozenset({"feedback"}))
    page = await (await browser.new_context(base_url=api_url(settings))).new_page()
    await page.goto("/review")
    await page.fill("[name=key]", token)
    await page.keyboard.press("Enter")
    await expect(page.locator("[role=alert]")).to_contain_text("lacks the scope")
    await page.goto("/review")
    await expect(page.locator("[name=key]")).to_be_visible()
