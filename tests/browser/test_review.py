"""Review in a real browser: what a person does there is an event in the log."""

import json
from typing import Any

import pytest
from playwright.async_api import Page, expect

from app.client import Hindsight
from app.embedded.readiness import api_url
from app.events import topics
from app.tasks import load_tasks
from tests.support.browser import open_page
from tests.support.kafka_clients import open_topic_reader
from tests.support.stack import Stack


@pytest.fixture
async def name(page: Page, stack: Stack) -> str:
    """Who reviews: as said before, in this browser."""
    await page.context.add_cookies([{"name": "hindsight_name", "value": "ada", "url": api_url(stack.settings)}])
    return "ada"


async def predicted(stack: Stack, task: str, names: str = "") -> tuple[str, dict[str, Any]]:
    """The id and the output of a prediction that was just made: one that has some of what is named."""
    async with Hindsight(stack.settings.bootstrap, source="browser") as client:
        for sample in load_tasks(stack.settings)[task].demonstration(3):
            made = await client.predict(task, sample.payload, content_type=sample.content_type)
            if not names or made.output[names]:
                return made.prediction_id, dict(made.output)
    raise AssertionError(f"no sample has {names}")


async def opened(page: Page, prediction_id: str) -> None:
    """Show a prediction, once it is recorded."""
    wanted = page.locator(f"[data-prediction='{prediction_id}']")
    for _ in range(60):
        await open_page(page, f"/review?task={prediction_id.partition(':')[0]}&id={prediction_id}")
        await page.wait_for_selector("[data-prediction], .empty")
        if await wanted.count():
            return
        await page.wait_for_timeout(500)
    await expect(wanted).to_be_visible()


async def said(stack: Stack, page: Page, prediction_id: str, *keys: str) -> dict[str, Any]:
    """What comes into the log of a prediction once these keys are pressed."""
    async with open_topic_reader(stack.settings, topics.feedback(prediction_id.partition(":")[0])) as log:
        for key in keys:
            await page.keyboard.press(key)
        records = await log.read_until(lambda read: any(prediction_id in str(one.value) for one in read))
    found = next(json.loads(one.value) for one in records if prediction_id in str(one.value))
    return {name: value for name, value in found.items() if value is not None}


async def test_a_line_of_ocr_is_corrected(stack: Stack, page: Page, name: str) -> None:
    prediction_id, _ = await predicted(stack, "ocr")
    await opened(page, prediction_id)
    await expect(page.locator("img.payload")).to_have_js_property("complete", True)
    await page.fill("[data-answer]", "4711")
    given = await said(stack, page, prediction_id, "Enter")
    assert given == {"prediction_id": prediction_id, "correction": {"text": "4711"}, "actor": name}


async def test_the_next_of_a_queue_is_accepted_by_one_key_and_gives_way_to_another(
    stack: Stack, page: Page, name: str
) -> None:
    for _ in range(2):
        await opened(page, (await predicted(stack, "ocr"))[0])
    await open_page(page, "/review?task=ocr&queue=uncertain")
    item = page.locator("[data-prediction]")
    first = await item.get_attribute("data-prediction")
    assert first is not None
    given = await said(stack, page, first, "Enter")
    assert given == {"prediction_id": first, "accepted": True, "actor": name}
    await expect(item).not_to_have_attribute("data-prediction", first)


async def test_a_box_is_moved_by_the_mouse_and_by_a_key(stack: Stack, page: Page, name: str) -> None:
    prediction_id, output = await predicted(stack, "object_detection", "boxes")
    before = [one["box"] for one in output["boxes"]]
    await opened(page, prediction_id)
    box = page.locator("rect.box").first
    place = await box.bounding_box()
    assert place is not None
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.mouse.move(x - 12, y - 8, steps=4)
    await page.mouse.up()
    given = await said(stack, page, prediction_id, "ArrowLeft", "Enter")
    assert given["actor"] == name
    after = [one["box"] for one in given["correction"]["boxes"]]
    moved = [(old, new) for old, new in zip(before, after, strict=True) if abs(old[0] - new[0]) > 1]
    assert len(moved) == 1
    old, new = moved[0]
    assert new[0] < old[0]
    assert new[1] < old[1]


async def test_a_decision_is_rewarded_by_one_key(stack: Stack, page: Page, name: str) -> None:
    prediction_id, _ = await predicted(stack, "decision")
    await opened(page, prediction_id)
    given = await said(stack, page, prediction_id, "+")
    assert given == {"prediction_id": prediction_id, "reward": 1.0, "actor": name}


async def test_what_is_heard_has_a_waveform(stack: Stack, page: Page) -> None:
    prediction_id, _ = await predicted(stack, "speech_to_text")
    await opened(page, prediction_id)
    await expect(page.locator("canvas.wave, svg.wave")).to_be_visible()
    await expect(page.locator("audio")).to_have_js_property("readyState", 4)


async def test_what_was_said_is_taken_back_and_what_had_been_said_before_counts_again(
    stack: Stack, page: Page, name: str
) -> None:
    prediction_id, _ = await predicted(stack, "ocr")
    await opened(page, prediction_id)
    await said(stack, page, prediction_id, "+")
    while not await page.locator("[data-prediction] ul").count():  # it is recorded a moment later
        await opened(page, prediction_id)
    await expect(page.locator("[data-prediction] ul")).to_contain_text("rewarded with 1")
    await said(stack, page, prediction_id, "-")
    given = await said(stack, page, prediction_id, "u")
    assert given == {"prediction_id": prediction_id, "reward": 1.0, "actor": name}


async def test_many_are_accepted_at_once(stack: Stack, page: Page, name: str) -> None:
    made = [(await predicted(stack, "ocr"))[0] for _ in range(3)]
    for prediction_id in made:
        await opened(page, prediction_id)
    await open_page(page, "/review?task=ocr&queue=uncertain")
    await page.wait_for_selector("[data-prediction]")
    async with open_topic_reader(stack.settings, topics.feedback("ocr")) as log:
        await page.keyboard.press("b")
        await page.wait_for_selector(".grid")
        await page.keyboard.press("Enter")
        records = await log.read_until(lambda read: len(read) >= 2)
    given = [json.loads(one.value) for one in records]
    assert all(one["accepted"] is True and one["actor"] == name for one in given)
    assert len({one["prediction_id"] for one in given}) == len(given)


async def test_two_people_have_different_predictions_before_them(stack: Stack, page: Page, name: str) -> None:
    for _ in range(4):  # each has one before them, and the next one ready
        await opened(page, (await predicted(stack, "decision"))[0])
    other = await page.context.new_page()
    seen = set()
    for window in (page, other):
        await open_page(window, "/review?task=decision&queue=uncertain")
        seen.add(await window.locator("[data-prediction]").get_attribute("data-prediction"))
    assert len(seen) == 2
