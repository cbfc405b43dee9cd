"""The review page in a real browser: each action of a person becomes an event in the log."""

import json
import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from app.client import Hindsight
from app.embedded.api_readiness import api_url
from app.events import topics
from app.tasks import load_tasks
from tests.support.browser import open_page
from tests.support.kafka_clients import open_topic_reader
from tests.support.pages import PAGES, PDF
from tests.support.stack import Stack


@pytest.fixture
async def name(page: Page, stack: Stack) -> str:
    """The reviewer's name, which this browser remembers."""
    await page.context.add_cookies([{"name": "hindsight_name", "value": "ada", "url": api_url(stack.settings)}])
    return "ada"


async def predict(stack: Stack, task: str, non_empty: str = "") -> tuple[str, dict[str, Any]]:
    """Return the id and the output of a new prediction, whose output field `non_empty` is not empty."""
    async with Hindsight(stack.settings.bootstrap, source="browser") as client:
        for sample in load_tasks(stack.settings)[task].demonstration(3):
            prediction = await client.predict(task, sample.payload, content_type=sample.content_type)
            if not non_empty or prediction.output[non_empty]:
                return prediction.prediction_id, dict(prediction.output)
    raise AssertionError(f"no sample has {non_empty}")


async def open_prediction(page: Page, prediction_id: str) -> None:
    """Open a prediction on the review page, once it is recorded."""
    panel = page.locator(f"[data-prediction='{prediction_id}']")
    for _ in range(60):
        await open_page(page, f"/review?task={prediction_id.partition(':')[0]}&id={prediction_id}")
        await page.wait_for_selector("[data-prediction], .empty")
        if await panel.count():
            return
        await page.wait_for_timeout(500)
    await expect(panel).to_be_visible()


async def press_keys(stack: Stack, page: Page, prediction_id: str, *keys: str) -> dict[str, Any]:
    """Press these keys and return the feedback on the prediction that they publish."""
    async with open_topic_reader(stack.settings, topics.feedback(prediction_id.partition(":")[0])) as log:
        for key in keys:
            await page.keyboard.press(key)
        records = await log.read_until(lambda records: any(prediction_id in str(record.value) for record in records))
    feedback = next(json.loads(record.value) for record in records if prediction_id in str(record.value))
    return {name: value for name, value in feedback.items() if value is not None}


async def test_an_ocr_prediction_is_corrected(stack: Stack, page: Page, name: str) -> None:
    prediction_id, _ = await predict(stack, "ocr")
    await open_prediction(page, prediction_id)
    await expect(page.locator("img.payload")).to_have_js_property("complete", True)
    await page.fill("[data-answer]", "4711")
    feedback = await press_keys(stack, page, prediction_id, "Enter")
    assert feedback == {"prediction_id": prediction_id, "correction": {"text": "4711"}, "actor": name}


async def predict_pages(stack: Stack) -> str:
    """Return the id of a new prediction of a file of two pages."""
    async with Hindsight(stack.settings.bootstrap, source="browser") as client:
        return (await client.predict("letters", PDF)).prediction_id


async def test_a_line_of_a_page_is_corrected_beside_its_outline(stack: Stack, page: Page, name: str) -> None:
    prediction_id = await predict_pages(stack)
    await open_prediction(page, prediction_id)
    await expect(page.locator(".pages-picture img")).to_have_js_property("complete", True)
    await page.get_by_label("I have checked all lines").set_checked(False)
    await page.locator("[data-line='1']").hover()
    await expect(page.locator("[data-row='1']")).to_have_class(re.compile("hovered"))
    await page.locator("[data-row='0']").hover()
    await expect(page.locator("[data-line='0']")).to_have_class(re.compile("hovered"))
    await page.locator("[data-line='1']").click()
    await page.keyboard.press("Control+a")
    await page.keyboard.type("2nd")
    feedback = await press_keys(stack, page, prediction_id, "Enter", "Enter")
    line = {"line": 1, "text": "2nd", "polygon": PAGES["lines"][1]["polygon"], "page": 0}
    assert feedback == {"prediction_id": prediction_id, "correction": {"lines": [line]}, "actor": name}


async def test_the_whole_text_of_pages_is_corrected(stack: Stack, page: Page, name: str) -> None:
    prediction_id = await predict_pages(stack)
    await open_prediction(page, prediction_id)
    await expect(page.get_by_text("Page 1 of 2")).to_be_visible()
    await page.keyboard.press("]")
    await expect(page.get_by_text("Page 2 of 2")).to_be_visible()
    await expect(page.locator("polygon")).to_have_count(1)
    for key in ("w", "e", "Control+End", "Enter", "4"):
        await page.keyboard.press(key)
    feedback = await press_keys(stack, page, prediction_id, "Control+Enter")
    assert feedback == {"prediction_id": prediction_id, "correction": {"text": PAGES["text"] + "\n4"}, "actor": name}


async def test_one_key_accepts_a_prediction_and_shows_the_next_one(stack: Stack, page: Page, name: str) -> None:
    for _ in range(2):
        await open_prediction(page, (await predict(stack, "ocr"))[0])
    await open_page(page, "/review?task=ocr&queue=uncertain")
    item = page.locator("[data-prediction]")
    first = await item.get_attribute("data-prediction")
    assert first is not None
    feedback = await press_keys(stack, page, first, "Enter")
    assert feedback == {
        "prediction_id": first,
        "accepted": True,
        "actor": name,
        "queue": "uncertain",
        "blind": False,
    }
    await expect(item).not_to_have_attribute("data-prediction", first)


async def test_the_review_opens_on_a_prediction_that_waits(stack: Stack, page: Page) -> None:
    await open_prediction(page, (await predict(stack, "ocr"))[0])  # it is recorded
    await open_page(page, "/review")
    await expect(page.locator("[data-prediction]")).to_be_visible()


async def test_the_mouse_and_a_key_move_a_box(stack: Stack, page: Page, name: str) -> None:
    prediction_id, output = await predict(stack, "object_detection", "boxes")
    before = [box["box"] for box in output["boxes"]]
    await open_prediction(page, prediction_id)
    box = page.locator("rect.box").first
    bounds = await box.bounding_box()
    assert bounds is not None
    x, y = bounds["x"] + bounds["width"] / 2, bounds["y"] + bounds["height"] / 2
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.mouse.move(x - 12, y - 8, steps=4)
    await page.mouse.up()
    feedback = await press_keys(stack, page, prediction_id, "ArrowLeft", "Enter")
    assert feedback["actor"] == name
    after = [box["box"] for box in feedback["correction"]["boxes"]]
    moved = [(old, new) for old, new in zip(before, after, strict=True) if abs(old[0] - new[0]) > 1]
    assert len(moved) == 1
    old, new = moved[0]
    assert new[0] < old[0]
    assert new[1] < old[1]


async def test_the_label_of_a_box_is_corrected(stack: Stack, page: Page, name: str) -> None:
    prediction_id, output = await predict(stack, "object_detection", "boxes")
    await open_prediction(page, prediction_id)
    await page.locator("rect.box").first.click(force=True)
    field = page.get_by_label("Label of the box")
    old = await field.input_value()
    new = next(label for label in load_tasks(stack.settings)["object_detection"].labels() if label != old)
    await page.keyboard.press("l")
    await page.keyboard.type(new[:-1])
    await expect(page.get_by_role("option", selected=True)).to_have_text(new)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Send correction")).to_be_visible()
    feedback = await press_keys(stack, page, prediction_id, "Enter")
    before = sorted(box["label"] for box in output["boxes"])
    before.remove(old)
    assert sorted(box["label"] for box in feedback["correction"]["boxes"]) == sorted([*before, new])


async def test_a_click_on_a_box_is_no_correction(stack: Stack, page: Page, name: str) -> None:
    prediction_id, _ = await predict(stack, "object_detection", "boxes")
    await open_prediction(page, prediction_id)
    await page.locator("rect.box").first.click(force=True)
    feedback = await press_keys(stack, page, prediction_id, "Enter")
    assert feedback == {"prediction_id": prediction_id, "accepted": True, "actor": name}


async def test_enter_after_the_name_gives_feedback(stack: Stack, page: Page) -> None:
    prediction_id, _ = await predict(stack, "ocr")
    await open_prediction(page, prediction_id)
    await page.keyboard.press("Enter")
    await expect(page.locator("#viewer")).to_be_focused()
    await page.keyboard.type("grace")
    await page.keyboard.press("Enter")
    await expect(page.locator("#viewer")).not_to_be_focused()
    feedback = await press_keys(stack, page, prediction_id, "Enter")
    assert feedback == {"prediction_id": prediction_id, "accepted": True, "actor": "grace"}


async def test_one_key_rewards_a_decision(stack: Stack, page: Page, name: str) -> None:
    prediction_id, _ = await predict(stack, "decision")
    await open_prediction(page, prediction_id)
    feedback = await press_keys(stack, page, prediction_id, "+")
    assert feedback == {"prediction_id": prediction_id, "reward": 1.0, "actor": name}


async def test_a_recording_has_a_waveform_with_segments_that_play(stack: Stack, page: Page) -> None:
    prediction_id, _ = await predict(stack, "speech_to_text", "segments")
    await open_prediction(page, prediction_id)
    await expect(page.locator("canvas.wave")).to_be_visible()
    await expect(page.locator("audio")).to_have_js_property("readyState", 4)
    await expect(page.locator("canvas.wave")).not_to_have_js_property("width", 300)  # it is drawn
    assert not await page.locator(".sound figcaption").count()
    await page.locator(".segment").last.click()
    await expect(page.locator(".segments li").last).to_have_class(re.compile("playing"))


async def test_undo_retracts_the_feedback_and_opens_the_prediction_again(stack: Stack, page: Page, name: str) -> None:
    prediction_id, _ = await predict(stack, "ocr")
    await open_prediction(page, prediction_id)
    await press_keys(stack, page, prediction_id, "+")
    retraction = await press_keys(stack, page, prediction_id, "u")
    assert retraction.keys() == {"prediction_id", "retracts", "actor"}
    assert (retraction["prediction_id"], retraction["actor"]) == (prediction_id, name)
    panel = page.locator(f"[data-prediction='{prediction_id}']")
    await expect(panel).to_be_visible()
    while "retracted" not in await panel.inner_text():  # the recorder needs a moment
        await open_prediction(page, prediction_id)


async def test_several_predictions_are_accepted_at_once(stack: Stack, page: Page, name: str) -> None:
    prediction_ids = [(await predict(stack, "ocr"))[0] for _ in range(3)]
    for prediction_id in prediction_ids:
        await open_prediction(page, prediction_id)
    await open_page(page, "/review?task=ocr&queue=uncertain")
    await page.wait_for_selector("[data-prediction]")
    async with open_topic_reader(stack.settings, topics.feedback("ocr")) as log:
        await page.keyboard.press("b")
        await page.wait_for_selector(".grid")
        await page.keyboard.press("Enter")
        records = await log.read_until(lambda records: len(records) >= 2)
    feedback = [json.loads(record.value) for record in records]
    assert all(event["accepted"] is True and event["actor"] == name for event in feedback)
    assert len({event["prediction_id"] for event in feedback}) == len(feedback)


async def test_two_reviewers_get_different_predictions(stack: Stack, page: Page, name: str) -> None:
    for _ in range(4):  # each reviewer has a current item and a prefetched one
        await open_prediction(page, (await predict(stack, "decision"))[0])
    other = await page.context.new_page()
    prediction_ids = set()
    for window in (page, other):
        await open_page(window, "/review?task=decision&queue=uncertain")
        prediction_ids.add(await window.locator("[data-prediction]").get_attribute("data-prediction"))
    assert len(prediction_ids) == 2
