"""Off-policy evaluation of `object_detection`: see `models.output_off_policy`.

Two versions never give a box the same edges. A version serves a logged output if it serves as many boxes, each of the
same object (`SAME_OBJECT_IOU`, as in the score) with the same label: rewards are taken to depend on no more than that.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models import output_off_policy
from models.base import OnStep
from models.datasets import Row
from models.nn.onnx_inference import Outputs
from models.off_policy import Floats
from models.policy_value import PolicyValue
from models.small.object_detection.decoding import SAME_OBJECT_IOU, Candidates, candidates
from models.small.object_detection.images import Geometry
from models.small.object_detection.policy import propensity
from models.small.object_detection.task import ObjectDetection
from models.small.object_detection.training.feedback import choices_of


def evaluate_versions(
    task: ObjectDetection, dataset: Path, versions: Sequence[Path], seed: int, on_step: OnStep
) -> list[PolicyValue]:
    """Value versions, see `models.training.OffPolicyEvaluator`; nothing is drawn. Raises `Untrainable`."""

    def served_probabilities(outputs: Outputs, rows: Sequence[Row]) -> Floats:
        found = candidates(outputs["scores"], outputs["distances"])
        return np.array([_probability(scene, row, task.explore) for scene, row in zip(found, rows, strict=True)])

    return output_off_policy.evaluate_versions(task, dataset, versions, on_step, served_probabilities)


def _probability(found: Candidates, row: Row, explore: float) -> float:
    placed = found.placed(Geometry.from_array(row.features["geometry"]))
    choices = choices_of(row.output["boxes"], placed, SAME_OBJECT_IOU)
    return 0.0 if choices is None else propensity(placed, choices, explore)
