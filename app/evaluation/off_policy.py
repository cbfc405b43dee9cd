"""Versions valued off policy: what they would have earned on what another one chose, by a dataset of the log."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import SetupError
from app.registry.artifacts import version_path
from app.settings import Settings
from app.tasks import load_task
from models.base import OnStep, Untrainable
from models.off_policy import Estimate, PolicyValue
from models.training import evaluate_off_policy

_SEED = 0


@dataclass(frozen=True)
class OffPolicyComparison:
    """A version, the one that it is compared with, and what both are worth by the same log."""

    task: str
    version: str
    against: str
    version_value: PolicyValue
    against_value: PolicyValue

    @property
    def rows(self) -> list[tuple[str, Estimate, Estimate, Estimate]]:
        """For each estimator its name, both values, and their paired difference."""
        return [
            (name, one, self.against_value.estimates[name], one.minus(self.against_value.estimates[name]))
            for name, one in self.version_value.estimates.items()
        ]


def compare_off_policy(
    settings: Settings, task_name: str, dataset: Path, version: str | None, against: str | None, on_step: OnStep
) -> OffPolicyComparison:
    """Value a version beside another; None is the one that serves. Raises `SetupError`."""
    task = load_task(settings, task_name)
    number, path = version_path(settings, task, version)
    other, other_path = version_path(settings, task, against)
    if not dataset.is_dir():
        raise SetupError(f"There is no dataset {dataset}.", f"Make one: hindsight replay {task_name} --out {dataset}")
    try:
        valued = evaluate_off_policy(task, dataset, [path, other_path], _SEED, on_step)
    except Untrainable as error:
        raise SetupError(f"{task_name} can't be valued off policy by {dataset}.", str(error)) from error
    return OffPolicyComparison(task_name, number, other, *valued)


def to_json(valuation: OffPolicyComparison) -> dict[str, Any]:
    """The valuation as JSON: each value with its 95 % interval, from and to."""
    return {
        "task": valuation.task,
        "logged": _estimate_json(valuation.version_value.logged),
        "versions": {
            "version": _version_json(valuation.version, valuation.version_value),
            "against": _version_json(valuation.against, valuation.against_value),
        },
        "differences": {name: _estimate_json(difference) for name, _, _, difference in valuation.rows},
    }


def _version_json(number: str, valued: PolicyValue) -> dict[str, Any]:
    return {
        "version": number,
        "estimates": {name: _estimate_json(one) for name, one in valued.estimates.items()},
        "effective_decisions": valued.effective_decisions,
        "doubts": list(valued.doubts),
    }


def _estimate_json(one: Estimate) -> list[float]:
    return [one.value, *one.interval()]
