"""Targets of the cells, losses of the maps, and their distance from another network's."""

import jax
import jax.numpy as jnp

from models.small.object_detection.labels import LABELS
from models.small.object_detection.training.network import GRID, STRIDE

CLASSES_WEIGHT = 0.01
"""Of a logit's square in `distance`: there are many cells, and few that see something."""


def targets(boxes: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the targets of the cells, for boxes (batch, n, 4) with labels (batch, n).

    The heat maps (batch, 16, 16, classes), 1 in the cell of an object's middle and falling around it like a Gaussian
    (CenterNet, equation 1); the box that a cell belongs to (batch, 16, 16, 4), the smallest of those whose middle is
    within one and a half cells (FCOS's centre sampling); and whether it belongs to one, float32 (batch, 16, 16).
    """
    there = labels >= 0
    middles = (boxes[..., :2] + boxes[..., 2:]) / 2
    sizes = jnp.maximum(boxes[..., 2:] - boxes[..., :2], 1.0)
    cells = jnp.clip(jnp.floor(middles / STRIDE), 0, GRID - 1)
    grid = jnp.arange(GRID, dtype=jnp.float32)
    spread = jnp.maximum(sizes / STRIDE * 0.2, 0.5)

    def along(axis: int) -> jax.Array:
        away = (grid - cells[..., axis, None]) / spread[..., axis, None]
        return jnp.exp(-away * away / 2)

    heat = along(1)[..., :, None] * along(0)[..., None, :]  # (batch, n, rows, columns)
    classes = jax.nn.one_hot(labels, len(LABELS))  # no class for -1
    heats = jnp.max(heat[..., None] * classes[:, :, None, None, :], axis=1)

    points = (grid + 0.5) * STRIDE
    near = jnp.abs(points - middles[..., 0, None])[..., None, :] < 1.5 * STRIDE
    near &= jnp.abs(points - middles[..., 1, None])[..., :, None] < 1.5 * STRIDE
    inside = (points > boxes[..., 0, None])[..., None, :] & (points < boxes[..., 2, None])[..., None, :]
    inside &= (points > boxes[..., 1, None])[..., :, None] & (points < boxes[..., 3, None])[..., :, None]
    own = near & inside & there[..., None, None]
    area = jnp.where(own, (sizes[..., 0] * sizes[..., 1])[..., None, None], jnp.inf)
    smallest = jnp.argmin(area, axis=1)
    rows = jnp.arange(boxes.shape[0])[:, None, None]
    return heats, boxes[rows, smallest], own.any(axis=1).astype(jnp.float32)


def boxes_of(distances: jax.Array) -> jax.Array:
    """Return left, top, right, bottom in pixels, of distances (batch, 16, 16, 4)."""
    points = (jnp.arange(GRID, dtype=jnp.float32) + 0.5) * STRIDE
    x, y = points[None, None, :], points[None, :, None]
    left, top, right, bottom = jnp.moveaxis(distances, -1, 0)
    return jnp.stack([x - left, y - top, x + right, y + bottom], axis=-1)


def focal_loss(logits: jax.Array, heats: jax.Array) -> jax.Array:
    """Return the quality focal loss (Li et al., NeurIPS 2020, equation 3, beta 2): cross-entropy with heat as label,
    weighted down where it is nearly right. Of each scene, (batch,), a sum over all cells.
    """
    crossed = -(heats * jax.nn.log_sigmoid(logits) + (1 - heats) * jax.nn.log_sigmoid(-logits))
    return jnp.sum((heats - jax.nn.sigmoid(logits)) ** 2 * crossed, axis=(1, 2, 3))


def giou_loss(found: jax.Array, true: jax.Array) -> jax.Array:
    """Return 1 - generalised intersection over union (Rezatofighi et al., CVPR 2019) of each pair of boxes (..., 4)."""

    def area(box: jax.Array) -> jax.Array:
        sides = jnp.maximum(box[..., 2:] - box[..., :2], 0.0)
        return sides[..., 0] * sides[..., 1]

    low, high = jnp.maximum(found[..., :2], true[..., :2]), jnp.minimum(found[..., 2:], true[..., 2:])
    common = area(jnp.concatenate([low, high], axis=-1))
    union = area(found) + area(true) - common
    low, high = jnp.minimum(found[..., :2], true[..., :2]), jnp.maximum(found[..., 2:], true[..., 2:])
    hull = jnp.maximum(area(jnp.concatenate([low, high], axis=-1)), 1e-6)
    return 1 - common / jnp.maximum(union, 1e-6) + (hull - union) / hull


def scene_loss(
    logits: jax.Array,
    distances: jax.Array,
    boxes: jax.Array,
    labels: jax.Array,
    box_weight: float,
    weights: jax.Array | float = 1.0,
) -> jax.Array:
    """Return how far a batch's maps are from its truth: classes an object, and edges a cell that belongs to one.

    `weights` (batch,) say how much each scene counts.
    """
    heats, true, own = targets(boxes, labels)
    objects = jnp.maximum(jnp.sum(labels >= 0), 1)
    misses = jnp.sum(giou_loss(boxes_of(distances), true) * own, axis=(1, 2)) / jnp.maximum(jnp.sum(own), 1)
    return jnp.sum(weights * (focal_loss(logits, heats) / objects + box_weight * misses))


def distance(
    logits: jax.Array, distances: jax.Array, parent_logits: jax.Array, parent_distances: jax.Array
) -> jax.Array:
    """Return how far maps are from those of the parent: squares of logits, and of the logarithms of distances.

    The edges count where the parent sees something. A mean over scenes.
    """
    classes = jnp.sum((logits - parent_logits) ** 2)
    seen = jax.nn.sigmoid(parent_logits).max(axis=-1)
    edges = jnp.sum(jnp.mean((jnp.log(distances) - jnp.log(parent_distances)) ** 2, axis=-1) * seen)
    return (CLASSES_WEIGHT * classes + edges) / logits.shape[0]
