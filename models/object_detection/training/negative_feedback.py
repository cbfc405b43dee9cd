"""Scenes whose truth nobody said, but that what was said of them was worse than usual: it is to be less probable.

The policy gradient (Williams, "Simple statistical gradient-following algorithms", 1992), off policy. log p of what was
wrong has no lower bound, so it costs -log(1 - p) instead, as for lines of text (`models.nn.ctc_feedback`).
"""

from typing import NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from models.object_detection.training.network import GRID

_LEAST_DOUBT = 1e-6
NO_CANDIDATE = -1


class Punished(NamedTuple):
    """Scenes with their candidates: `squares` uint8 (n, 128, 128, 3), `cells` int32 (n, 50), `choices` int32 (n, 50).

    A choice is a class, or the number of classes where nothing was said, or -1 where there is no candidate. `weights`
    float32 (n,), above 0, are how much less probable all of a scene's choices together are to become.
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


def punishment(logits: jax.Array, punished: Punished) -> jax.Array:
    """The mean over scenes, of calibrated logits (n, 16, 16, classes); what they say is `policy.probabilities`."""
    every = logits.reshape(logits.shape[0], -1, logits.shape[-1])
    own = jnp.take_along_axis(every, punished.cells[..., None], axis=1)
    chances = jax.nn.log_softmax(jnp.concatenate([own, jnp.zeros_like(own[..., :1])], axis=-1))
    there = punished.choices != NO_CANDIDATE
    said = jnp.take_along_axis(chances, jnp.where(there, punished.choices, 0)[..., None], axis=-1)[..., 0]
    sure = jnp.sum(said * there, axis=1)
    return jnp.mean(-punished.weights * jnp.log1p(_LEAST_DOUBT - jnp.exp(sure)))
