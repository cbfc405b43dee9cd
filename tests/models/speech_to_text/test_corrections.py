"""Corrections: what is taken, in which form, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base import Rejected
from models.speech_to_text.corrections import MAX_TEXT, checked_correction


def segment(start: Any = 0.0, end: Any = 1.0, text: Any = "Yes.") -> dict[str, Any]:
    return {"start": start, "end": end, "text": text}


def test_case_and_punctuation_stay_and_spaces_become_single() -> None:
    assert checked_correction({"text": "  It was the best of times,\n in Zürich. "}) == {
        "text": "It was the best of times, in Zürich."
    }


@given(st.text(max_size=40))
def test_any_text_is_taken_once_and_for_all_or_refused(text: str) -> None:
    try:
        checked = checked_correction({"text": text})
    except Rejected as refused:
        assert refused.code == "unknown_symbol"
    else:
        assert checked_correction(checked) == checked


def test_segments_are_kept_without_their_confidence() -> None:
    given_segments = [{**segment(), "confidence": 0.7}, segment(1.5, 2, "No"), segment(2, 3, "")]
    checked = {"text": "Yes. No", "segments": [segment(), segment(1.5, 2.0, "No"), segment(2.0, 3.0, "")]}
    assert checked_correction({"text": "Yes.  No", "segments": given_segments}) == checked
    assert checked_correction({"text": "yes", "segments": None}) == {"text": "yes"}


@pytest.mark.parametrize(
    ("correction", "code"),
    [
        ({}, "missing_text"),
        ({"text": None}, "missing_text"),
        ({"text": 12}, "missing_text"),
        ({"text": "yes", "boxes": []}, "unknown_field"),
        ({"text": "a" * (MAX_TEXT + 1)}, "text_too_long"),
        ({"text": "bell \a"}, "unknown_symbol"),
        ({"text": "\ud800"}, "unknown_symbol"),
        ({"text": "Yes.", "segments": "Yes."}, "bad_segments"),
        ({"text": "Yes.", "segments": ["Yes."]}, "bad_segments"),
        ({"text": "Yes.", "segments": [segment(start=None)]}, "bad_segments"),
        ({"text": "Yes.", "segments": [segment(start=True)]}, "bad_segments"),
        ({"text": "Yes.", "segments": [segment(end=float("nan"))]}, "bad_segments"),
        ({"text": "Yes.", "segments": [segment(end=1e9)]}, "bad_segments"),
        ({"text": "Yes.", "segments": [segment(start=2.0)]}, "bad_segments"),
        ({"text": "Yes. Yes.", "segments": [segment(1, 2), segment(0, 1)]}, "bad_segments"),
        ({"text": "Yes.", "segments": [{**segment(), "speaker": 1}]}, "unknown_field"),
        ({"text": "Yes.", "segments": [segment(text=None)]}, "missing_text"),
        ({"text": "Yes. No.", "segments": [segment()]}, "segments_differ"),
    ],
)
def test_corrections_that_cannot_be_true_are_refused_with_the_reason(correction: dict[str, Any], code: str) -> None:
    with pytest.raises(Rejected) as caught:
        checked_correction(correction)
    assert caught.value.code == code
