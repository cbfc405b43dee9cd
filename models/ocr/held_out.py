"""Pages and lines that a version's figures are measured on; rendered in fonts of the `train` group."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models.base import Sample
from models.ocr.samples import digit_lines
from models.small.ocr.data.generation import printed_image, split_fonts
from models.small.ocr.data.lines import photographed, png
from models.small.ocr.data.words import text_line

LINES, PAGES, SEED = 200, 6, 23
"""A page takes as long as a hundred lines, and each run of the gate reads all of them two or three times."""
_SIZE, _MARGIN, _ROWS = (1240, 1754), 110, 34  # A4 at 150 dots per inch
_FONT_SIZE, _STEP, _GUTTER = 24, 44, 60


def held_out() -> Iterator[Sample]:
    """Yield printed lines, digit scans, and pages of one and of two columns, all as a camera shows them."""
    rng = np.random.default_rng(SEED)
    for number in range(LINES):
        image, text = printed_image("test", rng)
        yield Sample(f"printed-{number}.png", png(image), "image/png", {"text": text}, "printed_lines")
    for sample in islice(digit_lines(SEED), LINES):
        yield Sample(sample.name, sample.payload, sample.content_type, sample.correction, "digit_scans")
    for number in range(PAGES):
        image, text = page(1 + number % 2, rng)
        yield Sample(f"page-{number}.png", png(image), "image/png", {"text": text}, "pages")


def page(columns: int, rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Return a page of random words, and its text column by column."""
    families = split_fonts("test")
    family = families[int(rng.integers(len(families)))]
    font = ImageFont.truetype(str(family[int(rng.integers(len(family)))]), _FONT_SIZE)
    ink = Image.new("L", _SIZE)
    draw = ImageDraw.Draw(ink)
    width = (_SIZE[0] - 2 * _MARGIN - (columns - 1) * _GUTTER) // columns
    texts = []
    for column in range(columns):
        for row in range(_ROWS):
            texts.append(_row(font, width, rng))
            place = _MARGIN + column * (width + _GUTTER), _MARGIN + row * _STEP
            draw.text(place, texts[-1], fill=255, font=font)
    return photographed(ink, rng, _STEP), "\n".join(texts)


def _row(font: ImageFont.FreeTypeFont, width: int, rng: np.random.Generator) -> str:
    """Return words that fill a row."""
    text = text_line(rng)
    while font.getlength(longer := f"{text} {text_line(rng)}") <= width:
        text = longer
    return text if font.getlength(text) <= width else text.split()[0]
