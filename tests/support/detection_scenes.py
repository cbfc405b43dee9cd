"""Scenes that a detector learns quickly."""

import numpy as np

from models.small.object_detection.data.examples import Examples


def make_block_scenes(number: int, seed: int, light: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Examples:
    """Draw a light block on a dark ground in each scene. Its brightness gives the class, 0 or 1; `light` its colour."""
    rng = np.random.default_rng(seed)
    examples = Examples(
        np.zeros((number, 128, 128, 3), np.uint8),
        np.zeros((number, 16, 4), np.float32),
        np.full((number, 16), -1, np.int32),
    )
    for row in range(number):
        left, top = rng.integers(0, 90, size=2)
        label = row % 2
        examples.squares[row, top : top + 32, left : left + 32] = np.array(light) * (120 + 130 * label)
        examples.boxes[row, 0], examples.labels[row, 0] = (left, top, left + 32, top + 32), label
    return examples
