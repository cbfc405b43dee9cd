"""Off-policy evaluation of `ocr`: see `models.output_off_policy`."""

from collections.abc import Sequence
from pathlib import Path

from models import output_off_policy
from models.base import OnStep
from models.datasets import Row
from models.nn.ctc_policy import propensities
from models.nn.onnx_inference import Outputs
from models.off_policy import Floats
from models.policy_value import PolicyValue
from models.small.ocr.symbols import encode
from models.small.ocr.task import Ocr


def evaluate_versions(
    task: Ocr, dataset: Path, versions: Sequence[Path], seed: int, on_step: OnStep
) -> list[PolicyValue]:
    """Value versions, see `models.training.OffPolicyEvaluator`; nothing is drawn. Raises `Untrainable`."""

    def served_probabilities(outputs: Outputs, rows: Sequence[Row]) -> Floats:
        labels = [encode(row.output["text"]) for row in rows]
        return propensities(outputs["log_probs"], outputs["length"], labels, task.explore)

    return output_off_policy.evaluate_versions(task, dataset, versions, on_step, served_probabilities)
