"""The gain of a candidate on held-out outcomes, with its interval. Pure."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import pi

import numpy as np

from app.statistics.confidence_sequences import Interval
from app.statistics.mean_intervals import bounded_mean_low, clustered_mean
from models.off_policy import Floats


@dataclass(frozen=True)
class Gains:
    """Differences of scores, candidate less champion (N,), with their weights (N,) and entities (N,)."""

    values: Floats
    weights: Floats
    entities: Sequence[Hashable]

    def clustered(self, level: float) -> tuple[float, Interval]:
        """Return the mean and its two-sided interval, by entity."""
        return clustered_mean(self.values, self.weights, self.entities, level)

    def cautious(self, level: float, unseen_loss: float, rng: np.random.Generator) -> tuple[float, Interval]:
        """Return the same with a lower end that also reckons with losses too rare to be among the gains.

        `unseen_loss` is the greatest of them, from 0 to 1.
        """
        mean, (low, high) = self.clustered(level)
        if unseen_loss:
            lowest = min(-unseen_loss, float(np.min(self.values)))
            low = min(low, bounded_mean_low(self.values, self.weights, lowest, level, rng))
        return mean, (low, high)


def shared_level(level: float, candidates: int) -> float:
    """Return the level of an interval if so many candidates are tried at once: any that is worse passes with at most
    the error of `level` (Bonferroni).
    """
    return 1 - (1 - level) / candidates


def spent_level(level: float, earlier: int) -> float:
    """Return the level of an interval if `earlier` intervals were computed on the same outcomes.

    The error of the k-th is 6 / (pi k)^2 of that of `level`. Over all k these shares sum up to 1, so that a worse
    candidate passes with at most that error however often candidates are tried (a union bound; Basel's sum).
    """
    return 1 - (1 - level) * 6 / (pi * (1 + earlier)) ** 2
