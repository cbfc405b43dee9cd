"""Scenes of the square moved and zoomed by chance: of few pictures, many that are alike."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from models.small.object_detection.images import PADDING_GREY, SIDE

ZOOMS = (0.8, 1.25)
MAX_SHIFT = SIDE / 8
"""How far a scene is moved along each axis, pixels."""
MIN_LEFT_SHARE = 0.5
"""The share of an object that must be left inside the square for it to count."""


def augmented(
    squares: NDArray[np.uint8], boxes: NDArray[np.float32], labels: NDArray[np.int32], rng: Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int32]]:
    """Move and zoom each scene of a batch. `boxes` (batch, n, 4), `labels` (batch, n), -1 for no object."""
    least, most = ZOOMS
    zooms = np.exp(rng.uniform(np.log(least), np.log(most), (len(squares), 1)))
    # A pixel x comes from the one at x / zoom + offset.
    offsets = SIDE / 2 - (SIDE / 2 + rng.uniform(-MAX_SHIFT, MAX_SHIFT, (len(squares), 2))) / zooms
    pictures = [
        _picture(square, float(zoom), offset)
        for square, zoom, offset in zip(squares, zooms[:, 0], offsets, strict=True)
    ]
    whole = (boxes - np.tile(offsets, 2)[:, None]) * zooms[..., None]
    inside = np.clip(whole, 0, SIDE).astype(np.float32)
    gone = _areas(inside) < MIN_LEFT_SHARE * _areas(whole)
    return np.stack(pictures), inside, np.where(gone, -1, labels).astype(np.int32)


def _picture(square: NDArray[np.uint8], zoom: float, offset: NDArray[np.float64]) -> NDArray[np.uint8]:
    across, down = offset.tolist()
    where = (1 / zoom, 0.0, across, 0.0, 1 / zoom, down)
    picture = Image.fromarray(square).transform(
        (SIDE, SIDE), Image.Transform.AFFINE, where, Image.Resampling.BILINEAR, fillcolor=(PADDING_GREY,) * 3
    )
    return np.asarray(picture)


def _areas(boxes: NDArray[np.floating]) -> NDArray[np.floating]:  # type: ignore[type-arg]
    return np.asarray((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]))
