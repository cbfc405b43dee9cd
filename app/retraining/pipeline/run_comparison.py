"""The comparison of a run's candidate with its champion, from the gate's evidence."""

from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path

from app.evaluation.comparison import compare
from app.evaluation.paired_evidence import ScoredOutcome, outcome_evidence, reward_evidence
from app.evaluation.row_columns import outcome_columns, reward_columns
from app.events.comparison import Comparison
from app.retraining.pipeline.gate import GateEvidence


def compare_by_evidence(evidence: GateEvidence, dataset: Path, slices: Sequence[str]) -> Iterator[Comparison]:
    """Yield the comparison by rewards and the one by labels, as far as there are any; `slices` are columns.

    Raises `Untrainable` if the dataset can't be read.
    """
    if evidence.off_policy is not None and evidence.off_policy.values is not None:
        rewards = reward_evidence(evidence.off_policy.values, dataset, reward_columns(dataset, slices))
        if rewards is not None:
            yield compare(rewards)
    outcomes = [
        ScoredOutcome(pair.prediction_id, pair.candidate, pair.champion, pair.weight, pair.entity)
        for pair in evidence.pairs
        if isfinite(pair.candidate - pair.champion) and isfinite(pair.weight)
    ]
    if outcomes:
        yield compare(outcome_evidence(outcomes, dataset, outcome_columns(slices)))
