"""Route changes on the models page, in a real browser."""

import json
import sys
from pathlib import Path

from playwright.async_api import Page, expect

from app.events import topics
from tests.support.browser import open_page
from tests.support.commands import run_command
from tests.support.kafka_clients import header_text, open_topic_reader
from tests.support.model_files import write_letters_model
from tests.support.stack import Stack


async def test_a_version_is_promoted_and_rolled_back_each_with_a_reason(
    stack: Stack, page: Page, tmp_path: Path
) -> None:
    card = tmp_path / "card.json"
    card.write_text(json.dumps({"figures": {"right": 0.93}}))
    model = write_letters_model(tmp_path, "registered for the page")
    command = (sys.executable, "-m", "app.cli", "models", "register", "letters", model, "--card", card)
    result = await run_command(stack.settings, *map(str, command))
    assert result.code == 0, result.err
    version = result.out.strip()

    await open_page(page, "/models?task=letters")
    await page.fill("#viewer", "ada")
    await page.keyboard.press("Tab")
    row = page.locator(f"tr[data-version='{version}']")
    async with open_topic_reader(stack.settings, topics.LIFECYCLE) as log:
        await row.locator("[data-change=promote]").click()
        await page.locator("#confirm .main").click()
        await expect(page.locator("#confirm [role=alert]")).to_contain_text("reason")
        assert log.records == []
        await page.fill("[data-field=reason]", "the new scanner")
        await page.locator("#confirm .main").click()
        await expect(row).to_contain_text("champion")
        await row.locator("[data-change=rollback]").click()
        await page.fill("[data-field=reason]", "worse after all")
        await page.press("[data-field=reason]", "Enter")
        await expect(page.locator("[role=status]")).to_contain_text(f"and version {version} none")
        await expect(row).not_to_contain_text("champion")
        records = await log.read_until(lambda records: len(records) >= 2)
    changes = [
        json.loads(record.value) for record in records if header_text(record, "ce_type") == "hindsight.route.changed.v1"
    ]
    assert [(change["action"], change["reason"], change["actor"]) for change in changes] == [
        ("promote", "the new scanner", "ada"),
        ("rollback", "worse after all", "ada"),
    ]
    assert (changes[0]["champion"], changes[1]["champion"]) == (version, changes[0]["replaced"])

    await row.locator("a").click()
    await expect(page.locator(f"[aria-label='Version {version}']")).to_contain_text("the new scanner")
