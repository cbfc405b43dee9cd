"""Losses of the last layers: how far they are from corrections, and from what they said of rehearsed pictures.

Parameters are what is added to weights and bias of each level's two layers, the finest level first.
"""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from models.adapters.linear_layer import LinearLayer
from models.nn.convolution import Parameters
from models.object_detection.anchors import CLASSES
from models.object_detection.training.cells import Cells, LevelCells
from models.object_detection.training.network import Level


def initial(levels: Sequence[Level]) -> Parameters:
    """Return the parameters that add nothing."""
    layers = [layer for level in levels for layer in level]
    return [(jnp.zeros(layer.weights.shape), jnp.zeros(layer.bias.shape)) for layer in layers]


def merged(levels: Sequence[Level], parameters: Parameters) -> list[Level]:
    """Return the layers with what the parameters add."""
    layers = [layer for level in levels for layer in level]
    added = [
        LinearLayer(layer.weights + np.asarray(weights), layer.bias + np.asarray(bias))
        for layer, (weights, bias) in zip(layers, parameters, strict=True)
    ]
    return [Level(*pair) for pair in zip(added[::2], added[1::2], strict=True)]


def correction_loss(slope: float, parameters: Parameters, cells: Cells) -> jax.Array:
    """Return the loss of an anchor that sees an object: of its class, of its edges, and of false alarms beside it.

    Of the classes it is the cross-entropy of probabilities, as they are put out, so that they stay calibrated; of the
    edges SSD's, smooth L1.
    """
    total, seeing = jnp.zeros(()), jnp.zeros(())
    for of_level, logits, edges in _outputs(slope, parameters, cells):
        sees = of_level.labels >= 0
        truth = jax.nn.one_hot(of_level.labels, CLASSES)
        crossed = -(truth * jax.nn.log_sigmoid(logits) + (1 - truth) * jax.nn.log_sigmoid(-logits)).sum(axis=3)
        misplaced = _smooth_l1(edges - of_level.boxes).sum(axis=3) * sees
        total += jnp.sum((crossed + misplaced) * of_level.weights[..., None])
        seeing += jnp.sum(sees * of_level.weights[..., None])
    return total / jnp.maximum(seeing, 1.0)


def divergence(slope: float, parameters: Parameters, cells: Cells) -> jax.Array:
    """Return how far a picture's output is from the parent's: the divergence of probabilities, in nats, and of edges.

    Edges count where the parent sees something.
    """
    total = jnp.zeros(())
    for of_level, logits, edges in _outputs(slope, parameters, cells):
        before = slope * of_level.logits.astype(jnp.float32)
        probable = jax.nn.sigmoid(before)
        gained = probable * (jax.nn.log_sigmoid(before) - jax.nn.log_sigmoid(logits))
        gained += (1 - probable) * (jax.nn.log_sigmoid(-before) - jax.nn.log_sigmoid(-logits))
        moved = _smooth_l1(edges - of_level.offsets).sum(axis=3) * probable.max(axis=3)
        total += jnp.sum((gained.sum(axis=3) + moved) * of_level.weights[..., None])
    return total / len(cells[0].weights)


def _outputs(slope: float, parameters: Parameters, cells: Cells) -> Iterator[tuple[LevelCells, jax.Array, jax.Array]]:
    """Yield each level with its calibrated logits (pictures, cells, anchors, 80), and its edges (..., 4)."""
    for of_level, classes, edges in zip(cells, parameters[::2], parameters[1::2], strict=True):
        logits, offsets = (
            before.astype(jnp.float32) + (features.astype(jnp.float32) @ weights + bias).reshape(before.shape)
            for features, before, (weights, bias) in (
                (of_level.classes, of_level.logits, classes),
                (of_level.edges, of_level.offsets, edges),
            )
        )
        yield of_level, slope * logits, offsets


def _smooth_l1(difference: jax.Array) -> jax.Array:
    size = jnp.abs(difference)
    return jnp.where(size < 1, size * size / 2, size - 0.5)
