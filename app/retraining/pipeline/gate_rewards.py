"""The gate's judgement by rewards: the off-policy difference between candidate and champion.

Labels and rewards are each judged where there is enough of them. With enough labels, rewards may only object. With too
few, rewards decide alone: then the candidate must be better by them, and no doubt may remain.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from app.retraining.pipeline.held_out_gain import shared_level, spent_level
from app.settings.gate import GateSettings
from models import tensors
from models.base import Asked, OnStep, Task, Untrainable
from models.datasets import ROWS, held_out_rows
from models.off_policy import Estimate
from models.policy_value import PolicyValue
from models.training import evaluate_off_policy

_SEED = 0


@dataclass(frozen=True)
class RewardEvidence:
    """What rewards say about a candidate."""

    difference: Estimate
    """The paired difference of the off-policy values, of the candidate (its lower bound if any) less the champion."""
    doubts: tuple[str, ...] = ()
    """Objections to it, in sentences."""
    reward: float | None = None
    """What a prediction of the candidate earns; None where the value is of something else, such as an episode."""
    values: tuple[PolicyValue, PolicyValue] | None = None
    """The values of candidate and champion."""
    since: datetime | None = None
    """The time of the first prediction that has a reward; None if it is not known."""


def off_policy_values(task: Task, dataset: Path, versions: Sequence[Path], on_step: OnStep) -> list[PolicyValue] | None:
    """Return each version's off-policy value; None for a task without drawn outputs, or with too few rewards.

    Uses the split `test` only, because any candidate looks good on its training rows.
    """
    if task.off_policy_evaluator is None:
        return None
    with suppress(Untrainable), held_out_rows(dataset) as held_out:
        return evaluate_off_policy(task, held_out, versions, _SEED, on_step)
    return None


def gather_reward_evidence(
    task: Task, dataset: Path, candidate: Path, champion: Path, on_step: OnStep
) -> RewardEvidence | None:
    """Return the evidence of a dataset's rewards; None where there is too little to say anything."""
    values = off_policy_values(task, dataset, [candidate, champion], on_step)
    if values is None:
        return None
    own, other = values
    if own.lower_bound is not None:  # at least so much better, where the value itself may be in doubt
        value, difference, doubts = own.lower_bound, own.lower_bound.minus(other.estimates["ips"]), list(other.doubts)
    else:
        value, difference, doubts = own.estimate, own.estimate.minus(other.estimate), [*own.doubts, *other.doubts]
    if difference.doubt_of_low_end:
        doubts.append(difference.doubt_of_low_end)
    reward = value.value if own.unit == "decision" else None
    return RewardEvidence(difference, tuple(dict.fromkeys(doubts)), reward, (own, other), _first_rewarded(dataset))


def _first_rewarded(dataset: Path) -> datetime | None:
    times = pq.read_table(dataset / ROWS, columns=["time"], filters=[("reward", ">=", -1.0)])["time"]
    first: datetime | None = pc.min(times).as_py()
    return first


def missing_rewards(task: Task, dataset: Path, champion: Path, on_step: OnStep) -> str | None:
    """Return why rewards can't decide for any candidate, a sentence; None if they may. Empty without rewards."""
    values = off_policy_values(task, dataset, [champion], on_step)
    if values is None:
        return ""
    return _doubtful(values[0].doubts) if values[0].doubts else None


def check_rewards(
    evidence: RewardEvidence | None,
    bounds: GateSettings,
    alone: bool,
    candidates: int = 1,
    earlier_evaluations: Sequence[datetime] = (),
) -> tuple[dict[str, float], str | None]:
    """Return the measurements, and the reason if the candidate is refused; `alone` without enough labels.

    Doubtful rewards refuse a candidate if they decide alone. Beside labels they refuse it only for a loss that all of
    the interval shows. Where rewards decide alone, so many candidates share the error of the level, as do earlier
    evaluations that saw some of these rewards.
    """
    if evidence is None:
        return {}, None
    level = bounds.confidence_level
    if alone:
        earlier = sum(evidence.since is None or time > evidence.since for time in earlier_evaluations)
        level = spent_level(shared_level(level, candidates), earlier)
    low, high = evidence.difference.interval(level)
    metrics = {"off_policy": evidence.difference.value, "off_policy_low": low, "off_policy_high": high}
    if evidence.reward is not None:
        metrics["reward_candidate"] = evidence.reward
    if alone and evidence.doubts:
        return metrics, _doubtful(evidence.doubts)
    if alone:
        passed, rule = low > bounds.min_improvement, f"must exceed {bounds.min_improvement:g}"
    elif evidence.doubts:
        passed, rule = high >= -bounds.off_policy_tolerance, f"is below {-bounds.off_policy_tolerance:g}"
    else:
        passed, rule = low >= -bounds.off_policy_tolerance, f"must not be below {-bounds.off_policy_tolerance:g}"
    end = "upper" if evidence.doubts else "lower"
    between = f"at {100 * level:.4g}% between {low:+.4f} and {high:+.4f}"
    reason = f"By the log the value changes by {evidence.difference.value:+.4f}, {between}: the {end} end {rule}."
    return metrics, None if passed else reason


def any_inputs(dataset: Path, count: int) -> list[Asked]:
    """Return the inputs of the first rows of a dataset that have features, labelled or not."""
    return list(islice(_inputs(dataset), count))


def _inputs(dataset: Path) -> Iterator[Asked]:
    with pq.ParquetFile(dataset / ROWS) as file:
        for batch in file.iter_batches(64, columns=["prediction_id", "features", "tensors"]):
            for row in batch.to_pylist():
                if row["features"] is not None:
                    yield Asked(row["prediction_id"], tensors.decode(row["features"], row["tensors"]))


def _doubtful(doubts: Sequence[str]) -> str:
    return f"The rewards can't decide: {' '.join(doubts)}"
