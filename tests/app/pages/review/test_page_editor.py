from collections.abc import Iterator
from typing import Any

import pytest
from nicegui import Client
from nicegui.page import page

from app.pages.review.page_editor import PageEditor
from app.pages.review.review_session import ReviewItem
from app.services.payloads import Payload
from tests.support.pages import PAGES


@pytest.fixture(autouse=True)
def client() -> Iterator[Client]:
    """A page without a browser, as the parent of the elements."""
    with Client(page("/answers")) as client:
        yield client


def editor(selection: str = "volunteer", output: dict[str, Any] = PAGES) -> PageEditor:
    prediction = {"output": output, "feedback": []}
    return PageEditor(ReviewItem("ocr:1", prediction, selection, Payload(b"%PDF-", "application/pdf", "payload"), ""))


def test_a_changed_line_is_corrected_alone() -> None:
    changed = editor()
    changed._set_change({"texts": ["first", "2nd", "third"], "all": False})
    line = PAGES["lines"][1]
    assert changed.correction() == {"lines": [{"line": 1, "text": "2nd", "polygon": line["polygon"], "page": 0}]}


def test_all_lines_are_named_once_all_are_checked() -> None:
    changed = editor()
    changed._set_change({"texts": ["first", "2nd", "third"], "all": True})
    correction = changed.correction()
    assert correction is not None
    assert [line["text"] for line in correction["lines"]] == ["first", "2nd", "third"]


@pytest.mark.parametrize(("selection", "checked"), [("volunteer", False), ("audit", True), ("all", True)])
def test_a_correction_that_counts_for_the_score_is_of_all_lines(client: Client, selection: str, checked: bool) -> None:
    editor(selection)
    assert [element._props["all"] for element in client.elements.values() if "all" in element._props] == [checked]


def test_a_whole_text_is_corrected() -> None:
    changed = editor()
    changed._set_change({"text": "all of it"})
    assert changed.correction() == {"text": "all of it"}


@pytest.mark.parametrize("change", [{}, {"text": PAGES["text"]}, {"texts": ["first", "second", "third"], "all": True}])
def test_an_unchanged_text_has_no_correction(change: dict[str, Any]) -> None:
    unchanged = editor()
    unchanged._set_change(change)
    assert unchanged.correction() is None


def test_a_blank_page_has_no_lines_that_tell_of_the_output(client: Client) -> None:
    served = ReviewItem("ocr:1", {"output": PAGES}, "audit", Payload(b"%PDF-", "application/pdf", "payload"), "")
    assert served.blank is not None
    PageEditor(served.blank)
    shown = [element._props for element in client.elements.values() if "pages" in element._props]
    assert [(props["text"], props["lines"]) for props in shown] == [("", [])]
