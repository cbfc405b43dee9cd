"""Off-policy evaluation of `Bandit` tasks: see `models.output_off_policy`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.base import OnStep
from models.datasets import Row
from models.decision.exploration import PARTS
from models.foreign.bandit import Bandit
from models.nn.onnx_inference import Outputs
from models.off_policy import Floats
from models.output_off_policy import evaluate_versions as evaluate_outputs
from models.policy_value import PolicyValue


def evaluate_versions(
    task: Bandit, dataset: Path, versions: Sequence[Path], seed: int, on_step: OnStep
) -> list[PolicyValue]:
    """Value versions, see `models.training.OffPolicyEvaluator`; nothing is drawn. Raises `Untrainable`."""
    names = task.class_names()

    def served_probabilities(outputs: Outputs, rows: Sequence[Row]) -> Floats:
        places = [names.index(row.output["action"]) for row in rows]
        parts = [task.parts(values)[place] for values, place in zip(outputs["values"], places, strict=True)]
        return np.array(parts) / PARTS

    return evaluate_outputs(task, dataset, versions, on_step, served_probabilities)
