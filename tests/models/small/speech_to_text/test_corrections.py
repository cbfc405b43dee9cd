"""Corrections: what is taken, in which form, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base import Rejected
from models.small.speech_to_text import SpeechToText
from models.small.speech_to_text.corrections import MAX_TEXT
from models.small.speech_to_text.symbols import SYMBOLS, canonical

TASK = SpeechToText()


def segment(start: Any = 0.0, end: Any = 1.0, text: Any = "yes") -> dict[str, Any]:
    return {"start": start, "end": end, "text": text}


@given(st.text(SYMBOLS, max_size=40))
def test_a_correction_in_canonical_form_stays_as_it_is(text: str) -> None:
    found = TASK.validate_correction({"text": text})
    assert found == {"text": " ".join(text.split())}
    assert TASK.validate_correction(found) == found


@given(st.text(max_size=40))
def test_any_text_is_taken_in_canonical_form_or_refused(text: str) -> None:
    try:
        assert set(TASK.validate_correction({"text": text})["text"]) <= set(SYMBOLS)
    except Rejected as refused:
        assert refused.code == "unknown_symbol"


def test_case_punctuation_and_spaces_are_not_heard() -> None:
    assert canonical("  Turn ON,\tthe  light - please! ") == "turn on the light please"
    assert canonical("twenty-one") == "twenty one"


def test_segments_are_kept_if_they_are_given() -> None:
    given = {"text": "Yes. No", "segments": [segment(text="YES"), segment(1.5, 2, "no"), segment(2, 3, "")]}
    assert TASK.validate_correction(given) == {
        "text": "yes no",
        "segments": [segment(), segment(1.5, 2.0, "no"), segment(2.0, 3.0, "")],
    }
    assert TASK.validate_correction({"text": "yes", "segments": None}) == {"text": "yes"}


@pytest.mark.parametrize(
    ("correction", "code"),
    [
        ({}, "missing_text"),
        ({"text": None}, "missing_text"),
        ({"text": 12}, "missing_text"),
        ({"text": "yes", "boxes": []}, "unknown_field"),
        ({"text": "a" * (MAX_TEXT + 1)}, "text_too_long"),
        ({"text": "7 minutes"}, "unknown_symbol"),
        ({"text": "straße"}, "unknown_symbol"),
        ({"text": "yes", "segments": "yes"}, "bad_segments"),
        ({"text": "yes", "segments": ["yes"]}, "bad_segments"),
        ({"text": "yes", "segments": [segment(start=None)]}, "bad_segments"),
        ({"text": "yes", "segments": [segment(start=True)]}, "bad_segments"),
        ({"text": "yes", "segments": [segment(end=float("nan"))]}, "bad_segments"),
        ({"text": "yes", "segments": [segment(end=1e9)]}, "bad_segments"),
        ({"text": "yes", "segments": [segment(start=2.0)]}, "bad_segments"),
        ({"text": "yes yes", "segments": [segment(1, 2), segment(0, 1)]}, "bad_segments"),
        ({"text": "yes", "segments": [{**segment(), "speaker": 1}]}, "unknown_field"),
        ({"text": "yes", "segments": [segment(text=None)]}, "missing_text"),
        ({"text": "yes no", "segments": [segment()]}, "segments_differ"),
    ],
)
def test_corrections_that_cannot_be_true_are_refused_with_the_reason(correction: dict[str, Any], code: str) -> None:
    with pytest.raises(Rejected) as caught:
        TASK.validate_correction(correction)
    assert caught.value.code == code
