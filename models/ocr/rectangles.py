"""Rectangles around text, each as its corners (4, 2): first that at the top left of the first symbol, then clockwise.

x points to the right, y down.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

Floats = NDArray[np.floating[Any]]

_GAIN = 0.9
"""An inclined rectangle must be smaller than this share of the upright one: short words have no clear direction."""
_UPRIGHT_RATIO = 1.5
"""What is so much higher than wide is read along its height, from the bottom to the top."""


def smallest_rectangle(points: Floats) -> NDArray[np.float64]:
    """Return the rectangle of least area around points (n, 2) that aren't on one line.

    One of its sides lies on a side of the convex hull (Freeman & Shapira, "Determining the minimum-area encasing
    rectangle for an arbitrary closed curve", CACM 1975).
    """
    hull = points[ConvexHull(points).vertices]
    sides = np.roll(hull, -1, axis=0) - hull
    angles = np.append(0.0, np.arctan2(sides[:, 1], sides[:, 0]))
    angles = (angles + np.pi / 4) % (np.pi / 2) - np.pi / 4
    axes = np.stack((np.cos(angles), np.sin(angles), -np.sin(angles), np.cos(angles)), axis=1).reshape(-1, 2, 2)
    along = axes @ hull.T
    low, high = along.min(axis=2), along.max(axis=2)
    areas = np.prod(high - low, axis=1)
    best = int(areas.argmin())
    best = best if areas[best] < _GAIN * areas[0] else 0
    return np.asarray(level(*low[best], *high[best]) @ axes[best])


def size(rectangle: Floats) -> tuple[float, float]:
    """Return the length along the text, and across it."""
    return float(np.hypot(*(rectangle[1] - rectangle[0]))), float(np.hypot(*(rectangle[3] - rectangle[0])))


def grown(rectangle: Floats, margin: float) -> NDArray[np.float64]:
    """Return the rectangle with each side moved outwards."""
    length, height = size(rectangle)
    along = (rectangle[1] - rectangle[0]) * (margin / max(length, 1e-6))
    across = (rectangle[3] - rectangle[0]) * (margin / max(height, 1e-6))
    return np.asarray(rectangle + np.stack((-along - across, along - across, along + across, across - along)))


def in_reading_direction(rectangle: Floats) -> NDArray[np.float64]:
    """Return the corners of an upright rectangle from where its text begins: a high one's at its bottom left."""
    length, height = size(rectangle)
    return np.asarray(np.roll(rectangle, 1, axis=0) if height >= _UPRIGHT_RATIO * length else rectangle)


def turned(rectangle: Floats) -> NDArray[np.float64]:
    """Return the rectangle whose text stands on its head."""
    return np.asarray(np.roll(rectangle, 2, axis=0))


def level(left: float, top: float, right: float, bottom: float) -> NDArray[np.float64]:
    """Return the rectangle with these sides."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
