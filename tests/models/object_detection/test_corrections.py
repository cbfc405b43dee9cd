"""What a correction of boxes may be."""

from typing import Any

import pytest

from models.base import Rejected
from models.object_detection.candidates import MAX_BOXES
from models.object_detection.corrections import checked

LABELS = ("mug", "key")
GOOD = {"box": [1, 2, 3, 4], "label": "mug"}


def test_a_correction_in_canonical_form_stays_as_it_is_and_scores_are_left_out() -> None:
    canonical = {
        "boxes": [{"box": [1.0, 2.0, 3.0, 4.0], "label": "mug"}, {"box": [0.0, 0.0, 9.5, 2.0], "label": "key"}]
    }
    assert checked(canonical, LABELS) == canonical
    assert checked({"boxes": [{**box, "score": 0.5} for box in canonical["boxes"]]}, LABELS) == canonical


@pytest.mark.parametrize(
    ("correction", "code"),
    [
        ({}, "missing_boxes"),
        ({"boxes": None}, "missing_boxes"),
        ({"boxes": {}}, "missing_boxes"),
        ({"boxes": [], "text": "12"}, "unknown_field"),
        ({"boxes": [GOOD] * (MAX_BOXES + 1)}, "too_many_boxes"),
        ({"boxes": [[1, 2, 3, 4]]}, "bad_box"),
        ({"boxes": [{**GOOD, "colour": "red"}]}, "unknown_field"),
        ({"boxes": [{"box": [1, 2, 3, 4]}]}, "unknown_label"),
        ({"boxes": [{**GOOD, "label": "unicorn"}]}, "unknown_label"),
        ({"boxes": [{**GOOD, "label": ["mug"]}]}, "unknown_label"),
        ({"boxes": [{"label": "mug"}]}, "bad_box"),
        ({"boxes": [{**GOOD, "box": [1, 2, 3]}]}, "bad_box"),
        ({"boxes": [{**GOOD, "box": [1, 2, 3, "4"]}]}, "bad_box"),
        ({"boxes": [{**GOOD, "box": [1, 2, 3, float("nan")]}]}, "bad_box"),
        ({"boxes": [{**GOOD, "box": [1, 2, float("inf"), 4]}]}, "bad_box"),
        ({"boxes": [{**GOOD, "box": [1, 2, 10**400, 4]}]}, "bad_box"),
        ({"boxes": [{**GOOD, "box": [3, 2, 1, 4]}]}, "empty_box"),
        ({"boxes": [{**GOOD, "box": [1, 2, 3, 2]}]}, "empty_box"),
        ({"boxes": [{**GOOD, "score": 1.5}]}, "bad_score"),
        ({"boxes": [{**GOOD, "score": "high"}]}, "bad_score"),
    ],
)
def test_corrections_that_cannot_be_true_are_refused_with_the_reason(correction: dict[str, Any], code: str) -> None:
    with pytest.raises(Rejected) as caught:
        checked(correction, LABELS)
    assert caught.value.code == code
    assert str(caught.value)
