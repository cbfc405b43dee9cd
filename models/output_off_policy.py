"""Off-policy evaluation of whole outputs: what versions would have earned, by bare rewards of drawn outputs.

A task with the option `explore` draws a share of its outputs from the model's distribution, and logs each output's
propensity p. A version would have served the same output with the probability pi under its own policy, with the task's
present `explore`: w = pi / p is its importance weight, and the value is estimated by SNIPS (Swaminathan & Joachims,
NeurIPS 2015), which needs no reward model.

There are so many outputs that few of those of a version that has learned much were drawn, with large weights: then the
value is in doubt for long. Its lower bound by clipped weights is not: it shows a gain that is large enough much sooner.

Assumptions:
- Only the time is used in which the log explores: from its first to its last row with a propensity below 1. In it an
  output of propensity 1 is one to which the logging version knew no alternative. A version that has one does what the
  log never shows, and `doubts` says so if that is more than chance.
- A row counts if it has a reward: which rows have one must not depend on the output.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from models import off_policy
from models.base import OnStep, Task, Untrainable
from models.datasets import ROWS, Row, rows
from models.nn.onnx_inference import Outputs, run
from models.nn.reward_weights import CLIP
from models.off_policy import Floats, Places
from models.policy_value import PolicyValue, cluster_numbers, policy_value
from models.runtimes import open_version

ServedProbabilities = Callable[[Outputs, Sequence[Row]], Floats]
"""Return from a model's outputs for a batch of rows the probability of serving each row's output, (batch,)."""

MIN_REWARDS = 30
LOWEST_REWARD = -1.0
_CHUNK = 256
"""Rows in memory at a time."""


def evaluate_versions(
    task: Task, dataset: Path, versions: Sequence[Path], on_step: OnStep, served_probabilities: ServedProbabilities
) -> list[PolicyValue]:
    """Return each version's value, in rewards. Raises `Untrainable` for a log without exploration or rewards."""
    models = [open_version(path) for path in versions]
    rewards, entities, ids = list[float](), list[str | None](), list[str]()
    weights: list[list[Floats]] = [[] for _ in models]
    explored = _explored(dataset)
    while chunk := list(islice(explored, _CHUNK)):
        on_step("valuing served outputs", len(rewards), None)
        propensities = np.array([row.propensity for row in chunk])
        for model, of_version in zip(models, weights, strict=True):
            of_version.append(_probabilities(task, model, chunk, served_probabilities) / propensities)
        rewards += [row.reward for row in chunk if row.reward is not None]
        entities += [row.entity for row in chunk]
        ids += [row.prediction_id for row in chunk]
    if len(rewards) < MIN_REWARDS:
        raise Untrainable(
            f"{len(rewards)} rewards were given while outputs were drawn, at least {MIN_REWARDS} are needed."
            " Collect rewards, or replay a longer time."
        )
    clusters = cluster_numbers(entities)
    return [_value(np.array(rewards), np.concatenate(of_version), clusters, ids) for of_version in weights]


def _explored(dataset: Path) -> Iterator[Row]:
    """Yield the rows with a reward of the time in which the log explores. Raises `Untrainable`."""
    path = dataset / ROWS
    try:
        drawn = pq.read_table(path, columns=["time"], filters=[("propensity", "<", 1.0), ("reward", ">=", -1.0)])
    except (OSError, pa.ArrowException) as error:
        raise Untrainable(f"{path} can't be read as a dataset of `hindsight replay`: {error}") from error
    first, last = pc.min_max(drawn["time"]).as_py().values()
    if first is None:
        raise Untrainable(
            "No output with a reward was drawn: all have the propensity 1. To learn what other outputs earn, set"
            " `explore` in HINDSIGHT_TASK_OPTIONS."
        )
    return (row for row in rows(dataset) if row.reward is not None and row.time and first <= row.time <= last)


def _probabilities(task: Task, model: Any, chunk: Sequence[Row], served_probabilities: ServedProbabilities) -> Floats:
    probabilities = np.zeros(len(chunk))
    try:
        for places, outputs in run(model, task, [row.features for row in chunk]):
            probabilities[places] = served_probabilities(outputs, [chunk[place] for place in places])
    except (KeyError, ValueError) as error:
        raise Untrainable(f"The dataset is of another task or version of its features: {error}") from error
    return probabilities


def _value(rewards: Floats, weights: Floats, clusters: Places, ids: Sequence[str]) -> PolicyValue:
    estimates = {"ips": off_policy.ips(rewards, weights), "snips": off_policy.snips(rewards, weights)}
    value = policy_value(off_policy.on_policy(rewards), estimates, weights, rewards, clusters, ids)
    lower_bound = off_policy.clipped_ips(rewards, weights, CLIP, LOWEST_REWARD).by_cluster(clusters)
    return replace(value, lower_bound=lower_bound)
