"""Convolutions and their parameters, as the tasks' networks declare them."""

from dataclasses import dataclass, field

import jax
import numpy as np
from numpy.typing import NDArray

Parameters = list[tuple[jax.Array, jax.Array]]
"""(weights, bias) of each layer; weights are (height, width, channels in, channels out), biases (channels out,)."""


@dataclass(frozen=True)
class Conv:
    """One convolution. The output has ceil(width / stride) frames; zeros beyond the edges."""

    filters: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: int = 1
    fold: bool = False
    """As high as its input: no padding in height, one row comes out."""
    still: bool = False
    """Starts at zero, or near it: the last layer of a residual block."""

    @property
    def padding(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Zeros (above, below), (left, right)."""
        up = 0 if self.fold else self.kernel[0] // 2
        side = self.dilation * (self.kernel[1] // 2)
        return (up, up), (side, side)


@dataclass
class FittedParameters:
    """The parameters found, and the loss of each step on the way."""

    parameters: Parameters
    losses: list[float] = field(default_factory=list)


def parameter_count(parameters: Parameters) -> int:
    """Return how many numbers the network learns."""
    return sum(int(np.prod(array.shape)) for pair in parameters for array in pair)


def as_numpy(parameters: Parameters) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return the same parameters outside of JAX, as the exporter takes them."""
    return [(np.asarray(weights), np.asarray(bias)) for weights, bias in parameters]
