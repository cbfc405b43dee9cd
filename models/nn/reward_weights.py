"""How much a reward says of a served output, off policy: shared by the tasks that learn from bare rewards.

A reward r of an output that was served with the propensity p weighs min(1 / p, `CLIP`) * (r - baseline).

- The weight corrects for which outputs were served at all. For the expected reward it would be pi / p, of the policy pi
  that learns; without pi an output's own reward counts, not how often it comes: so a right one that was improbable is
  still learned.
- The clip bounds the variance that seldom served outputs bring.
- The baseline is the self-normalised mean reward (Swaminathan and Joachims, "The self-normalized estimator", NeurIPS
  2015): where nearly all is right, a wrong output says more, and the other way round.
"""

from collections.abc import Sequence

import numpy as np

CLIP = 3.0


def weight(propensity: float) -> float:
    """How much an output of this propensity counts."""
    return min(1.0 / propensity, CLIP)


def baseline(rewards: Sequence[float], weights: Sequence[float]) -> float:
    """The mean reward, each by its weight; 0 of none."""
    return float(np.average(rewards, weights=weights)) if rewards else 0.0
