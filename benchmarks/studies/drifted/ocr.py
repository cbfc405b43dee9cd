"""A source for which the shipped `ocr` model is bad.

Its lines are in a font family that is in no training set, strongly slanted, and sent through a coarse, blurred fax.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter

from benchmarks.studies.drifted.source import SourceSamples
from models.base import EvaluatedSample, Sample
from models.small.ocr.data.drifted import slanted
from models.small.ocr.data.generation import split_fonts
from models.small.ocr.data.lines import photographed, png
from models.small.ocr.data.printed import printed_line
from models.small.ocr.data.words import text_line
from models.small.ocr.metrics import character_error_rate

FONT_FAMILY = 0
"""Manrope, a family of the validation split."""


def draw_samples(tested: int, logged: int, seed: int) -> SourceSamples:
    """Draw files of the source with their texts, each text once."""
    rng = np.random.default_rng([seed, 77])
    payloads: dict[str, bytes] = {}
    fonts = split_fonts("validation")[FONT_FAMILY]
    while len(payloads) < tested + logged:
        text = " ".join(text_line(rng).split()[:2])
        ink = printed_line(text, fonts[int(rng.integers(len(fonts)))], rng)
        image = photographed(_fax(slanted(ink, rng.uniform(0.15, 0.3)), rng), rng)
        payloads.setdefault(text, png(image))
    samples = [
        Sample(f"fax-{number}.png", payload, "image/png", {"text": text})
        for number, (text, payload) in enumerate(payloads.items())
    ]
    return SourceSamples(samples[:tested], samples[tested:])


def measure_error(judged: Sequence[EvaluatedSample]) -> float:
    """Return the character error rate."""
    return character_error_rate([(line.decoded.output["text"], line.sample.correction["text"]) for line in judged])


def judge_reward(output: Mapping[str, Any], truth: Mapping[str, Any]) -> float:
    """Return 1 if the whole line is right, else -1."""
    return 1.0 if output["text"] == truth["text"] else -1.0


def _fax(ink: Image.Image, rng: Generator) -> Image.Image:
    """Scale a line to a height of 13 to 17 pixels, blur it, and scale it back."""
    height = int(rng.integers(13, 18))
    small = ink.resize((max(1, ink.width * height // ink.height), height), Image.Resampling.BOX)
    return small.filter(ImageFilter.GaussianBlur(0.5)).resize(ink.size, Image.Resampling.BILINEAR)
