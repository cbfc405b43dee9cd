"""From scores to a choice: which action is drawn, and with which probability exactly.

Probabilities are whole multiples of 2**-32 that sum to 1 without rounding, and the draw is one whole number below
2**32: so the logged propensity is the probability of the draw itself, not an approximation of it.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["softmax", "epsilon-greedy"]
PARTS = 2**32
FLOOR_SHARE = 0.5
"""The largest share of the probability that floors may take, lest many actions make the policy uniform."""


@dataclass(frozen=True)
class Exploration:
    """How a policy explores.

    `softmax`: exp(logit / temperature), normalised. `epsilon-greedy`: epsilon is shared by all actions, the rest by
    those with the highest logit. Either is mixed with the uniform policy so that no action's probability is below
    `floor`, or below 1 / 2n of n actions where the floors of all would take more than half.
    """

    kind: Kind = "softmax"
    temperature: float = 1.0
    epsilon: float = 0.1
    floor: float = 0.002

    def __post_init__(self) -> None:
        if self.kind not in ("softmax", "epsilon-greedy"):
            raise ValueError(f'exploration is {self.kind!r}; "softmax" or "epsilon-greedy" is needed')
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature is {self.temperature}; a number above 0 is needed")
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"epsilon is {self.epsilon}; a number from 0 to 1 is needed")
        if not 0 <= self.floor < 1:
            raise ValueError(f"floor is {self.floor}; a number from 0 to below 1 is needed")

    def parts(self, logits: NDArray[Any]) -> NDArray[np.int64]:
        """Return the probability of each action in parts of 2**32, which they sum to. `logits` are (n,), finite."""
        count, scores = len(logits), logits.astype(np.float64)
        if self.kind == "softmax":
            wanted = np.exp((scores - scores.max()) / self.temperature)
            wanted /= wanted.sum()
        else:
            best = scores == scores.max()
            wanted = (1 - self.epsilon) * best / best.sum() + self.epsilon / count
        least = self.least(count)
        parts: NDArray[np.int64] = least + np.floor(wanted * (PARTS - least * count)).astype(np.int64)
        parts[int(parts.argmax())] += PARTS - int(parts.sum())  # what rounding down has left over
        return parts

    def least(self, count: int) -> int:
        """Return the least that any of so many actions gets, in parts of 2**32."""
        return int(np.ceil(min(self.floor, FLOOR_SHARE / count) * PARTS))


def draw(parts: NDArray[np.int64], rng: np.random.Generator) -> int:
    """Return the place of an action, drawn with its probability."""
    return int(np.searchsorted(np.cumsum(parts), rng.integers(PARTS), side="right"))
