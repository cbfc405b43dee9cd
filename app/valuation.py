"""Versions valued off policy: what they would have earned on what another one chose, by a dataset of the log."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.embedded.errors import SetupError
from app.registry.versions import version_file
from app.settings import Settings
from app.tasks import named
from models.base import OnStep, Untrainable
from models.off_policy import Estimate, PolicyValue
from models.training import evaluate_off_policy

_SEED = 0


@dataclass(frozen=True)
class Valuation:
    """A version, the one that it is compared with, and what both are worth by the same log."""

    task: str
    version: str
    against: str
    valued: PolicyValue
    other: PolicyValue

    @property
    def rows(self) -> list[tuple[str, Estimate, Estimate, Estimate]]:
        """For each estimator its name, both values, and their paired difference."""
        return [
            (name, one, self.other.estimates[name], one.minus(self.other.estimates[name]))
            for name, one in self.valued.estimates.items()
        ]


def value(
    settings: Settings, task_name: str, dataset: Path, version: str | None, against: str | None, on_step: OnStep
) -> Valuation:
    """Value a version beside another; None is the one that serves. Raises `SetupError`."""
    task = named(settings, task_name)
    number, path = version_file(settings, task, version)
    other, other_path = version_file(settings, task, against)
    if not dataset.is_dir():
        raise SetupError(f"There is no dataset {dataset}.", f"Make one: hindsight replay {task_name} --out {dataset}")
    try:
        valued = evaluate_off_policy(task, dataset, [path, other_path], _SEED, on_step)
    except Untrainable as error:
        raise SetupError(f"{task_name} can't be valued off policy by {dataset}.", str(error)) from error
    return Valuation(task_name, number, other, *valued)


def described(valuation: Valuation) -> dict[str, Any]:
    """The valuation as JSON: each value with its 95 % interval, from and to."""
    return {
        "task": valuation.task,
        "logged": _numbers(valuation.valued.logged),
        "versions": {
            "version": _version(valuation.version, valuation.valued),
            "against": _version(valuation.against, valuation.other),
        },
        "differences": {name: _numbers(difference) for name, _, _, difference in valuation.rows},
    }


def _version(number: str, valued: PolicyValue) -> dict[str, Any]:
    return {
        "version": number,
        "estimates": {name: _numbers(one) for name, one in valued.estimates.items()},
        "effective_decisions": valued.effective_decisions,
        "doubts": list(valued.doubts),
    }


def _numbers(one: Estimate) -> list[float]:
    return [one.value, *one.interval()]
