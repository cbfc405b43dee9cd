"""The kind of task that finds objects in a picture."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.base import Asked, Decoded, Rejected
from models.foreign.corrections import listed
from models.foreign.images import Geometry
from models.foreign.task import ForeignTask
from models.object_detection.corrections import SHAPE, is_near
from models.object_detection.scoring import mean_average_precision

MAX_BOXES = 300


class Detection(ForeignTask):
    """Answers `{"boxes": [{"box": [x0, y0, x1, y1], "label": ..., "score": ...}]}`, in the picture's pixels.

    Derive it from `models.foreign.images.FromImage` too: `decode` needs its `geometry`.
    """

    error_name: ClassVar[str] = "1 - AP"
    threshold: ClassVar[float] = 0.3
    """Boxes of a lower score are left out."""

    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        """Return the boxes of each picture, best first.

        The confidence is the probability that all of them are right and all others wrong, with scores taken for
        independent probabilities.
        """
        tables = zip(outputs["boxes"], outputs["scores"], outputs["classes"], asked, strict=True)
        return [
            self._decoded(Geometry.from_array(event.features["geometry"]).to_picture(boxes), scores, classes)
            for boxes, scores, classes, event in tables
        ]

    def _decoded(self, corners: NDArray[Any], scores: NDArray[Any], classes: NDArray[Any]) -> Decoded:
        names, scores = self.class_names(), np.clip(scores.astype(np.float64), 0.0, 1.0)
        visible = (corners[:, 2:] > corners[:, :2]).all(axis=1) & (classes >= 0) & (classes < len(names))
        shown = np.flatnonzero(visible & (scores >= self.threshold))
        output = [
            {"box": corners[place].tolist(), "label": names[classes[place]], "score": round(scores[place].item(), 4)}
            for place in shown.tolist()
        ]
        return Decoded({"boxes": output}, float(np.where(scores >= self.threshold, scores, 1 - scores).prod()))

    def labels(self) -> Sequence[str]:
        """Return the classes."""
        return self.class_names()

    def classes(self, output: Mapping[str, Any]) -> Sequence[str]:
        """Return the class of each box."""
        return [box["label"] for box in output["boxes"]]

    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        """Return `{"boxes": [{"box": [x0, y0, x1, y1], "label": ...}]}`; scores are left out. Raises `Rejected`."""
        boxes = correction.get("boxes")
        if correction.keys() != {"boxes"} or not isinstance(boxes, list):
            raise Rejected("bad_correction", SHAPE)
        if len(boxes) > MAX_BOXES:
            raise Rejected("too_many_boxes", f"{len(boxes)} boxes: at most {MAX_BOXES} are taken")
        return {"boxes": [self._checked(box, place) for place, box in enumerate(boxes)]}

    def _checked(self, box: Any, place: int) -> dict[str, Any]:
        if not isinstance(box, Mapping) or not {"box", "label"} <= box.keys() <= {"box", "label", "score"}:
            raise Rejected("bad_box", f"box {place} is {str(box)[:80]!r}; {SHAPE}")
        label, edges = box["label"], box["box"]
        if not isinstance(label, str) or label not in self.class_names():
            known = listed(self.class_names())
            raise Rejected("unknown_label", f"box {place} is labelled {str(label)[:50]!r}: one of {known} is known")
        if not (isinstance(edges, list | tuple) and len(edges) == 4 and all(map(is_near, edges))):
            raise Rejected("bad_box", f"box {place} has {str(edges)[:80]!r}: four finite numbers are needed")
        left, top, right, bottom = map(float, edges)
        if not (left < right and top < bottom):
            raise Rejected("empty_box", f"box {place} is {edges!r}: x0 < x1 and y0 < y1 are needed")
        return {"box": [left, top, right, bottom], "label": label}

    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        """Return the average precision at intersection over union 0.5, averaged over the classes."""
        return mean_average_precision(output["boxes"], correction["boxes"])
