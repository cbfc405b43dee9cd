"""Printed lines: text rendered from a font file, slanted, stretched, made bolder or thinner by chance."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter, ImageFont


@lru_cache(maxsize=512)
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size)


def printed_line(text: str, path: Path, rng: Generator) -> Image.Image:
    """Return the text's ink, 255 on 0, with margins by chance. Letters are 16 to 44 pixels high."""
    size = int(rng.integers(9, 23)) * 2
    font = _font(path, size)
    tracking = rng.uniform(-0.03, 0.12) * size if rng.random() < 0.3 else 0.0
    left, top, right, bottom = font.getbbox(text)
    edge = round(rng.uniform(0.1, 0.6) * size)
    width, height = round(right - left + tracking * len(text)) + 2 * edge, round(bottom - top) + 2 * edge
    line = Image.new("L", (width, height))
    draw = ImageDraw.Draw(line)
    if tracking:
        x = float(edge - left)
        for symbol in text:
            draw.text((x, edge - top), symbol, fill=255, font=font)
            x += font.getlength(symbol) + tracking
    else:
        draw.text((edge - left, edge - top), text, fill=255, font=font)
    return _bent(_weighted(line, size, rng), rng)


def _weighted(line: Image.Image, size: int, rng: Generator) -> Image.Image:
    """Make strokes a little bolder or thinner, as bad printing does."""
    kind = rng.random()
    if size < 28 or kind > 0.24:
        return line
    changed = line.filter(ImageFilter.MaxFilter(3) if kind < 0.12 else ImageFilter.MinFilter(3))
    return Image.blend(line, changed, rng.uniform(0.3, 0.9 if kind < 0.12 else 0.6))


def _bent(line: Image.Image, rng: Generator) -> Image.Image:
    """Stretch, slant and turn a line a little about its middle."""
    stretch, slant, angle = rng.uniform(0.82, 1.25), rng.normal(0, 0.08), rng.normal(0, 0.006)
    grown = (round(line.width * stretch), round(line.height + abs(angle) * line.width))
    middle = np.array([line.width / 2, line.height / 2])
    inverse = np.linalg.inv(np.array([[stretch, -slant - angle], [angle * stretch, 1.0]]))
    offset = middle - inverse @ (np.array(grown) / 2)
    (a, b), (d, e) = inverse.tolist()
    c, f = offset.tolist()
    return line.transform(grown, Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BILINEAR)
