"""The cells of pictures that the last layers are fitted on: those with objects or doubts, and some of the others."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.object_detection.anchors import CLASSES
from models.object_detection.training.matching import NOTHING, Matches
from models.object_detection.training.network import CutDetector, LevelFeatures

MOST_CELLS = (40, 24, 16, 9, 4, 1)
"""Of each level, of a picture; of the first levels half are drawn by chance."""


class LevelCells(NamedTuple):
    """Cells of a level: `classes` and `edges` are what its layers take, float16 (pictures, cells, features).

    `logits` float16 (pictures, cells, anchors, 80) and `offsets` float16 (pictures, cells, anchors, 4), of the edges,
    are what the parent's layers make of them. `labels` int8 (pictures, cells, anchors) and
    `boxes` float32 (pictures, cells, anchors, 4) are what the anchors see, see `Matches`. `weights` float32 (pictures,
    cells) say for how many cells each stands.
    """

    classes: NDArray[np.float16]
    edges: NDArray[np.float16]
    logits: NDArray[np.float16]
    offsets: NDArray[np.float16]
    labels: NDArray[np.int8]
    boxes: NDArray[np.float32]
    weights: NDArray[np.float32]


Cells = list[LevelCells]
"""Of all levels, of the same pictures."""


def cells_of(
    detector: CutDetector, squares: Sequence[NDArray[np.uint8]], seen: Sequence[Matches], seed: int
) -> Iterator[Cells]:
    """Yield the cells of pictures, some pictures at a time; `seen` is what each picture's anchors see."""
    rng, place = np.random.default_rng(seed), 0
    for features in detector.features(squares):
        count, first, chosen = len(features[0].classes), 0, Cells()
        for number, of_level in enumerate(features):
            cells, anchors = of_level.classes.shape[1], detector.levels[number].anchors
            part = slice(first, first + cells * anchors)
            first = part.stop
            shape = (count, cells, anchors)
            labels = np.stack([one.labels[part] for one in seen[place : place + count]]).reshape(shape)
            boxes = np.stack([one.edges[part] for one in seen[place : place + count]]).reshape(*shape, 4)
            chosen.append(_chosen(detector, number, of_level, labels, boxes, rng))
        place += count
        yield chosen


def _chosen(
    detector: CutDetector,
    number: int,
    features: LevelFeatures,
    labels: NDArray[np.int8],
    boxes: NDArray[np.float32],
    rng: np.random.Generator,
) -> LevelCells:
    level = detector.levels[number]
    logits, offsets = (
        layer.scores(taken.astype(np.float32)).astype(np.float16) for layer, taken in zip(level, features, strict=True)
    )
    doubt = np.where((labels != NOTHING).any(axis=2), np.inf, logits.max(axis=2))
    most, cells = min(MOST_CELLS[number], doubt.shape[1]), doubt.shape[1]
    surest = most if most == cells else most // 2
    order = np.argsort(-doubt, axis=1, kind="stable")
    order[:, surest:] = rng.permuted(order[:, surest:], axis=1)
    rows, kept = np.arange(len(order))[:, None], order[:, :most]
    weights = np.ones(kept.shape, np.float32)
    weights[:, surest:] = (cells - surest) / max(1, most - surest)
    before = logits.reshape(*labels.shape, CLASSES), offsets.reshape(*labels.shape, 4)
    everywhere = LevelCells(*features, *before, labels, boxes, np.ones(doubt.shape, np.float32))
    return LevelCells(*_at(everywhere, (rows, kept)))._replace(weights=weights)


def joined(parts: Sequence[Cells]) -> Cells:
    """Return the cells of several sets of pictures as those of one, at least one."""
    return [LevelCells(*map(np.concatenate, zip(*levels, strict=True))) for levels in zip(*parts, strict=True)]


def taken(cells: Cells, pictures: NDArray[np.int64]) -> Cells:
    """Return the cells of some pictures."""
    return [LevelCells(*_at(level, pictures)) for level in cells]


def count(cells: Cells) -> int:
    """Return how many pictures they are of."""
    return len(cells[0].weights)


def _at(arrays: Iterable[NDArray[Any]], places: Any) -> Iterator[NDArray[Any]]:
    return (array[places] for array in arrays)
