"""Keep what a frozen network says of rehearsed lines: distillation to the head that learns beside it.

Hinton et al., "Distilling the knowledge in a neural network", 2015; Li and Hoiem, "Learning without forgetting", ECCV
2016. Rehearsed lines need no true texts, so the log's own are as good as made ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from models.adapters.linear_layer import Floats
from models.adapters.open_head import OpenHead
from models.nn.convolution import Parameters

WEIGHT = 15.0
"""Of a frame's divergence, beside the loss of a symbol, which has about five frames."""


@dataclass(frozen=True, eq=False)
class Distillation:
    """A `models.nn.ctc_fitting.Penalty`: the divergence of what a head says from what it said, on rehearsed frames."""

    head: OpenHead
    frames: Floats
    """(frames, height), of all lines one after the other."""
    drawn: int = 1_600
    """Frames of a step."""

    @classmethod
    def of(cls, head: OpenHead, signals: Sequence[Floats]) -> "Distillation":
        """Return the distillation on the signals of some lines, at least one."""
        return cls(head, np.concatenate([signal.T for signal in signals]))

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
        """Return frames by chance."""
        return (self.frames[rng.integers(len(self.frames), size=self.drawn)],)

    def loss(self, parameters: Parameters, *drawn: jax.Array) -> jax.Array:
        """Return the mean divergence of drawn frames, weighted."""
        return WEIGHT * self._divergence(parameters, *drawn)

    def divergence(self, parameters: Parameters) -> float:
        """Return the mean divergence of all frames, in nats."""
        return float(jax.jit(self._divergence)(parameters, jnp.asarray(self.frames)))

    def _divergence(self, parameters: Parameters, frames: jax.Array) -> jax.Array:
        """Return the mean divergence of Kullback and Leibler."""
        before = jax.nn.log_softmax(self.head.scores(self.head.initial(), frames))
        after = jax.nn.log_softmax(self.head.scores(parameters, frames))
        return jnp.sum(jnp.exp(before) * (before - after), axis=-1).mean()
