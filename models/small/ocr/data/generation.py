"""The lines that the network is trained, chosen and tested on: the same for the same seed, on any machine.

Digit scans are split by scan index (first 72 % training, next 8 % validation, last 20 % held out), fonts by family.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image
from sklearn.datasets import load_digits

from models.nn.ctc import LabelledSignal
from models.small.ocr.data.fonts import FAMILIES, Split, font_files
from models.small.ocr.data.lines import Scans, digit_line, photographed
from models.small.ocr.data.printed import printed_line
from models.small.ocr.data.words import text_line
from models.small.ocr.images import normalise

SCAN_SHARES: dict[Split, tuple[float, float]] = {"train": (0.0, 0.72), "validation": (0.72, 0.8), "test": (0.8, 1.0)}
STRANGENESS: dict[Split, float] = {"train": 1.0, "validation": 1.0, "test": 0.0}
"""Few people wrote the training's scans; distorted, they stand for unseen writers, in fitting and calibration."""
BLANK_SHARE = 0.02
CHUNK = 250
HELD_OUT_LINES, HELD_OUT_SEED = 1_500, 0
"""Of each kind, the same for every version: so the figures of their cards can be compared, and measured again."""
_SPLIT_NUMBER: dict[Split, int] = {"train": 0, "validation": 1, "test": 2}


@cache
def digit_scans(split: Split) -> Scans:
    """Return the split's scans of scikit-learn's `load_digits` (1,797 scans of 8 x 8, UCI ML, CC BY 4.0)."""
    digits = load_digits()
    first, last = (int(len(digits.target) * share) for share in SCAN_SHARES[split])
    return Scans(digits.images[first:last].astype(np.uint8), digits.target[first:last].astype(np.uint8))


@cache
def split_fonts(split: Split) -> tuple[tuple[Path, ...], ...]:
    """Return the split's font files, one tuple a family."""
    return tuple(tuple(font_files(family)) for family in FAMILIES[split])


def digits_image(split: Split, rng: Generator) -> tuple[Image.Image, str]:
    """Return a line of the split's digit scans as a file would show it, and its text."""
    ink, text = digit_line(digit_scans(split), rng, STRANGENESS[split])
    return photographed(ink, rng), text


def printed_image(split: Split, rng: Generator) -> tuple[Image.Image, str]:
    """Return a line in one of the split's fonts (each family as often as any other), and its text."""
    families = split_fonts(split)
    family = families[int(rng.integers(len(families)))]
    text = text_line(rng)
    return photographed(printed_line(text, family[int(rng.integers(len(family)))], rng), rng), text


def make_lines(kind: str, split: Split, count: int, seed: int, processes: int | None = None) -> list[LabelledSignal]:
    """Return lines of one kind: `digits`, `printed` (with a few blank ones), made on all cores."""
    starts = range(0, count, CHUNK)
    counts = [min(CHUNK, count - start) for start in starts]
    processes = processes or os.cpu_count() or 1
    if processes == 1 or len(counts) == 1:
        chunks: Iterable[list[LabelledSignal]] = map(_chunk, repeat(kind), repeat(split), counts, repeat(seed), starts)
        return [line for chunk in chunks for line in chunk]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        chunks = pool.map(_chunk, repeat(kind), repeat(split), counts, repeat(seed), starts)
        return [line for chunk in chunks for line in chunk]


def held_out(kind: str) -> Iterator[tuple[Image.Image, str]]:
    """Yield the held-out lines of one kind as images: the same as `make_lines` makes of `test`."""
    for start in range(0, HELD_OUT_LINES, CHUNK):
        yield from _images(kind, "test", min(CHUNK, HELD_OUT_LINES - start), HELD_OUT_SEED, start)


def _chunk(kind: str, split: Split, count: int, seed: int, start: int) -> list[LabelledSignal]:
    return [LabelledSignal(normalise(image), text) for image, text in _images(kind, split, count, seed, start)]


def _images(kind: str, split: Split, count: int, seed: int, start: int) -> Iterator[tuple[Image.Image, str]]:
    rng = np.random.default_rng([seed, _SPLIT_NUMBER[split], int(kind == "printed"), start])
    make = printed_image if kind == "printed" else digits_image
    for _ in range(count):
        image, text = make(split, rng)
        if rng.random() < BLANK_SHARE and kind == "printed":
            image, text = photographed(Image.new("L", image.size), rng), ""
        yield image, text
