"""The overview, replay and dead-letter pages, in a real browser."""

import json
import re
import zipfile

import pytest
from playwright.async_api import Page, expect

from app.events import topics
from models.small.ocr.data.lines import make_payloads
from tests.support.browser import open_page
from tests.support.kafka_clients import OutgoingRecord, open_topic_reader, publish
from tests.support.stack import Stack

PAGES = {
    "/": "Overview",
    "/review": "Review",
    "/models": "Models",
    "/replay": "Replay",
    "/dead-letters": "Dead letters",
}


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_fits_into_a_narrow_window(page: Page, path: str) -> None:
    await page.set_viewport_size({"width": 375, "height": 740})
    await open_page(page, path)
    await expect(page.locator("h1")).to_have_text(PAGES[path])
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not await page.evaluate(wide)


async def test_the_overview_shows_the_current_rate(stack: Stack, page: Page) -> None:
    await open_page(page, "/")
    rate = page.locator("[data-task=ocr] [data-figure=rate]")
    await expect(rate).to_be_visible()
    initial_rate = await rate.text_content()
    async with open_topic_reader(stack.settings, topics.predictions("ocr")) as answers:
        payloads = [OutgoingRecord(sample.payload) for sample in make_payloads(60, seed=5)]
        await publish(stack.settings, topics.requests("ocr"), payloads, rate=20)
        await expect(rate).not_to_have_text(initial_rate or "", timeout=20_000)
        await answers.read_answers(60)
    latest = page.locator("[data-latest=ocr]")
    await expect(latest.locator("img")).to_have_js_property("complete", True)
    await expect(latest.get_by_role("link")).to_have_attribute("href", re.compile(r"/review\?task=ocr&id=ocr%3A"))


async def test_a_dead_letter_is_shown_and_replayed(stack: Stack, page: Page) -> None:
    async with open_topic_reader(stack.settings, topics.DEAD_LETTERS) as letters:
        await publish(stack.settings, topics.requests("ocr"), [OutgoingRecord(b"not an image")])
        [first] = await letters.read_until(bool)
        letter_id = dict(first.headers)["rejected_id"].decode()
        await open_page(page, f"/dead-letters?id={letter_id}")
        await expect(page.locator("pre")).to_have_text("not an image")
        await page.locator("[data-change=replay]").click()
        await expect(page.locator("#confirm .main")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("[role=status]")).to_contain_text("Replayed 1 to ocr.requests")
        second = (await letters.read_until(lambda records: len(records) >= 2))[1]
    assert second.value == first.value


async def test_dead_letters_are_filtered_by_task_and_code(stack: Stack, page: Page) -> None:
    async with open_topic_reader(stack.settings, topics.DEAD_LETTERS) as letters:
        await publish(stack.settings, topics.requests("ocr"), [OutgoingRecord(b"not an image")])
        [letter] = await letters.read_until(bool)
    code = dict(letter.headers)["rejected_code"].decode()
    await open_page(page, "/dead-letters?task=ocr")
    await page.get_by_label("Code").get_by_role("link", name=code).click()
    await expect(page.locator("tbody tr").first).to_contain_text(code)
    await open_page(page, f"/dead-letters?task=decision&code={code}")
    await expect(page.locator("tbody tr")).to_have_count(0)


async def test_a_dataset_is_created_and_downloaded(stack: Stack, page: Page) -> None:
    await open_page(page, "/replay")
    await page.select_option("[data-field=task]", "letters")
    await expect(page.locator("[role=status]").first).to_contain_text("served predictions")
    await page.locator("[data-change=begin]").click()
    link = page.get_by_role("link", name="Download")
    await expect(link).to_be_visible(timeout=60_000)
    async with page.expect_download() as download:
        await link.click()
    path = await (await download.value).path()
    with zipfile.ZipFile(path) as archive:
        [manifest] = [name for name in archive.namelist() if name.endswith("manifest.json")]
        assert json.loads(archive.read(manifest))["arguments"]["task"] == "letters"
    await page.locator("[data-change=remove]").first.click()
    await expect(page.locator("#confirm")).to_contain_text("deletes the rows")
    await page.keyboard.press("Escape")
    await expect(link).to_be_visible()
