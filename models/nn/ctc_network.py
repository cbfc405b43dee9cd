"""What fitting by CTC needs of a network, whichever it is."""

from collections.abc import Hashable
from typing import Protocol

import jax

from models.nn.convolution import Parameters


class CtcNetwork(Hashable, Protocol):
    """A function of its parameters and of signals (height, width), for each of whose frames it scores the classes.

    It is hashable, so that what JAX compiles for it is compiled once.
    """

    @property
    def height(self) -> int:
        """Return the height of its signals."""

    @property
    def time_stride(self) -> int:
        """Return the columns of a signal for each frame."""

    def frames(self, widths: jax.Array) -> jax.Array:
        """Return how many output frames count for inputs of these widths."""

    def logits(self, parameters: Parameters, signal: jax.Array, widths: jax.Array) -> jax.Array:
        """Return unscaled class scores, (batch, frames, classes), of signals (batch, height, width) float32."""
