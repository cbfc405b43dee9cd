"""From the log to pictures with their true boxes, and to pictures that the detector shall go on seeing as it does."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.base import Untrainable
from models.datasets import Row, rows, why_nothing
from models.nn.ctc_feedback import LeftOut
from models.object_detection.pictures import SIDE
from models.object_detection.training.matching import Matches, matches
from models.object_detection.training.network import Anchors

SURE = 0.7
"""The least score of all boxes of a picture of the log that is rehearsed: the network was seldom wrong about these."""


class CorrectedPicture(NamedTuple):
    """A picture, uint8 (300, 300, 3), and what the anchors see in it."""

    square: NDArray[np.uint8]
    seen: Matches


@dataclass
class LoggedPictures:
    """A dataset's corrected pictures by split, those of which the network was sure, and counts of rows by kind."""

    train: list[CorrectedPicture] = field(default_factory=list)
    validation: list[CorrectedPicture] = field(default_factory=list)
    sure: list[NDArray[np.uint8]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def read(dataset: Path, anchors: Anchors, labels: Sequence[str], most_sure: int) -> LoggedPictures:
    """Read all rows but those of the split `test`; at most so many without feedback. Raises `Untrainable`."""
    log = LoggedPictures()
    for row in rows(dataset):
        if row.split == "test":
            continue
        try:
            if row.label is None and row.reward is None and not row.preferences:
                if len(log.sure) < most_sure and _is_sure(row):
                    log.sure.append(_square(row))
                continue
            getattr(log, row.split).append(_corrected(row, anchors, labels))
            log.counts[f"{row.split} corrections"] += 1
        except LeftOut as reason:
            log.counts[f"left out: {reason}"] += 1
    if not log.train:
        raise Untrainable(why_nothing(log.counts))
    return log


def _corrected(row: Row, anchors: Anchors, labels: Sequence[str]) -> CorrectedPicture:
    if row.label is None:
        raise LeftOut("a reward or a preference, which the pretrained detector does not learn from")
    boxes = row.label["boxes"]
    if any(box["label"] not in labels for box in boxes):
        raise LeftOut("a label that is none of the detector's classes")
    edges = np.array([box["box"] for box in boxes], np.float32).reshape(-1, 4)
    shares = np.clip(edges / np.tile(row.features["size"], 2).astype(np.float32), 0.0, 1.0)
    seen = matches(anchors, shares, [labels.index(box["label"]) for box in boxes])
    return CorrectedPicture(_square(row), seen)


def _is_sure(row: Row) -> bool:
    scores = [box["score"] for box in row.output["boxes"]]
    return bool(scores) and min(scores) >= SURE


def _square(row: Row) -> NDArray[np.uint8]:
    square = row.features.get("image")
    if square is None or square.shape != (SIDE, SIDE, 3):
        raise Untrainable(
            f"the dataset's features have no 'image' of shape {(SIDE, SIDE, 3)}: "
            "they are of another task or preprocess version"
        )
    return square
