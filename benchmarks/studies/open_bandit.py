"""Value `decision` on the Open Bandit data, the logged impressions of a shop (`models.decision.data.open_bandit`)."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from app.inference.predictor import stack_inputs
from benchmarks.report import TableSection
from benchmarks.studies.decision_learner import BATCH_SIZE, make_dataset_row, write_dataset
from benchmarks.studies.decision_peers import Floats
from models import off_policy
from models.base import Asked, Decoded
from models.decision import Decision
from models.decision.data import open_bandit
from models.decision.request import ids_of
from models.training import train

FOLDS = 2
CAMPAIGNS: tuple[open_bandit.Campaign, ...] = ("all", "men", "women")


@dataclass(frozen=True)
class PolicyValue:
    """Clicks in 1,000 impressions of a policy on a campaign, by an estimator, with its 95 % interval."""

    campaign: str
    policy: str
    estimator: str
    value: float
    low: float
    high: float


def value_open_bandit(campaign: open_bandit.Campaign, seed: int) -> list[PolicyValue]:
    """Value the policy that learns from the random policy's log, on the fold that it did not learn from."""
    package = open_bandit.installed_package()
    logs = {policy: open_bandit.load(package, campaign, policy) for policy in ("random", "bts")}
    estimates = []
    for policy, log in logs.items():
        clicks = np.array([float(impression.clicked) for impression in log.rounds])
        estimates.append((f"{policy}, as logged", "mean", off_policy.on_policy(clicks)))
    impressions = logs["random"].rounds
    probabilities, predicted, values = _cross_fit(logs["random"].schema, impressions, seed).T
    rewards = np.array([float(impression.clicked) for impression in impressions])
    weights = probabilities / np.array([impression.propensity for impression in impressions])
    doubly_robust = off_policy.doubly_robust(rewards, weights, predicted, values)
    estimates.append(("learned from random", "SNIPS", off_policy.snips(rewards, weights)))
    estimates += _estimate_positions(impressions, rewards, weights)
    estimates.append(("learned from random", "doubly robust", doubly_robust))
    estimates.append(("learned minus random", "doubly robust", doubly_robust.minus(off_policy.on_policy(rewards))))
    return [
        PolicyValue(campaign, policy, estimator, *(1000 * value for value in (estimate.value, *estimate.interval())))
        for policy, estimator, estimate in estimates
    ]


def _estimate_positions(
    impressions: Sequence[open_bandit.Impression], clicks: Floats, weights: Floats
) -> list[tuple[str, str, off_policy.Estimate]]:
    """Return the estimate of each of the three positions.

    A click depends on the item and its position, not on the other items (the item-position model, Li et al., KDD 2018):
    the sum of the three is the value of the slate. The log does not say which impressions were one slate.
    """
    positions = np.array([impression.request["context"]["position"] for impression in impressions])
    rows = {position: positions == position for position in ("1", "2", "3")}
    return [
        (f"learned from random, position {position}", "SNIPS", off_policy.snips(clicks[chosen], weights[chosen]))
        for position, chosen in rows.items()
    ]


def _cross_fit(schema: Any, impressions: Sequence[open_bandit.Impression], seed: int) -> Floats:
    """Return the columns of `_evaluate_policy` (impressions, 3), each row by a policy that did not learn from it."""
    with tempfile.TemporaryDirectory() as directory:
        schema_file = Path(directory) / "schema.json"
        schema_file.write_text(json.dumps(schema))
        task = Decision(schema=str(schema_file))
        requests = [
            Asked(f"decision:{number}", task.preprocess(open_bandit.dumps(impression)))
            for number, impression in enumerate(impressions)
        ]
        shown = [
            ids_of(request.features).index(impression.shown)
            for request, impression in zip(requests, impressions, strict=True)
        ]
        columns = np.zeros((len(impressions), 3))
        for fold in range(FOLDS):
            learned = [number for number in range(len(impressions)) if number % FOLDS != fold]
            rows = [_dataset_row(requests[number], impressions[number], number // FOLDS) for number in learned]
            write_dataset(rows, Path(directory) / f"fold-{fold}")
            trained = train(task, Path(directory) / f"fold-{fold}", None, seed, lambda step, done, total: None)
            held_out = np.arange(fold, len(impressions), FOLDS)
            columns[held_out] = _evaluate_policy(
                task, trained.model, [requests[number] for number in held_out], [shown[number] for number in held_out]
            )
    return columns


def _dataset_row(request: Asked, impression: open_bandit.Impression, number: int) -> dict[str, Any]:
    decoded = Decoded({"action": impression.shown}, 0.0, impression.propensity)
    return make_dataset_row(request, decoded, float(impression.clicked), number)


def _evaluate_policy(task: Decision, model: bytes, requests: Sequence[Asked], shown: Sequence[int]) -> Floats:
    """Return of each request the shown action's probability and predicted reward, and the policy's predicted reward."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    rows = []
    for start in range(0, len(requests), BATCH_SIZE):
        batch = requests[start : start + BATCH_SIZE]
        inputs = stack_inputs(task, [request.features for request in batch])
        outputs = dict(zip(("logits", "rewards"), session.run(["logits", "rewards"], inputs), strict=True))
        for decoded, rewards, action in zip(
            task.decode(outputs, batch), outputs["rewards"], shown[start:], strict=False
        ):
            policy = np.array(list(decoded.output["probabilities"].values()))
            rows.append((policy[action], rewards[action], float(policy @ rewards[: len(policy)])))
    return np.array(rows)


def values_section(values: Sequence[PolicyValue]) -> TableSection:
    """Return the clicks as a table."""
    rows = [
        (value.campaign, value.policy, value.estimator, f"{value.value:.2f}", f"{value.low:.2f} to {value.high:.2f}")
        for value in values
    ]
    return TableSection(
        "Open Bandit data: clicks in 1,000 impressions",
        ("campaign", "policy", "estimator", "clicks", "95 % interval"),
        rows,
    )
