"""Lines that the recogniser shall go on reading as it does: made ones, and those of the log that it is sure of."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter

from models.ocr.training.feedback import LinePicture, as_line
from models.small.ocr.data.drifted import slanted
from models.small.ocr.data.generation import digit_scans, split_fonts
from models.small.ocr.data.lines import digit_line, photographed
from models.small.ocr.data.printed import printed_line
from models.small.ocr.data.words import text_line

SYMBOLS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!\"#$%&'()*+,-./:;<=>?@[]_{}€£§ÄÖÜäöüßéèçñåøæ"


def made_lines(count: int, seed: int) -> Iterator[LinePicture]:
    """Yield lines of digit scans, and plain, slanted and coarse print of words and codes."""
    rng = np.random.default_rng([seed, 23])
    for number in range(count):
        kind = number % 5
        if kind == 0:
            ink, text = digit_line(digit_scans("train"), rng)
        else:
            text = _symbols(rng) if kind == 1 else text_line(rng)
            ink = _DRAWN[int(rng.integers(len(_DRAWN)))](printed_line(text, _font(rng), rng), rng)
        yield LinePicture(as_line(np.asarray(photographed(ink, rng))), text)


def _symbols(rng: Generator) -> str:
    """Return groups of symbols by chance."""
    groups = (
        "".join(SYMBOLS[int(one)] for one in rng.integers(len(SYMBOLS), size=int(rng.integers(3, 9)))) for _ in "ab"
    )
    return " ".join(groups)


def _font(rng: Generator) -> Path:
    families = split_fonts("train")
    family = families[int(rng.integers(len(families)))]
    return family[int(rng.integers(len(family)))]


def _plain(ink: Image.Image, rng: Generator) -> Image.Image:
    return ink


def _slanted(ink: Image.Image, rng: Generator) -> Image.Image:
    return slanted(ink, rng.uniform(0.15, 0.5))


def _coarse(ink: Image.Image, rng: Generator) -> Image.Image:
    height = int(rng.integers(12, 19))
    small = slanted(ink, rng.uniform(0.0, 0.3)).resize(
        (max(1, ink.width * height // ink.height), height), Image.Resampling.BOX
    )
    return small.filter(ImageFilter.GaussianBlur(0.5)).resize(ink.size, Image.Resampling.BILINEAR)


_DRAWN: tuple[Callable[[Image.Image, Generator], Image.Image], ...] = (_plain, _slanted, _coarse)
