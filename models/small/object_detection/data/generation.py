"""What the detector is fitted on: made scenes, the same for the same seed."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice, repeat
from multiprocessing import get_context
from typing import Any

import numpy as np

from models.base import Features, Sample
from models.small.object_detection.data.examples import MAX_OBJECTS, NO_OBJECT, Examples
from models.small.object_detection.data.objects import Split
from models.small.object_detection.data.scenes import samples
from models.small.object_detection.images import SIDE, Geometry, features_of
from models.small.object_detection.labels import LABELS

CHUNK = 250
_SPLIT_NUMBER: dict[Split, int] = {"train": 0, "validation": 1, "held_out": 2}

Labelled = tuple[Features, dict[str, Any]]
"""A picture's features, and what is truly there."""


def make_scenes(split: Split, number: int, seed: int, processes: int | None = None) -> list[Labelled]:
    """Return features of made scenes with their truths, on all cores."""
    starts = range(0, number, CHUNK)
    numbers = [min(CHUNK, number - start) for start in starts]
    processes = processes or os.cpu_count() or 1
    if processes == 1 or len(numbers) == 1:
        chunks: Iterable[list[Labelled]] = map(_chunk, repeat(split), numbers, repeat(seed), starts)
        return [scene for chunk in chunks for scene in chunk]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        chunks = pool.map(_chunk, repeat(split), numbers, repeat(seed), starts)
        return [scene for chunk in chunks for scene in chunk]


def _chunk(split: Split, number: int, seed: int, start: int) -> list[Labelled]:
    rng = np.random.default_rng([seed, _SPLIT_NUMBER[split], start])
    return labelled(islice(samples(split, rng, split), number))


def labelled(scenes: Iterable[Sample]) -> list[Labelled]:
    """Return the features of samples, made as when serving, with their truths."""
    return [(features_of(scene.payload), scene.correction) for scene in scenes]


def examples(scenes: Sequence[Labelled]) -> Examples:
    """Return the scenes as the network is fitted on them."""
    whole = Examples(
        np.zeros((len(scenes), SIDE, SIDE, 3), np.uint8),
        np.zeros((len(scenes), MAX_OBJECTS, 4), np.float32),
        np.full((len(scenes), MAX_OBJECTS), NO_OBJECT, np.int32),
    )
    for row, (features, truth) in enumerate(scenes):
        whole.squares[row] = features["image"]
        boxes = truth["boxes"][:MAX_OBJECTS]
        if boxes:
            places = np.array([box["box"] for box in boxes], np.float64)
            whole.boxes[row, : len(boxes)] = Geometry.from_array(features["geometry"]).to_square(places)
            whole.labels[row, : len(boxes)] = [LABELS.index(box["label"]) for box in boxes]
    return whole
