"""Off-policy values of versions: the reward they would have earned on decisions of another version, from a dataset."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import SetupError
from app.registry.artifacts import version_path
from app.settings import Settings
from app.tasks import load_task
from models.base import OnStep, Untrainable
from models.datasets import held_out_rows
from models.off_policy import Estimate
from models.policy_value import PolicyValue
from models.training import evaluate_off_policy

_SEED = 0


@dataclass(frozen=True)
class OffPolicyComparison:
    """The values of a version and of the version it is compared with, from the same log."""

    task: str
    version: str
    against: str
    version_value: PolicyValue
    against_value: PolicyValue

    @property
    def rows(self) -> list[tuple[str, Estimate, Estimate, Estimate]]:
        """The name, both values and their paired difference, for each estimator."""
        return [
            (name, value, self.against_value.estimates[name], value.minus(self.against_value.estimates[name]))
            for name, value in self.version_value.estimates.items()
        ]

    @property
    def difference_doubt(self) -> str | None:
        """An objection to the difference of the values, a sentence."""
        return self.version_value.estimate.minus(self.against_value.estimate).doubt


def compare_off_policy(
    settings: Settings, task_name: str, dataset: Path, version: str | None, against: str | None, on_step: OnStep
) -> OffPolicyComparison:
    """Compare a version with another; None is the newest shipped one. Raises `SetupError`.

    Only held-out rows count, because a version looks good on what it learned from.
    """
    task = load_task(settings, task_name)
    number, path = version_path(settings, task, version)
    other, other_path = version_path(settings, task, against)
    if not dataset.is_dir():
        raise SetupError(f"There is no dataset {dataset}.", f"Make one: hindsight replay {task_name} --out {dataset}")
    try:
        with held_out_rows(dataset) as held_out:
            values = evaluate_off_policy(task, held_out, [path, other_path], _SEED, on_step)
    except Untrainable as error:
        raise SetupError(f"{task_name} can't be valued off policy by {dataset}.", str(error)) from error
    return OffPolicyComparison(task_name, number, other, *values)


def to_json(comparison: OffPolicyComparison) -> dict[str, Any]:
    """Return the comparison as JSON: each value with the ends of its 95 % interval."""
    return {
        "task": comparison.task,
        "logged": _estimate_json(comparison.version_value.logged),
        "count": comparison.version_value.count,
        "unit": comparison.version_value.unit,
        "split": "test",
        "versions": {
            "version": _version_json(comparison.version, comparison.version_value),
            "against": _version_json(comparison.against, comparison.against_value),
        },
        "differences": {name: _estimate_json(difference) for name, _, _, difference in comparison.rows},
        "difference_doubt": comparison.difference_doubt,
    }


def _version_json(number: str, value: PolicyValue) -> dict[str, Any]:
    return {
        "version": number,
        "estimates": {name: _estimate_json(estimate) for name, estimate in value.estimates.items()},
        "effective_decisions": value.effective_decisions,
        "doubts": list(value.doubts),
    }


def _estimate_json(estimate: Estimate) -> list[float]:
    return [estimate.value, *estimate.interval()]
