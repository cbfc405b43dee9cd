"""The `object_detection` task: from a picture to the objects in it. Needs only numpy and Pillow."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.base import Asked, Decoded, EvaluatedSample, Features, Rejected, Sample, Task
from models.nn.exploration import checked_share
from models.object_detection.metrics import figures
from models.object_detection.scoring import mean_average_precision
from models.small.object_detection.data.scenes import held_out_scenes
from models.small.object_detection.decoding import MAX_BOXES, Candidates, candidates, confidence, doubt
from models.small.object_detection.images import SAMPLES, Geometry, features_of, has_content
from models.small.object_detection.labels import LABELS
from models.small.object_detection.policy import serve

_CONFIDENCE_WITHOUT_CONTENT = 0.1
"""That there was nothing to see is seldom why a picture was sent."""
_MAX_COORDINATE = 1e6  # pixels: beyond any picture
HELD_OUT_SCENES, HELD_OUT_SEED = 300, 2_000
_SHAPE = "a correction is {'boxes': [{'box': [x0, y0, x1, y1], 'label': '...'}]}"


class ObjectDetection(Task):
    """Finds balls, books, bottles, keys, mugs, signs and stars in a picture.

    Features: `image` uint8 (128, 128, 3), the picture as large as fits, and `geometry` int32 (6,), where it lies there
    (see `models.small.object_detection.images.Geometry`), which only `decode` needs. The model's input is `image` with
    a batch dimension in front; its outputs are those of `models.small.object_detection.training.onnx_export.to_onnx`.

    Boxes are in pixels of the picture as it is displayed, that is after its EXIF orientation: x to the right, y down,
    (0, 0) the corner of the first pixel.
    """

    name: ClassVar[str] = "object_detection"
    preprocess_version: ClassVar[str] = "1"
    error_name: ClassVar[str] = "1 - AP"
    trainer: ClassVar[str | None] = "models.small.object_detection.train:train"
    off_policy_evaluator: ClassVar[str | None] = "models.small.object_detection.off_policy:evaluate_versions"
    max_payload_bytes: ClassVar[int] = 8 * 1024 * 1024

    def __init__(self, explore: float = 0.0) -> None:
        """Draw the boxes of the share `explore` of the traffic (see `policy.py`), to learn from rewards.

        Raises `ValueError` for an invalid share.
        """
        self.explore = checked_share(explore)

    def preprocess(self, payload: bytes) -> Features:
        """Return the picture in a small square, and where it lies there. Raises `Rejected`."""
        return features_of(payload)

    def inputs(self, features: Features) -> Features:
        """Return the square alone."""
        return {"image": features["image"]}

    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        """Return the objects of each picture, best first, at most 50; or drawn ones, with the exact propensity.

        A box's score is the calibrated probability that it is right; the confidence the one that all boxes are right
        and none is missing (`models.object_detection.scoring.all_right`). A picture without content (no contrast) is
        left to a reviewer.
        """
        found = candidates(outputs["scores"], outputs["distances"])
        return [self._decoded(*scene) for scene in zip(found, asked, outputs["certainty"], strict=True)]

    def _decoded(self, found: Candidates, event: Asked, certainty: NDArray[Any]) -> Decoded:
        placed = found.placed(Geometry.from_array(event.features["geometry"]))
        choices, propensity = serve(placed, self.explore, event.rng() if self.explore else None)
        sure = confidence(doubt(placed, choices), certainty)
        sure = sure if has_content(event.features) else min(sure, _CONFIDENCE_WITHOUT_CONTENT)
        return Decoded(_output(placed, choices), sure, propensity)

    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        """Return `{"boxes": [{"box": [x0, y0, x1, y1], "label": ...}]}`, in the order given. Raises `Rejected`.

        A `score` may be given, as in an edited prediction; it is checked and left out.
        """
        _refuse_unknown(correction, {"boxes"})
        boxes = correction.get("boxes")
        if not isinstance(boxes, list):
            raise Rejected("missing_boxes", f"{_SHAPE}: `boxes` must be a list")
        if len(boxes) > MAX_BOXES:
            raise Rejected("too_many_boxes", f"{len(boxes)} boxes: a picture has at most {MAX_BOXES}")
        return {"boxes": [_checked(box, place) for place, box in enumerate(boxes)]}

    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        """Return the average precision at intersection over union 0.5, averaged over the classes."""
        return mean_average_precision(output["boxes"], correction["boxes"])

    def samples(self) -> Sequence[Sample]:
        """Return real files: scenes on the held-out photographs, as PNG and JPEG, one of them turned by EXIF."""
        return _shipped()

    def classes(self, output: Mapping[str, Any]) -> Sequence[str]:
        """Return the label of each box."""
        return [box["label"] for box in output["boxes"]]

    def labels(self) -> Sequence[str]:
        """Return the classes of the detector."""
        return LABELS

    def demonstration(self, seed: int) -> Iterator[Sample]:
        """Return endless new scenes on the held-out photographs."""
        return held_out_scenes(seed)

    def held_out(self) -> Iterator[Sample]:
        """Return 300 scenes of photographs and objects that no training ever sees."""
        return islice(held_out_scenes(HELD_OUT_SEED), HELD_OUT_SCENES)

    def figures(self, judged: Sequence[EvaluatedSample]) -> dict[str, float]:
        """Return `map50` (COCO's evaluator), the share `scenes_right`, the error `ece`, `scenes` and `score`."""
        return {**figures(judged), **super().figures(judged)}


def _output(placed: Candidates, choices: NDArray[np.int64]) -> dict[str, Any]:
    emitted = np.flatnonzero(choices < len(LABELS))
    scores = placed.scores[emitted, choices[emitted]]
    return {
        "boxes": [
            {
                "box": placed.boxes[place].tolist(),
                "label": LABELS[choices[place]],
                "score": round(float(placed.scores[place, choices[place]]), 4),
            }
            for place in emitted[np.argsort(-scores, kind="stable")].tolist()
        ]
    }


def _refuse_unknown(given: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(str(key) for key in given if key not in known)
    if unknown:
        raise Rejected("unknown_field", f"unknown fields: {', '.join(unknown)}; {_SHAPE}")


def _checked(given: Any, place: int) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise Rejected("bad_box", f"box {place} is {type(given).__name__}; {_SHAPE}")
    _refuse_unknown(given, {"box", "label", "score"})
    label, box = given.get("label"), given.get("box")
    if label not in LABELS:
        raise Rejected("unknown_label", f"box {place} is labelled {label!r}: one of {', '.join(LABELS)} is known")
    if not (isinstance(box, list | tuple) and len(box) == 4 and all(_near(edge) for edge in box)):
        raise Rejected("bad_box", f"box {place} is {box!r}: four finite numbers [x0, y0, x1, y1] are needed")
    left, top, right, bottom = (float(edge) for edge in box)
    if not (left < right and top < bottom):
        raise Rejected("empty_box", f"box {place} is {box!r}: x0 < x1 and y0 < y1 are needed")
    if "score" in given and not (_near(given["score"]) and 0 <= given["score"] <= 1):
        raise Rejected("bad_score", f"box {place} has score {given['score']!r}: 0 to 1, or none, is needed")
    return {"box": [left, top, right, bottom], "label": label}


def _near(value: Any) -> bool:
    """Return whether it is a number that a pixel may have; NaN and infinity are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MAX_COORDINATE


@cache
def _shipped() -> tuple[Sample, ...]:
    entries = json.loads((SAMPLES / "samples.json").read_text())
    return tuple(
        Sample(entry["name"], (SAMPLES / entry["name"]).read_bytes(), entry["content_type"], {"boxes": entry["boxes"]})
        for entry in entries
    )
