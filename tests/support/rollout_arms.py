"""The results of a version in a step of a rollout, in which each request is assigned by itself."""

import numpy as np

from app.retraining.rollout.comparison import Arm
from app.statistics.clusters import ClusterSums
from app.statistics.histogram import Histogram
from models.off_policy import Floats


def sum_scores(scores: Floats) -> ClusterSums:
    """Return scores as one cluster, as they are summed if each request is assigned by itself."""
    return ClusterSums.of([("all", len(scores), scores.sum(), np.square(scores).sum())] if len(scores) else [])


def by_value(values: Floats) -> Histogram:
    return Histogram.of(values)


def make_arm(answers: int, errors: int = 0, score: float = 0.8, labels: int = 0, latency_ms: float = 20.0) -> Arm:
    return Arm(
        answers,
        errors,
        sum_scores(np.full(labels, score)),
        Histogram(np.array([latency_ms]), np.array([answers - errors])),
    )
