"""A drifted source, which the shipped model reads badly: a font family unseen in training, strongly slanted."""

from collections.abc import Iterator

from numpy.random import Generator
from PIL import Image

from models.base import Sample
from models.small.ocr.data.generation import split_fonts
from models.small.ocr.data.lines import photographed, png
from models.small.ocr.data.printed import printed_line
from models.small.ocr.data.words import text_line

FAMILY = 0
"""Manrope, of the validation's families."""
SLANT = (0.35, 0.5)
"""As a share of a line's height; a typical italic has 0.2."""


def italics(rng: Generator) -> Iterator[Sample]:
    """Yield files of the source with their texts, without end, no text twice."""
    fonts, known = split_fonts("validation")[FAMILY], set[str]()
    while True:
        text = " ".join(text_line(rng).split()[:2])
        ink = printed_line(text, fonts[int(rng.integers(len(fonts)))], rng)
        image = photographed(slanted(ink, rng.uniform(*SLANT)), rng)
        if text not in known:
            yield Sample(f"italic-{len(known)}.png", png(image), "image/png", {"text": text})
            known.add(text)


def slanted(ink: Image.Image, slant: float) -> Image.Image:
    """Return the ink, each row moved to the right by so much of its height above the lowest."""
    wider = round(slant * ink.height)
    size = ink.width + wider, ink.height
    return ink.transform(size, Image.Transform.AFFINE, (1, slant, -wider, 0, 1, 0), Image.Resampling.BILINEAR)
