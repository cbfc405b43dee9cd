import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from nicegui import Client
from nicegui.page import page

from app.pages.review.editors import Editor, render_item, summarize_output
from app.pages.review.payload_urls import payload_url
from app.pages.review.review_session import ReviewItem
from app.services.payloads import Payload
from models.base import Rejected

CONTEXT = {"context": {"hour": 9}, "actions": [{"id": "a", "price": 1.5}, {"id": "b"}, {"id": "c"}]}


@pytest.fixture(autouse=True)
def client() -> Iterator[Client]:
    """A page without a browser, as the parent of the elements."""
    with Client(page("/answers")) as client:
        yield client


def item(output: dict[str, Any], content: bytes = b"{}", media_type: str = "application/json") -> ReviewItem:
    prediction = {"output": output, "feedback": []}
    return ReviewItem("ocr:1", prediction, "audit", Payload(content, media_type, "payload"), "")


def test_a_small_payload_is_part_of_the_page_and_a_large_one_has_a_url() -> None:
    assert payload_url(item({}, b"1234", "image/png")) == "data:image/png;base64,MTIzNA=="
    assert payload_url(item({}, bytes(2**20 + 1), "image/png")) == "/v1/predictions/ocr%3A1/payload"


@pytest.mark.parametrize(
    ("media_type", "tags"),
    [("image/png", {"img"}), ("audio/amr", {"a"}), ("text/plain", {"pre"})],
)
def test_a_file_that_browsers_can_not_show_can_be_downloaded(client: Client, media_type: str, tags: set[str]) -> None:
    render_item(item({"text": "12"}, b"II*", media_type), ())
    shown = {element.tag for element in client.elements.values()}
    assert shown & {"img", "a", "pre"} == tags


@pytest.mark.parametrize("media_type", ["application/pdf", "image/tiff", "image/heic", "image/jp2"])
@pytest.mark.parametrize("output", [{"text": "12"}, {"text": "12", "lines": []}, {"boxes": []}])
def test_pages_that_browsers_can_not_show_are_drawn(client: Client, output: dict[str, Any], media_type: str) -> None:
    render_item(item(output, b"II*", media_type), ())
    sources = {element._props.get("pages") for element in client.elements.values()}
    assert "/v1/predictions/ocr%3A1/pages" in sources


@pytest.mark.parametrize("output", [{"text": "12"}, {"action": "a"}, {"boxes": []}, {"value": 1}])
def test_an_unchanged_prediction_has_no_correction(output: dict[str, Any]) -> None:
    assert render_item(item(output), ()).correction() is None
    assert render_item(item(output, b"\x89PNG", "image/png"), ()).correction() is None


def test_an_action_is_chosen_by_its_rank_of_probability() -> None:
    output = {"action": "a", "probabilities": {"a": 0.2, "b": 0.7, "c": 0.1}}
    editor = render_item(item(output, json.dumps(CONTEXT).encode()), ())
    assert [editor.choose(digit) for digit in (4, 9)] == [False, False]
    assert editor.choose(1)
    assert editor.correction() == {"action": "b"}
    assert editor.choose(2)
    assert editor.correction() is None  # it is the served action


def test_the_served_action_can_be_chosen_even_if_it_is_the_least_probable() -> None:
    probabilities = {f"{number:02}": 0.09 for number in range(11)} | {"served": 0.01}
    editor = render_item(item({"action": "served", "probabilities": probabilities}), ())
    assert editor.choose(1)
    assert editor.correction() == {"action": "00"}
    assert editor.choose(9)
    assert editor.correction() is None


def type_text(editor: Any, text: str) -> None:
    editor._text = text


class Stars(Editor):
    """A task's own editor, whose choices are its labels."""

    def __init__(self, item: ReviewItem, labels: Sequence[str]) -> None:
        self._label, self._labels = item.output["label"], labels

    def choose(self, digit: int) -> bool:
        self._label = self._labels[digit - 1]
        return True

    def correction(self) -> dict[str, Any] | None:
        return {"label": self._label}


def test_a_task_can_have_its_own_editor() -> None:
    editor = render_item(item({"label": "good"}), ("bad", "good"), f"{__name__}:Stars")
    assert editor.choose(1)
    assert editor.correction() == {"label": "bad"}


def test_a_correction_in_json_must_be_a_valid_object() -> None:
    editor = render_item(item({"value": 1}), ())
    type_text(editor, '{"value": 2}')
    assert editor.correction() == {"value": 2}
    reasons = {"{": "is not valid JSON", "[1]": "is not a JSON object", "[" * 100_000: "is not valid JSON"}
    for text, reason in reasons.items():
        type_text(editor, text)
        with pytest.raises(Rejected, match=reason):
            editor.correction()
        assert editor.is_changed


@pytest.mark.parametrize(
    ("output", "summary"),
    [
        (None, ""),
        ({"text": ""}, "(nothing)"),
        ({"action": "a"}, "a"),
        ({"boxes": []}, "(no objects)"),
        ({"boxes": [{"label": "cup"}, {"label": "ant"}]}, "ant, cup"),
        ({"value": 1}, '{"value": 1}'),
        ({"text": "one\ntwo"}, "one … (2 lines)"),
    ],
)
def test_an_output_is_summarized_in_a_line(output: dict[str, Any] | None, summary: str) -> None:
    assert summarize_output(output) == summary
