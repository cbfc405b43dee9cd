"""A camera that the shipped `object_detection` model sees badly through.

A cheap one indoors, in the evening: dark, in the colour of a bulb, a little out of focus, noisy.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter

from benchmarks.drifted.source import Drawn
from models.base import EvaluatedSample, Sample
from models.object_detection.data.objects import Split
from models.object_detection.data.scenes import compose, jpeg
from models.object_detection.metrics import map50
from models.object_detection.scoring import hits

BULB = (1.2, 0.85, 0.35)
"""How much of red, green and blue such light has."""
LIGHT = (0.25, 0.5)
FOCUS = 1.3 / 300
"""The radius of the blur, as a share of the longer side."""
NOISE = 4.0
QUALITY = (30, 60)


def samples(tested: int, logged: int, seed: int) -> Drawn:
    """Those to measure on have photographs and objects that no training sees, and no log either."""
    rng = np.random.default_rng([seed, 78])
    return Drawn(_taken("held_out", tested, rng), _taken("train", logged, rng))


def _taken(split: Split, count: int, rng: Generator) -> list[Sample]:
    found = []
    for number in range(count):
        scene = compose(split, rng)
        payload = jpeg(_dim(scene.image, rng), int(rng.integers(*QUALITY)))
        found.append(Sample(f"dim-{number}.jpg", payload, "image/jpeg", {"boxes": scene.boxes}))
    return found


def _dim(picture: Image.Image, rng: Generator) -> Image.Image:
    blurred = picture.filter(ImageFilter.GaussianBlur(FOCUS * max(picture.size)))
    levels = np.asarray(blurred, np.float64) * (np.array(BULB) * rng.uniform(*LIGHT) * rng.uniform(0.95, 1.05, 3))
    levels += NOISE * rng.standard_normal(levels.shape)
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def reward(output: Mapping[str, Any], truth: Mapping[str, Any]) -> float:
    """From -1, all is wrong, to 1, every object was found and nothing else was said: 2 * F1 - 1.

    F1 is the harmonic mean of precision and recall; 1 for an empty picture of which nothing was said.
    """
    said, true = output["boxes"], truth["boxes"]
    if not said and not true:
        return 1.0
    return 4.0 * float(hits(said, true).sum()) / (len(said) + len(true)) - 1.0


def error(judged: Sequence[EvaluatedSample]) -> float:
    """1 - mAP at intersection over union 0.5."""
    return 1.0 - map50(judged)
