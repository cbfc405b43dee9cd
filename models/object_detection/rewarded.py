"""Scenes whose truth nobody said, but what was said of them, and how much better or worse that was than usual.

The policy gradient (Williams, "Simple statistical gradient-following algorithms", 1992), off policy, as for lines of
text (`models.nn.ctc_feedback`): -log p of what was said, times its weight; what is worse than usual costs -log(1 - p),
which has a lower bound.
"""

from typing import NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from models.object_detection.network import GRID

_LEAST_DOUBT = 1e-6
NO_CANDIDATE = -1


class Rewarded(NamedTuple):
    """Scenes with their candidates: `squares` uint8 (n, 128, 128, 3), `cells` int32 (n, 50), `choices` int32 (n, 50).

    A choice is a class, or the number of classes where nothing was said, or -1 where there is no candidate. `weights`
    float32 (n,) are how much more probable, or less, all of a scene's choices are to become.
    """

    squares: NDArray[np.uint8]
    cells: NDArray[np.int32]
    choices: NDArray[np.int32]
    weights: NDArray[np.float32]

    def taken(self, rows: NDArray[np.int64]) -> Self:
        """Some of the scenes."""
        return type(self)(self.squares[rows], self.cells[rows], self.choices[rows], self.weights[rows])

    def mirrored(self) -> Self:
        """The scenes with left and right exchanged."""
        rows, columns = np.divmod(self.cells, GRID)
        return self._replace(squares=self.squares[:, :, ::-1], cells=rows * GRID + GRID - 1 - columns)


def policy_loss(logits: jax.Array, rewarded: Rewarded) -> jax.Array:
    """The mean over scenes, of calibrated logits (n, 16, 16, classes); what they say is `policy.probabilities`."""
    every = logits.reshape(logits.shape[0], -1, logits.shape[-1])
    own = jnp.take_along_axis(every, rewarded.cells[..., None], axis=1)
    chances = jax.nn.log_softmax(jnp.concatenate([own, jnp.zeros_like(own[..., :1])], axis=-1))
    there = rewarded.choices != NO_CANDIDATE
    said = jnp.take_along_axis(chances, jnp.where(there, rewarded.choices, 0)[..., None], axis=-1)[..., 0]
    costs = -jnp.sum(said * there, axis=1)
    punished = -jnp.log1p(_LEAST_DOUBT - jnp.exp(-costs))
    weights = rewarded.weights
    return jnp.mean(jnp.where(weights < 0, -weights * punished, weights * costs))
