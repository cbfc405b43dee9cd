"""A camera for which the shipped `object_detection` model is bad.

It is a cheap camera indoors, in the evening: dark, in the colour of a light bulb, slightly out of focus, noisy.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter

from benchmarks.studies.drifted.source import SourceSamples
from models.base import EvaluatedSample, Sample
from models.object_detection.metrics import map50
from models.object_detection.scoring import hits
from models.small.object_detection.data.objects import Split
from models.small.object_detection.data.scenes import compose, jpeg

BULB_GAINS = (1.2, 0.85, 0.35)
"""The gains of red, green and blue under such light."""
LIGHT_RANGE = (0.25, 0.5)
BLUR_RADIUS_RATIO = 1.3 / 300
"""The radius of the blur, as a share of the longer side."""
NOISE_LEVEL = 4.0
JPEG_QUALITY_RANGE = (30, 60)


def draw_samples(tested: int, logged: int, seed: int) -> SourceSamples:
    """Draw samples; those to measure on have photographs and objects that are in no training set and no log."""
    rng = np.random.default_rng([seed, 78])
    return SourceSamples(_take_photographs("held_out", tested, rng), _take_photographs("train", logged, rng))


def _take_photographs(split: Split, count: int, rng: Generator) -> list[Sample]:
    samples = []
    for number in range(count):
        scene = compose(split, rng)
        payload = jpeg(_darken(scene.image, rng), int(rng.integers(*JPEG_QUALITY_RANGE)))
        samples.append(Sample(f"dim-{number}.jpg", payload, "image/jpeg", {"boxes": scene.boxes}))
    return samples


def _darken(picture: Image.Image, rng: Generator) -> Image.Image:
    blurred = picture.filter(ImageFilter.GaussianBlur(BLUR_RADIUS_RATIO * max(picture.size)))
    levels = np.asarray(blurred, np.float64) * (
        np.array(BULB_GAINS) * rng.uniform(*LIGHT_RANGE) * rng.uniform(0.95, 1.05, 3)
    )
    levels += NOISE_LEVEL * rng.standard_normal(levels.shape)
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def judge_reward(output: Mapping[str, Any], truth: Mapping[str, Any]) -> float:
    """Return 2 * F1 - 1: from -1, all boxes are wrong, to 1, every object is found and there is no other box.

    F1 is the harmonic mean of precision and recall; it is 1 for an empty picture without boxes.
    """
    predicted, true = output["boxes"], truth["boxes"]
    if not predicted and not true:
        return 1.0
    return 4.0 * float(hits(predicted, true).sum()) / (len(predicted) + len(true)) - 1.0


def measure_error(judged: Sequence[EvaluatedSample]) -> float:
    """Return 1 - mAP at intersection over union 0.5."""
    return 1.0 - map50(judged)
