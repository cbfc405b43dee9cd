"""The detector: one convolutional network, one grid of cells, for each cell the classes and the box around it.

Anchor-free and in one shot, after FCOS (Tian et al., ICCV 2019) and CenterNet (Zhou et al., "Objects as points",
2019): a heat map a class that peaks in the cell of an object's middle, and the distances from a cell's middle to the
box's four edges. Strided convolutions and residual blocks see the square at ever coarser grids; the coarsest is added
back to the one of the cells, so that a cell knows its surroundings.

Parameters are a plain list of (weights, bias), weights as (height, width, channels in, channels out).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from models.nn.convolution import Conv, Parameters
from models.small.object_detection.images import SIDE
from models.small.object_detection.labels import LABELS

STRIDE = 8
"""Of a cell, pixels of the square."""
GRID = SIDE // STRIDE
INITIAL_OBJECT_PROBABILITY = 0.02
"""How probable an object is in a cell before anything is learnt."""
RESIDUAL_SCALE = 0.05
"""The share of its size that a layer has at first which shall change little."""
MAX_LOG_DISTANCE = 3.0
"""The logarithm of the longest distance over the cell's side, and of the shortest one's reciprocal."""


@dataclass(frozen=True)
class Detector:
    """The network's shape: channels and residual blocks at strides 2, 4, 8 (the cells) and 16, channels of the head."""

    channels: tuple[int, int, int, int] = (16, 24, 48, 80)
    blocks: tuple[int, int, int, int] = (0, 1, 2, 2)
    head: int = 64

    def downs(self) -> tuple[Conv, Conv, Conv, Conv]:
        """Return what halves the grid, four times."""
        first, *others = self.channels
        a, b, c = (Conv(channels, (3, 3), (2, 2)) for channels in others)
        return Conv(first, (5, 5), (2, 2)), a, b, c

    def block(self, channels: int) -> tuple[Conv, Conv]:
        """Return a residual block's two convolutions."""
        return Conv(channels, (3, 3)), Conv(channels, (3, 3), still=True)

    def lateral(self) -> Conv:
        """Return the layer from the coarsest grid to the channels of the cells."""
        return Conv(self.channels[2], (1, 1))

    def heads(self) -> tuple[Conv, Conv, Conv]:
        """Return what both maps share, then the classes' map, then the distances'."""
        return Conv(self.head, (3, 3)), Conv(len(LABELS), (1, 1)), Conv(4, (1, 1), still=True)

    def layers(self) -> Iterator[tuple[int, Conv]]:
        """Yield all convolutions with the channels that they take, in the order of the parameters."""
        taken = 3
        for level, down in enumerate(self.downs()):
            yield taken, down
            taken = down.filters
            for _ in range(self.blocks[level]):
                for conv in self.block(taken):
                    yield taken, conv
        yield taken, self.lateral()
        cells = self.channels[2]
        for conv in self.block(cells):
            yield cells, conv
        shared, classes, distances = self.heads()
        yield cells, shared
        yield shared.filters, classes
        yield shared.filters, distances

    def initial(self, seed: int) -> Parameters:
        """Initialise (He et al. 2015): blocks near the identity, classes as rare, distances as one cell."""
        rng = np.random.default_rng(seed)
        parameters = []
        for taken, layer in self.layers():
            shape = (*layer.kernel, taken, layer.filters)
            scale = (RESIDUAL_SCALE if layer.still else 1.0) * float(np.sqrt(2.0 / np.prod(shape[:3])))
            weights = scale * rng.standard_normal(shape, np.float32)
            parameters.append((jnp.asarray(weights, jnp.float32), jnp.zeros(layer.filters, jnp.float32)))
        classes, bias = parameters[-2]
        parameters[-2] = 0.1 * classes, bias - float(np.log(1 / INITIAL_OBJECT_PROBABILITY - 1))
        return parameters

    def maps(self, parameters: Parameters, squares: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return logits (batch, 16, 16, classes) and distances left, top, right, bottom (batch, 16, 16, 4) in pixels.

        `squares` uint8 (batch, 128, 128, 3).
        """
        layers = iter(parameters)
        x = squares.astype(jnp.float32) / 255 - 0.5
        cells = x
        for level, down in enumerate(self.downs()):
            x = jax.nn.relu(_conv(down, x, *next(layers)))
            for _ in range(self.blocks[level]):
                x = self._residual(x, layers)
            if level == 2:
                cells = x
        coarse = _conv(self.lateral(), x, *next(layers))
        x = cells + jnp.repeat(jnp.repeat(coarse, 2, axis=1), 2, axis=2)
        x = self._residual(x, layers)
        shared, classes, distances = self.heads()
        x = jax.nn.relu(_conv(shared, x, *next(layers)))
        logits = _conv(classes, x, *next(layers))
        reach = jnp.clip(_conv(distances, x, *next(layers)), -MAX_LOG_DISTANCE, MAX_LOG_DISTANCE)
        return logits, STRIDE * jnp.exp(reach)

    def _residual(self, x: jax.Array, layers: Iterator[tuple[jax.Array, jax.Array]]) -> jax.Array:
        first, second = self.block(x.shape[-1])
        inner = jax.nn.relu(_conv(first, x, *next(layers)))
        return jax.nn.relu(x + _conv(second, inner, *next(layers)))


def _conv(layer: Conv, x: jax.Array, weights: jax.Array, bias: jax.Array) -> jax.Array:
    """Convolve with XLA's own operator: for pictures it is twice as fast on a CPU as `conv_ctc`'s matrix products."""
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, weights, layer.stride, layer.padding, dimension_numbers=layout) + bias
