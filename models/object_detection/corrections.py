"""What a correction of boxes may be."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.base import Rejected
from models.object_detection.candidates import MAX_BOXES

_MAX_COORDINATE = 1e6  # pixels: beyond any picture
SHAPE = "a correction is {'boxes': [{'box': [x0, y0, x1, y1], 'label': '...'}]}"


def checked(correction: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """Return `{"boxes": [{"box": [x0, y0, x1, y1], "label": ...}]}`, in the order given. Raises `Rejected`.

    A `score` may be given, as in an edited prediction; it is checked and left out.
    """
    _refuse_unknown(correction, {"boxes"})
    boxes = correction.get("boxes")
    if not isinstance(boxes, list):
        raise Rejected("missing_boxes", f"{SHAPE}: `boxes` must be a list")
    if len(boxes) > MAX_BOXES:
        raise Rejected("too_many_boxes", f"{len(boxes)} boxes: a picture has at most {MAX_BOXES}")
    return {"boxes": [_checked(box, place, labels) for place, box in enumerate(boxes)]}


def _refuse_unknown(given: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(str(key) for key in given if key not in known)
    if unknown:
        raise Rejected("unknown_field", f"unknown fields: {', '.join(unknown)}; {SHAPE}")


def _checked(given: Any, place: int, labels: Sequence[str]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise Rejected("bad_box", f"box {place} is {type(given).__name__}; {SHAPE}")
    _refuse_unknown(given, {"box", "label", "score"})
    label, box = given.get("label"), given.get("box")
    if label not in labels:
        raise Rejected("unknown_label", f"box {place} is labelled {label!r}: one of {', '.join(labels)} is known")
    if not (isinstance(box, list | tuple) and len(box) == 4 and all(is_near(edge) for edge in box)):
        raise Rejected("bad_box", f"box {place} is {box!r}: four finite numbers [x0, y0, x1, y1] are needed")
    left, top, right, bottom = (float(edge) for edge in box)
    if not (left < right and top < bottom):
        raise Rejected("empty_box", f"box {place} is {box!r}: x0 < x1 and y0 < y1 are needed")
    if "score" in given and not (is_near(given["score"]) and 0 <= given["score"] <= 1):
        raise Rejected("bad_score", f"box {place} has score {given['score']!r}: 0 to 1, or none, is needed")
    return {"box": [left, top, right, bottom], "label": label}


def is_near(value: Any) -> bool:
    """Return whether it is a number that a pixel may have; NaN and infinity are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MAX_COORDINATE
