from typing import Any

import pytest

from models.base import Rejected
from models.ocr import Ocr
from models.ocr.corrections import canonical

SQUARE = [[0, 0], [100, 0], [100, 20], [0, 20]]
OUTPUT = {
    "text": "first line\nsecnd line",
    "lines": [
        {"text": "first line", "polygon": SQUARE, "confidence": 0.9, "page": 0},
        {"text": "secnd line", "polygon": [[x, y + 30] for x, y in SQUARE], "confidence": 0.6, "page": 0},
    ],
}


def test_a_whole_text_keeps_its_rows_without_needless_space() -> None:
    assert canonical({"text": " a\u3000b \r\n\n c\t"}) == {"text": "a b\n\nc"}


def test_all_lines_make_up_the_text() -> None:
    assert canonical({"lines": [{"text": "one", "confidence": 1.0}, {"text": "two", "page": 1}]}) == {
        "text": "one\ntwo",
        "lines": [{"text": "one"}, {"text": "two", "page": 1}],
    }


def test_an_output_is_accepted_as_a_correction_with_the_text_that_was_served() -> None:
    assert canonical(OUTPUT)["text"] == OUTPUT["text"]


def test_white_space_is_no_error() -> None:
    assert Ocr().score(OUTPUT, {"text": "first line secnd  line"}) == 1.0


def test_a_whole_text_is_scored_by_its_character_error_rate() -> None:
    assert Ocr().score(OUTPUT, {"text": "first line second line"}) == pytest.approx(1 - 1 / 22)


def test_numbered_lines_are_scored_alone() -> None:
    correction = canonical({"lines": [{"line": 1, "text": "second line"}]})
    assert correction == {"text": "second line", "lines": [{"text": "second line", "line": 1}]}
    assert Ocr().score(OUTPUT, correction) == pytest.approx(1 - 1 / 11)


def test_a_numbered_line_with_its_place_is_found_in_another_versions_output() -> None:
    correction = canonical({"lines": [{"line": 1, "text": "first line", "polygon": SQUARE}]})
    assert Ocr().score(OUTPUT, correction) == 1.0


@pytest.mark.parametrize(
    ("correction", "code"),
    [
        ({}, "missing_text"),
        ({"text": None}, "missing_text"),
        ({"text": "\ud800"}, "bad_text"),
        ({"text": "x" * 100_001}, "text_too_long"),
        ({"word": "x"}, "unknown_field"),
        ({"lines": "x"}, "bad_lines"),
        ({"lines": [{"text": "x", "box": 1}]}, "bad_lines"),
        ({"lines": [{"text": "x", "line": -1}]}, "bad_lines"),
        ({"lines": [{"text": "x", "polygon": [[0, 0]]}]}, "bad_lines"),
    ],
)
def test_what_can_not_be_true_is_refused(correction: dict[str, Any], code: str) -> None:
    with pytest.raises(Rejected) as refusal:
        canonical(correction)
    assert refusal.value.code == code
