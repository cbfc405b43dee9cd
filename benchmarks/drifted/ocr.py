"""A source that the shipped `ocr` model reads badly.

Lines in one font family that no training saw, slanted far and sent through a coarse, blurred fax.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter

from benchmarks.drifted.source import Drawn
from models.base import EvaluatedSample, Sample
from models.ocr.data.drifted import slanted
from models.ocr.data.generation import split_fonts
from models.ocr.data.lines import photographed, png
from models.ocr.data.printed import printed_line
from models.ocr.data.words import text_line
from models.ocr.metrics import character_error_rate

FAMILY = 0
"""Manrope, of the validation's families."""


def samples(tested: int, logged: int, seed: int) -> Drawn:
    """Files of the source with their texts, no text twice."""
    rng = np.random.default_rng([seed, 77])
    found: dict[str, bytes] = {}
    fonts = split_fonts("validation")[FAMILY]
    while len(found) < tested + logged:
        text = " ".join(text_line(rng).split()[:2])
        ink = printed_line(text, fonts[int(rng.integers(len(fonts)))], rng)
        image = photographed(_faxed(slanted(ink, rng.uniform(0.15, 0.3)), rng), rng)
        found.setdefault(text, png(image))
    made = [
        Sample(f"fax-{number}.png", payload, "image/png", {"text": text})
        for number, (text, payload) in enumerate(found.items())
    ]
    return Drawn(made[:tested], made[tested:])


def error(judged: Sequence[EvaluatedSample]) -> float:
    """The character error rate."""
    return character_error_rate([(one.decoded.output["text"], one.sample.correction["text"]) for one in judged])


def reward(output: Mapping[str, Any], truth: Mapping[str, Any]) -> float:
    """1 for a line that is right as a whole, else -1."""
    return 1.0 if output["text"] == truth["text"] else -1.0


def _faxed(ink: Image.Image, rng: Generator) -> Image.Image:
    """13 to 17 pixels high, blurred, and as large as before."""
    height = int(rng.integers(13, 18))
    small = ink.resize((max(1, ink.width * height // ink.height), height), Image.Resampling.BOX)
    return small.filter(ImageFilter.GaussianBlur(0.5)).resize(ink.size, Image.Resampling.BILINEAR)
