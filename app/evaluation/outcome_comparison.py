"""Scores of two versions on the audited labels of a dataset that neither learned from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.errors import SetupError
from app.evaluation.comparison import compare
from app.evaluation.held_out_scores import held_out_audit, held_out_examples, score_version
from app.evaluation.paired_evidence import ScoredOutcome, outcome_evidence
from app.evaluation.version_pair import VersionPair
from app.events.comparison import Comparison
from app.outcomes.audit import AnsweredShare
from app.settings import Settings
from models.base import OnStep, Untrainable


@dataclass(frozen=True)
class OutcomeComparison:
    """The scores of a version and of the version it is compared with, on the same outcomes."""

    pair: VersionPair
    outcomes: Sequence[ScoredOutcome]
    audit: AnsweredShare
    """The answered share of the audit, in the rows that neither learned from."""

    def divided(self, columns: Sequence[str], over_time: bool) -> Comparison:
        """Return the comparison, by these columns of the dataset and over time. Raises `SetupError`."""
        try:
            return compare(outcome_evidence(self.outcomes, self.pair.dataset, columns), over_time)
        except Untrainable as error:
            raise SetupError(f"Scores can't be compared by {', '.join(columns)}.", str(error)) from error


def compare_outcomes(
    settings: Settings, task_name: str, dataset: Path, version: str | None, against: str | None, on_step: OnStep
) -> OutcomeComparison:
    """Score a version and another; None is the newest shipped one. Raises `SetupError`."""
    pair = VersionPair.of(settings, task_name, dataset, version, against)
    min_answered = settings.for_task(task_name).retraining.gate.min_answered_share
    try:
        with pair.held_out() as held_out:
            audit = held_out_audit(held_out, min_answered)
            examples = list(held_out_examples(held_out, (), audit))
    except Untrainable as error:
        raise SetupError(f"{task_name} can't be scored on {dataset}.", str(error)) from error
    if not examples:
        refusal = audit.share.refusal(min_answered) or "It has no audited labels: review predictions of the audit."
        raise SetupError(f"{task_name} can't be scored on {dataset}.", f"{refusal} Used were {pair.rows_used}.")
    scores = []
    for number, path in zip((pair.version, pair.against), pair.paths, strict=True):
        on_step(f"scoring version {number}", 0, None)
        scores.append(score_version(pair.task, path, examples))
    outcomes = [
        ScoredOutcome(example.prediction_input.prediction_id, own, other, example.weight, example.entity)
        for example, own, other in zip(examples, *scores, strict=True)
    ]
    return OutcomeComparison(pair, outcomes, audit.share)
