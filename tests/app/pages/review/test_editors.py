import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from nicegui import Client
from nicegui.page import page

from app.pages.review.editors import Editor, payload_url, render_item, summarize_output
from app.pages.review.review_session import ReviewItem
from app.services.payloads import Payload
from models.base import Rejected

CONTEXT = {"context": {"hour": 9}, "actions": [{"id": "a", "price": 1.5}, {"id": "b"}, {"id": "c"}]}


@pytest.fixture(autouse=True)
def client() -> Iterator[Client]:
    """A page that nobody has open, for elements to be on."""
    with Client(page("/answers")) as made:
        yield made


def item(output: dict[str, Any], content: bytes = b"{}", media_type: str = "application/json") -> ReviewItem:
    recorded = {"output": output, "feedback": []}
    return ReviewItem("ocr:1", recorded, "audit", Payload(content, media_type, "payload"), "")


def test_a_payload_that_is_large_is_fetched_and_a_small_one_comes_with_the_page() -> None:
    assert payload_url(item({}, b"1234", "image/png")) == "data:image/png;base64,MTIzNA=="
    assert payload_url(item({}, bytes(2**20 + 1), "image/png")) == "/v1/predictions/ocr%3A1/payload"


@pytest.mark.parametrize("output", [{"text": "12"}, {"action": "a"}, {"boxes": []}, {"value": 1}])
def test_a_prediction_that_nobody_has_changed_has_no_correction(output: dict[str, Any]) -> None:
    assert render_item(item(output), ()).correction() is None
    assert render_item(item(output, b"\x89PNG", "image/png"), ()).correction() is None


def test_an_action_is_chosen_by_its_place_among_the_most_probable() -> None:
    made = item({"action": "a", "probabilities": {"a": 0.2, "b": 0.7, "c": 0.1}}, json.dumps(CONTEXT).encode())
    answer = render_item(made, ())
    assert [answer.choose(digit) for digit in (4, 9)] == [False, False]
    assert answer.choose(1)
    assert answer.correction() == {"action": "b"}
    assert answer.choose(2)
    assert answer.correction() is None  # it is what was served


def test_what_was_served_can_be_chosen_however_improbable_it_was() -> None:
    probabilities = {f"{number:02}": 0.09 for number in range(11)} | {"served": 0.01}
    answer = render_item(item({"action": "served", "probabilities": probabilities}), ())
    assert answer.choose(1)
    assert answer.correction() == {"action": "00"}
    assert answer.choose(9)
    assert answer.correction() is None


def typed(answer: Any, text: str) -> None:
    answer._text = text


class Stars(Editor):
    """An editor that a task brings: it offers its labels by their numbers."""

    def __init__(self, item: ReviewItem, labels: Sequence[str]) -> None:
        self._label, self._labels = item.output["label"], labels

    def choose(self, digit: int) -> bool:
        self._label = self._labels[digit - 1]
        return True

    def correction(self) -> dict[str, Any] | None:
        return {"label": self._label}


def test_a_task_brings_its_own_editor() -> None:
    answer = render_item(item({"label": "good"}), ("bad", "good"), f"{__name__}:Stars")
    assert answer.choose(1)
    assert answer.correction() == {"label": "bad"}


def test_a_correction_as_json_is_an_object_or_refused_with_its_reason() -> None:
    answer = render_item(item({"value": 1}), ())
    typed(answer, '{"value": 2}')
    assert answer.correction() == {"value": 2}
    for text, says in {"{": "that is not JSON", "[1]": "is a JSON object", "[" * 100_000: "that is not JSON"}.items():
        typed(answer, text)
        with pytest.raises(Rejected, match=says):
            answer.correction()


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (None, ""),
        ({"text": ""}, "(nothing)"),
        ({"action": "a"}, "a"),
        ({"boxes": []}, "(no objects)"),
        ({"boxes": [{"label": "cup"}, {"label": "ant"}]}, "ant, cup"),
        ({"value": 1}, '{"value": 1}'),
    ],
)
def test_an_output_in_a_line(output: dict[str, Any] | None, says: str) -> None:
    assert summarize_output(output) == says
