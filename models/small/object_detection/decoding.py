"""From the network's maps to candidates, by non-maximum suppression. Only numpy."""

import numpy as np

from models.object_detection.boxes import Floats, kept
from models.object_detection.candidates import MIN_CANDIDATE_SCORE, Candidates
from models.small.object_detection.images import SIDE

MAX_CANDIDATES = 100
SAME_OBJECT_IOU = 0.5
"""Boxes that overlap more than this (intersection over union) are one object."""


def candidates(scores: Floats, distances: Floats) -> list[Candidates]:
    """Find each scene's candidates: `scores` (batch, rows, columns, classes), `distances` (batch, rows, columns, 4)."""
    batch, rows, columns, classes = scores.shape
    every = scores.reshape(batch, -1, classes)
    best = every.max(axis=2)
    stride = SIDE / rows
    across, down = np.meshgrid((np.arange(columns) + 0.5) * stride, (np.arange(rows) + 0.5) * stride)
    points = np.stack([across, down], axis=-1).reshape(-1, 2)
    reach = distances.reshape(batch, -1, 4)
    found = []
    for scene in range(batch):
        cells = np.flatnonzero(best[scene] >= MIN_CANDIDATE_SCORE)
        if len(cells) > MAX_CANDIDATES:
            cells = cells[np.argsort(-best[scene, cells], kind="stable")[:MAX_CANDIDATES]]
        far = reach[scene, cells].astype(np.float64)
        boxes = np.concatenate([points[cells] - far[:, :2], points[cells] + far[:, 2:]], axis=1)
        keep = kept(boxes, best[scene, cells].astype(np.float64), SAME_OBJECT_IOU)
        found.append(Candidates(boxes[keep], every[scene, cells[keep]].astype(np.float64), cells[keep]))
    return found
