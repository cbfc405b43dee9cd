"""Figures of a version on held-out scenes, the same for a model card and for `hindsight evaluate`."""

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np

from models.base import EvaluatedSample
from models.nn.calibration import expected_calibration_error
from models.object_detection.scoring import all_right


def figures(judged: Sequence[EvaluatedSample]) -> dict[str, float]:
    """Return mean average precision at 0.5, the share of scenes with all right, and how far confidences are off."""
    right = np.array(
        [all_right(evaluated.decoded.output["boxes"], evaluated.sample.correction["boxes"]) for evaluated in judged],
        bool,
    )
    confidences = np.array([evaluated.decoded.confidence for evaluated in judged])
    return {
        "map50": map50(judged),
        "scenes_right": float(right.mean()),
        "ece": expected_calibration_error(confidences, right),
        "scenes": float(len(judged)),
    }


def map50(judged: Sequence[EvaluatedSample]) -> float:
    """Return COCO's mean average precision over the classes at intersection over union 0.5, all object sizes."""
    from pycocotools.coco import COCO  # type: ignore[import-untyped]
    from pycocotools.cocoeval import COCOeval  # type: ignore[import-untyped]

    predicted, true = [], []
    labels: dict[str, int] = {}
    for scene, evaluated in enumerate(judged, 1):
        predicted += [_annotation(scene, box, labels) for box in evaluated.decoded.output["boxes"]]
        true += [_annotation(scene, box, labels) for box in evaluated.sample.correction["boxes"]]
    for number, annotation in enumerate(true, 1):
        annotation["id"] = number
    if not predicted or not true:
        return 0.0
    with redirect_stdout(StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": scene} for scene in range(1, len(judged) + 1)],
            "categories": [{"id": number, "name": label} for label, number in labels.items()],
            "annotations": true,
            "info": {},
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(predicted), "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][0, :, :, 0, -1]  # recalls x classes, of all sizes, most boxes
    return float(precision[precision > -1].mean())


def _annotation(scene: int, box: dict[str, Any], labels: dict[str, int]) -> dict[str, Any]:
    """Return a box in COCO's form; `labels` gets the number of a label that is new."""
    left, top, right, bottom = box["box"]
    return {
        "image_id": scene,
        "category_id": labels.setdefault(box["label"], len(labels)),
        "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top),
        "iscrowd": 0,
        "score": box.get("score", 1.0),
    }
