"""Unlabelled scenes with a below-average reward: make the served output less probable.

This is the policy gradient (Williams, "Simple statistical gradient-following algorithms", 1992), off policy. log p of a
wrong output has no lower bound, so the loss is -log(1 - p) instead, as for lines of text (`models.nn.ctc_feedback`).
"""

from typing import NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from models.small.object_detection.training.network import GRID

_MIN_DOUBT = 1e-6
NO_CANDIDATE = -1


class NegativeScenes(NamedTuple):
    """Scenes with their candidates: `squares` uint8 (n, 128, 128, 3), `cells` int32 (n, 50), `choices` int32 (n, 50).

    A choice is a class, or the number of classes where no box was served, or -1 where there is no candidate. `weights`
    float32 (n,), above 0, are how much less probable all of a scene's choices together are to become.
    """

    squares: NDArray[np.uint8]
    cells: NDArray[np.int32]
    choices: NDArray[np.int32]
    weights: NDArray[np.float32]

    def taken(self, rows: NDArray[np.int64]) -> Self:
        """Return some of the scenes."""
        return type(self)(self.squares[rows], self.cells[rows], self.choices[rows], self.weights[rows])

    def mirrored(self) -> Self:
        """Return the scenes with left and right exchanged."""
        rows, columns = np.divmod(self.cells, GRID)
        return self._replace(squares=self.squares[:, :, ::-1], cells=rows * GRID + GRID - 1 - columns)


def unlikelihood_loss(logits: jax.Array, negative: NegativeScenes) -> jax.Array:
    """Return the mean unlikelihood loss over scenes, from calibrated logits (n, 16, 16, classes)."""
    by_cell = logits.reshape(logits.shape[0], -1, logits.shape[-1])
    of_candidates = jnp.take_along_axis(by_cell, negative.cells[..., None], axis=1)
    chances = jax.nn.log_softmax(jnp.concatenate([of_candidates, jnp.zeros_like(of_candidates[..., :1])], axis=-1))
    is_candidate = negative.choices != NO_CANDIDATE
    chosen = jnp.take_along_axis(chances, jnp.where(is_candidate, negative.choices, 0)[..., None], axis=-1)[..., 0]
    log_probability = jnp.sum(chosen * is_candidate, axis=1)
    return jnp.mean(-negative.weights * jnp.log1p(_MIN_DOUBT - jnp.exp(log_probability)))
