"""From parameters to a version: ONNX, agreement with JAX, figures on the held-out set."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx

from models.nn.convolution import Parameters
from models.nn.onnx_inference import judge, session
from models.small.object_detection.data.generation import Labelled
from models.small.object_detection.labels import LABELS
from models.small.object_detection.task import ObjectDetection
from models.small.object_detection.training import evaluation
from models.small.object_detection.training.network import Detector
from models.small.object_detection.training.onnx_export import Calibration, to_onnx

PARITY_TOLERANCE = 1e-3


class Finished(NamedTuple):
    """The model of some parameters, and how far ONNX Runtime is from JAX."""

    model: onnx.ModelProto
    difference: float


def finish(
    task: ObjectDetection,
    network: Detector,
    parameters: Parameters,
    calibration: Calibration,
    scenes: Sequence[Labelled],
) -> Finished:
    """Return the model, compared with JAX on a few of the scenes. Raises `RuntimeError` where they differ."""
    squares = np.stack([features["image"] for features, _ in scenes[:32]])
    difference = evaluation.parity(network, parameters, to_onnx(network, parameters, Calibration()), squares)
    if difference > PARITY_TOLERANCE:
        raise RuntimeError(f"ONNX Runtime and JAX differ by {difference:g}, more than {PARITY_TOLERANCE:g}")
    metadata = {"task": task.name, "labels": " ".join(LABELS)}
    return Finished(to_onnx(network, parameters, calibration, metadata), difference)


def figures(task: ObjectDetection, model: onnx.ModelProto) -> dict[str, float]:
    """Return what a card says of the held-out set."""
    found = task.figures(judge(session(model.SerializeToString()), task, list(task.held_out())))
    return {name: round(value, 5) for name, value in found.items()}
