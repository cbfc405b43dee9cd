"""Off-policy weights of rewards: shared by the tasks that learn from rewards of served outputs.

A reward r of an output that was served with the propensity p weighs min(1 / p, `CLIP`) * (r - baseline).

- The weight corrects for which outputs were served. The expected reward would need pi / p of the learning policy pi;
  without pi, an output counts by its reward, not by its frequency: so an improbable right output is still learned.
- The clip bounds the variance that seldom served outputs bring.
- The baseline is the self-normalised mean reward (Swaminathan and Joachims, "The self-normalized estimator", NeurIPS
  2015): where nearly all outputs are right, a wrong one counts more, and vice versa.
"""

from collections.abc import Sequence

import numpy as np

CLIP = 3.0


def weight(propensity: float) -> float:
    """Return how much an output of this propensity counts."""
    return min(1.0 / propensity, CLIP)


def baseline(rewards: Sequence[float], weights: Sequence[float]) -> float:
    """Return the mean reward, each by its weight; 0 of none."""
    return float(np.average(rewards, weights=weights)) if rewards else 0.0
