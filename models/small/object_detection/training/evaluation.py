"""How a trained detector is checked: its calibration, and whether ONNX Runtime agrees with JAX.

Scenes are judged exactly as when serving: ONNX Runtime, `ObjectDetection.decode`.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import onnx
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from models.base import Asked, Decoded
from models.nn.convolution import Parameters
from models.nn.onnx_inference import BATCH, session
from models.object_detection.scoring import all_right, hits
from models.small.object_detection.data.generation import Labelled
from models.small.object_detection.decoding import Candidates, candidates, doubt
from models.small.object_detection.images import Geometry
from models.small.object_detection.labels import LABELS
from models.small.object_detection.policy import greedy
from models.small.object_detection.task import ObjectDetection
from models.small.object_detection.training.network import Detector
from models.small.object_detection.training.onnx_export import Calibration, to_onnx


def outputs(model: Any, scenes: Sequence[Labelled]) -> dict[str, NDArray[Any]]:
    """Run an ONNX Runtime session on scenes, and return its outputs, (scenes, ...) each."""
    names = [output.name for output in model.get_outputs()]
    starts = range(0, len(scenes), BATCH)
    images = (np.stack([features["image"] for features, _ in scenes[start : start + BATCH]]) for start in starts)
    batches = [model.run(names, {"image": batch}) for batch in images]
    return {name: np.concatenate(parts) for name, parts in zip(names, zip(*batches, strict=True), strict=True)}


def placed(maps: dict[str, NDArray[Any]], scenes: Sequence[Labelled]) -> list[Candidates]:
    """Return what may be an object in each scene, in pixels of its picture."""
    found = candidates(maps["scores"], maps["distances"])
    return [
        of_scene.placed(Geometry.from_array(features["geometry"]))
        for of_scene, (features, _) in zip(found, scenes, strict=True)
    ]


def decoded(task: ObjectDetection, model: Any, scenes: Sequence[Labelled]) -> list[Decoded]:
    """Return what the model says of scenes."""
    asked = [Asked(str(place), features) for place, (features, _) in enumerate(scenes)]
    return task.decode(outputs(model, scenes), asked)


def calibrated(
    task: ObjectDetection, network: Detector, parameters: Parameters, scenes: Sequence[Labelled]
) -> Calibration:
    """Return scores, then confidences, fitted on validation scenes by logistic regressions (Platt, 1999)."""
    plain = outputs(session(to_onnx(network, parameters, Calibration()).SerializeToString()), scenes)
    logits: list[float] = []
    right: list[bool] = []
    for found, (_, truth) in zip(placed(plain, scenes), scenes, strict=True):
        predicted = [
            {"box": box, "label": LABELS[label], "score": score}
            for box, label, score in zip(found.boxes.tolist(), found.labels.tolist(), found.best.tolist(), strict=True)
        ]
        logits += [float(np.log(box["score"] / (1 - box["score"]))) for box in predicted]
        right += hits(predicted, truth["boxes"]).tolist()
    slope, offset = _regression(np.array(logits)[:, None], right, Calibration().slope)
    half = Calibration(float(slope[0]), offset)

    model = session(to_onnx(network, parameters, half).SerializeToString())
    doubts = np.array([doubt(found, greedy(found)) for found in placed(outputs(model, scenes), scenes)])
    wholes = [
        all_right(predicted.output["boxes"], truth["boxes"])
        for predicted, (_, truth) in zip(decoded(task, model, scenes), scenes, strict=True)
    ]
    slopes, offset = _regression(doubts, wholes, 1.0)
    return Calibration(half.slope, half.offset, (offset, float(slopes[0]), float(slopes[1])))


def _regression(
    inputs: NDArray[np.float64], right: Sequence[bool], default: float
) -> tuple[NDArray[np.float64], float]:
    """Return slopes and offset; where all are right or all are wrong there is nothing to learn: `default` and 0."""
    if len(set(right)) < 2:
        return np.full(inputs.shape[-1], default), 0.0
    fitted = LogisticRegression(C=10.0).fit(inputs, right)
    return np.maximum(fitted.coef_[0], 0.01), float(fitted.intercept_[0])


def parity(network: Detector, parameters: Parameters, model: onnx.ModelProto, squares: NDArray[np.uint8]) -> float:
    """Return the largest difference between JAX and ONNX Runtime, of uncalibrated scores and of distances."""
    plain = session(model.SerializeToString())
    scores, distances = plain.run(["scores", "distances"], {"image": squares})
    logits, expected = jax.jit(network.maps)(parameters, squares)
    return float(
        max(np.abs(np.asarray(jax.nn.sigmoid(logits)) - scores).max(), np.abs(np.asarray(expected) - distances).max())
    )
