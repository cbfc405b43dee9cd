"""From scores to a choice: which action is drawn, and with which probability exactly.

Probabilities are whole multiples of 2**-32 that sum to 1 without rounding, and the draw is one whole number below
2**32: so the logged propensity is the probability of the draw itself, not an approximation of it.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Kind = Literal["softmax", "epsilon-greedy", "squarecb", "bootstrap"]
PARTS = 2**32
FLOOR_SHARE = 0.5
"""The largest share of the probability that floors may take, lest many actions make the policy uniform."""


@dataclass(frozen=True)
class Exploration:
    """How a policy explores: from logits (n,) of n actions, or (K, n) of K heads, to probabilities.

    - `softmax`: exp(logit / temperature), normalised.
    - `epsilon-greedy`: epsilon is shared by all actions, the rest by those with the highest logit.
    - `squarecb`: inverse gap weighting (Foster & Rakhlin, "Beyond UCB", ICML 2020): 1 / (n + highest logit - logit),
      and the rest for the highest. The logits are expected rewards times a gamma that grows with the data, see
      `models.decision.training.heads`: so exploration decays.
    - `bootstrap`: the share of heads that hold the action to be the best (Thompson sampling from a bootstrap:
      Eckles & Kaptein, 2014; Osband & Van Roy, 2015). The more data, the more the heads agree.

    The others take the mean over heads. Each is mixed with the uniform policy so that no action's probability is below
    `floor`, or below 1 / 2n of n actions where the floors of all would take more than half.
    """

    kind: Kind = "softmax"
    temperature: float = 1.0
    epsilon: float = 0.1
    floor: float = 0.002

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"exploration is {self.kind!r}; one of {', '.join(get_args(Kind))} is needed")
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature is {self.temperature}; a number above 0 is needed")
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"epsilon is {self.epsilon}; a number from 0 to 1 is needed")
        if not 0 <= self.floor < 1:
            raise ValueError(f"floor is {self.floor}; a number from 0 to below 1 is needed")

    def parts(self, logits: NDArray[Any]) -> NDArray[np.int64]:
        """Return the probability of each action in parts of 2**32, which they sum to. `logits` are finite."""
        count = logits.shape[-1]
        heads, least = logits.astype(np.float64).reshape(-1, count), self.least(count)
        if self.kind == "bootstrap":
            best = heads == heads.max(1, keepdims=True)
            wanted = (best / best.sum(1, keepdims=True)).mean(0)
        else:
            wanted = self._shares(heads.mean(0))
        parts: NDArray[np.int64] = least + np.floor(wanted * (PARTS - least * count)).astype(np.int64)
        parts[int(parts.argmax())] += PARTS - int(parts.sum())  # what rounding down has left over
        return parts

    def _shares(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        gaps, count = scores.max() - scores, len(scores)
        shares: NDArray[np.float64]
        if self.kind == "softmax":
            shares = np.exp(-gaps / self.temperature)
            shares /= shares.sum()
        elif self.kind == "epsilon-greedy":
            best = gaps == 0
            shares = (1 - self.epsilon) * best / best.sum() + self.epsilon / count
        else:
            shares = 1 / (count + gaps)
            shares[int(gaps.argmin())] += 1 - shares.sum()
        return shares

    def least(self, count: int) -> int:
        """Return the least that any of so many actions gets, in parts of 2**32."""
        return int(np.ceil(min(self.floor, FLOOR_SHARE / count) * PARTS))


def draw(parts: NDArray[np.int64], rng: np.random.Generator) -> int:
    """Return the place of an action, drawn with its probability."""
    return int(np.searchsorted(np.cumsum(parts), rng.integers(PARTS), side="right"))
