"""What all tasks share whose output is boxes."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.base import Asked, Decoded, EvaluatedSample, Features, Task
from models.nn.exploration import checked_share
from models.object_detection.candidates import Candidates, confidence, doubt
from models.object_detection.corrections import checked
from models.object_detection.metrics import figures
from models.object_detection.policy import serve
from models.object_detection.scoring import mean_average_precision

_CONFIDENCE_WITHOUT_CONTENT = 0.1
"""That there was nothing to see is seldom why a picture was sent."""


class DetectionTask(Task):
    """A task with the output `{"boxes": [{"box": [x0, y0, x1, y1], "label": ..., "score": ...}]}`, best first.

    Boxes are in pixels of the picture as it is displayed, that is after its EXIF orientation: x to the right, y down,
    (0, 0) the corner of the first pixel. A box's score is the probability that it is right; the confidence the one that
    all boxes are right and none is missing (`models.object_detection.scoring.all_right`).
    """

    error_name: ClassVar[str] = "1 - AP"
    off_policy_evaluator: ClassVar[str | None] = "models.object_detection.off_policy:evaluate_versions"
    max_payload_bytes: ClassVar[int] = 8 * 1024 * 1024

    def __init__(self, explore: float = 0.0) -> None:
        """Draw the boxes of the share `explore` of the traffic (see `policy.py`), to learn from rewards.

        Raises `ValueError` for an invalid share.
        """
        self.explore = checked_share(explore)

    @abstractmethod
    def labels(self) -> Sequence[str]:
        """Return the classes of the detector, in the order of its outputs."""

    @abstractmethod
    def candidates(self, outputs: Mapping[str, NDArray[Any]], features: Sequence[Features]) -> list[Candidates]:
        """Return what may be an object in each picture of a batch, in the picture's pixels."""

    @abstractmethod
    def has_content(self, features: Features) -> bool:
        """Return whether anything can be told apart in the picture: a lens cap, for instance, shows nothing."""

    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        """Return the boxes of each picture, best first, at most 50; or drawn ones, with the exact propensity.

        A picture without content is left to a reviewer.
        """
        found = self.candidates(outputs, [event.features for event in asked])
        return [self._decoded(*picture) for picture in zip(found, asked, outputs["certainty"], strict=True)]

    def _decoded(self, found: Candidates, event: Asked, certainty: NDArray[Any]) -> Decoded:
        choices, propensity = serve(found, self.explore, event.rng() if self.explore else None)
        sure = confidence(doubt(found, choices), certainty)
        sure = sure if self.has_content(event.features) else min(sure, _CONFIDENCE_WITHOUT_CONTENT)
        return Decoded({"boxes": _boxes(found, choices, self.labels())}, sure, propensity)

    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        """Return `{"boxes": [{"box": [x0, y0, x1, y1], "label": ...}]}`, in the order given. Raises `Rejected`.

        A `score` may be given, as in an edited prediction; it is checked and left out.
        """
        return checked(correction, self.labels())

    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        """Return the average precision at intersection over union 0.5, averaged over the classes."""
        return mean_average_precision(output["boxes"], correction["boxes"])

    def classes(self, output: Mapping[str, Any]) -> Sequence[str]:
        """Return the label of each box."""
        return [box["label"] for box in output["boxes"]]

    def figures(self, judged: Sequence[EvaluatedSample]) -> dict[str, float]:
        """Return `map50` (COCO's evaluator), the share `scenes_right`, the error `ece`, `scenes` and `score`."""
        return {**figures(judged), **super().figures(judged)}


def _boxes(found: Candidates, choices: NDArray[np.int64], labels: Sequence[str]) -> list[dict[str, Any]]:
    emitted = np.flatnonzero(choices < len(labels))
    scores = found.scores[emitted, choices[emitted]]
    return [
        {
            "box": found.boxes[place].tolist(),
            "label": labels[choices[place]],
            "score": round(float(found.scores[place, choices[place]]), 4),
        }
        for place in emitted[np.argsort(-scores, kind="stable")].tolist()
    ]
