"""Paired evidence of two versions from a dataset: rewards, by which they are valued off policy, or scores on labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.evaluation.comparison import PairedEvidence
from app.evaluation.row_columns import read_columns
from models.contributions import Contributions
from models.policy_value import PolicyValue, cluster_numbers


@dataclass(frozen=True)
class ScoredOutcome:
    """An audited outcome with the scores of candidate and champion."""

    prediction_id: str
    candidate: float
    champion: float
    weight: float
    """The inverse selection probability."""
    entity: str | None


def reward_evidence(
    values: tuple[PolicyValue, PolicyValue], dataset: Path, columns: Sequence[str]
) -> PairedEvidence | None:
    """Return what rewards say of candidate and champion; None if the task's evaluator gives no contributions.

    Raises `Untrainable` for a column by which rewards can't be compared.
    """
    candidate, champion = (value.contributions for value in values)
    if candidate is None or champion is None:
        return None
    times, slices = read_columns(dataset, candidate.ids.tolist(), columns, rewards=True)
    estimator = "dr" if "dr" in values[0].estimates else "snips"
    return PairedEvidence(candidate, champion, times, slices, values[0].unit, estimator)


def outcome_evidence(outcomes: Sequence[ScoredOutcome], dataset: Path, columns: Sequence[str]) -> PairedEvidence:
    """Return what scores say of candidate and champion. Raises `Untrainable` for a column that the dataset lacks."""
    ids, weights = [outcome.prediction_id for outcome in outcomes], np.array([outcome.weight for outcome in outcomes])
    clusters = cluster_numbers([outcome.entity for outcome in outcomes])

    def contributions(scores: Sequence[float]) -> Contributions:
        score = np.array(scores)
        return Contributions(np.array(ids, np.str_), weights * score, weights, weights, score, clusters)

    times, slices = read_columns(dataset, ids, columns, rewards=False)
    candidate = contributions([outcome.candidate for outcome in outcomes])
    champion = contributions([outcome.champion for outcome in outcomes])
    return PairedEvidence(candidate, champion, times, slices, "outcome", "score")
