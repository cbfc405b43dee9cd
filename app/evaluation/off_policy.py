"""Off-policy values of versions: the reward they would have earned on decisions of another version, from a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import SetupError
from app.evaluation.comparison import compare
from app.evaluation.paired_evidence import reward_evidence
from app.evaluation.version_pair import VersionPair
from app.events.comparison import Comparison
from app.settings import Settings
from models.base import OnStep, Untrainable
from models.off_policy import Estimate
from models.policy_value import PolicyValue
from models.training import evaluate_off_policy

_SEED = 0


@dataclass(frozen=True)
class OffPolicyComparison:
    """The values of a version and of the version it is compared with, from the same log."""

    pair: VersionPair
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

    def divided(self, columns: Sequence[str], over_time: bool) -> Comparison:
        """Return the comparison, by these columns of the dataset and over time. Raises `SetupError`."""
        try:
            evidence = reward_evidence((self.version_value, self.against_value), self.pair.dataset, columns)
        except Untrainable as error:
            raise SetupError("The values can't be compared by these columns.", str(error)) from error
        if evidence is None:
            raise SetupError(
                f"Values of {self.pair.task.name} can't be divided.", "Its evaluator must give their contributions."
            )
        return compare(evidence, over_time)


def compare_off_policy(
    settings: Settings, task_name: str, dataset: Path, version: str | None, against: str | None, on_step: OnStep
) -> OffPolicyComparison:
    """Compare a version with another, by rows that neither learned from; None is the newest shipped one.

    Raises `SetupError`.
    """
    pair = VersionPair.of(settings, task_name, dataset, version, against)
    try:
        with pair.held_out() as held_out:
            values = evaluate_off_policy(pair.task, held_out, pair.paths, _SEED, on_step)
    except Untrainable as error:
        remedy = f"{error} Used were {pair.rows_used}."
        raise SetupError(f"{task_name} can't be valued off policy by {dataset}.", remedy) from error
    return OffPolicyComparison(pair, *values)


def to_json(comparison: OffPolicyComparison) -> dict[str, Any]:
    """Return the comparison as JSON: each value with the ends of its 95 % interval."""
    pair = comparison.pair
    return {
        "task": pair.task.name,
        "logged": _estimate_json(comparison.version_value.logged),
        "count": comparison.version_value.count,
        "unit": comparison.version_value.unit,
        "split": pair.split,
        "rows": pair.rows_used,
        "versions": {
            "version": _version_json(pair.version, comparison.version_value),
            "against": _version_json(pair.against, comparison.against_value),
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
        "estimator_doubts": dict(value.estimator_doubts),
    }


def _estimate_json(estimate: Estimate) -> list[float]:
    return [estimate.value, *estimate.interval()]
