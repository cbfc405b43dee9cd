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


def printed_lines(count: int, seed: int) -> Iterator[LinePicture]:
    """Yield plain, slanted and coarse print of words, of codes, and of symbols by chance."""
    rng = np.random.default_rng([seed, 23])
    for number in range(count):
        text = _TEXTS[number % len(_TEXTS)](rng)
        ink = _DRAWN[int(rng.integers(len(_DRAWN)))](printed_line(text, _font(rng), rng), rng)
        yield LinePicture(as_line(np.asarray(photographed(ink, rng))), text)


def scanned_lines(count: int, seed: int) -> Iterator[LinePicture]:
    """Yield lines of handwritten digits, of which the pretrained network reads one in four wrong."""
    rng = np.random.default_rng([seed, 24])
    for _ in range(count):
        ink, text = digit_line(digit_scans("train"), rng)
        yield LinePicture(as_line(np.asarray(photographed(ink, rng))), text)


def _codes(rng: Generator) -> str:
    """Return capital letters and digits by chance, which are easily taken for each other."""
    return "".join(rng.choice(list(SYMBOLS[:36]), int(rng.integers(6, 14))))


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
_TEXTS = (text_line, _codes, _symbols)
