"""Off-policy evaluation of tasks whose output is boxes: see `models.output_off_policy`.

Two versions never give a box the same edges. A version serves a logged output if it serves as many boxes, each of the
same object (`FOUND_IOU`, as in the score) with the same label: rewards are taken to depend on no more than that.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models import output_off_policy
from models.base import OnStep
from models.datasets import Row
from models.nn.onnx_inference import Outputs
from models.object_detection.candidates import Candidates
from models.object_detection.detection_task import DetectionTask
from models.object_detection.policy import choices_of, propensity
from models.object_detection.scoring import FOUND_IOU
from models.off_policy import Floats
from models.policy_value import PolicyValue


def evaluate_versions(
    task: DetectionTask, dataset: Path, versions: Sequence[Path], seed: int, on_step: OnStep
) -> list[PolicyValue]:
    """Value versions, see `models.training.OffPolicyEvaluator`; nothing is drawn. Raises `Untrainable`."""

    def served_probability(found: Candidates, row: Row) -> float:
        choices = choices_of(row.output["boxes"], found, task.labels(), FOUND_IOU)
        return 0.0 if choices is None else propensity(found, choices, task.explore)

    def served_probabilities(outputs: Outputs, rows: Sequence[Row]) -> Floats:
        scenes = task.candidates(outputs, [row.features for row in rows])
        return np.array([served_probability(found, row) for found, row in zip(scenes, rows, strict=True)])

    return output_off_policy.evaluate_versions(task, dataset, versions, on_step, served_probabilities)
