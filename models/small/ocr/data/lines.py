"""Lines of handwritten digits, put together from scans, and what a camera or scanner does to a line.

Only numpy and Pillow: training makes its data with this, and `make run` and the benchmarks their traffic, from the
digit scans that no training ever sees (`samples/held_out_digits.npz`).
"""

import json
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from models.base import Sample

SAMPLES = Path(__file__).parents[1] / "samples"
MAX_DIGITS = 12
PRINTED_SHARE = 0.2
"""Of the demonstration's lines: shipped printed ones."""


class Scans(NamedTuple):
    """Scanned digits: `images` uint8 (n, 8, 8) with ink from 0 to 16, and the digits they show, `digits` (n,)."""

    images: NDArray[np.uint8]
    digits: NDArray[np.uint8]


@cache
def held_out_scans() -> Scans:
    """Return the last 20 % of scikit-learn's `load_digits`, by scan index."""
    with np.load(SAMPLES / "held_out_digits.npz") as file:
        return Scans(file["images"], file["digits"])


def digit_line(scans: Scans, rng: Generator, strangeness: float = 0.0) -> tuple[Image.Image, str]:
    """Return one to twelve scans side by side, ink 255 on 0, and the digits they show.

    With `strangeness` above 0 (1 in training) each scan is bent as well, as if by a writer never met.
    """
    chosen = rng.integers(len(scans.digits), size=int(rng.integers(1, MAX_DIGITS + 1)))
    size = rng.uniform(24, 52)  # of a digit, in pixels
    slant, gap, unsteady = rng.normal(0.0, 0.12 + 0.08 * strangeness), rng.uniform(0.0, 0.3), rng.uniform(0.01, 0.06)
    stretch = rng.uniform(0.8, 1.15)
    height = round(1.5 * size)
    line = Image.new("L", (round(1.4 * size * stretch * len(chosen) + 2 * size), height))
    x = rng.uniform(0.1, 0.5) * size
    for original in scans.images[chosen]:
        scale = size * float(np.exp(rng.normal(0.0, 0.06))) / 8
        matrix = _placed(scale * stretch * np.exp(rng.normal(0, 0.06)), scale, slant + rng.normal(0, 0.06), rng)
        scan = _bent(original, strangeness, rng) if strangeness else original
        columns = np.flatnonzero((scan > 3).any(axis=0))
        reach = (np.array([columns[0] - 4, columns[-1] - 3]) if columns.size else np.array([-4, 4])) * matrix[0, 0]
        centre = x - reach[0], height / 2 + rng.normal(0, unsteady) * size
        line = ImageChops.lighter(line, _drawn(scan, matrix, centre, line.size))
        x += reach[1] - reach[0] + (gap + rng.normal(0, 0.04)) * size
    right = min(line.width, round(x + rng.uniform(0.1, 0.5) * size))
    return line.crop((0, 0, right, height)), "".join(str(digit) for digit in scans.digits[chosen])


def _placed(across: float, down: float, slant: float, rng: Generator) -> NDArray[np.float64]:
    """Return the linear map (2, 2) from a scan's pixels to the line's: scale, slant, a slight turn."""
    angle = rng.normal(0.0, 0.05)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(turn @ np.array([[across, -slant * down], [0.0, down]]))


def _bent(scan: NDArray[np.uint8], strangeness: float, rng: Generator) -> NDArray[np.uint8]:
    """Return the scan with thinner or thicker strokes and its four quarters stretched, each its own way."""
    levels = 255 * (scan / 16.0) ** np.exp(rng.normal(0.0, 0.35 * strangeness))
    framed = Image.fromarray(np.pad(levels.astype(np.uint8), 2))
    grid = np.stack(np.meshgrid([0.0, 6.0, 12.0], [0.0, 6.0, 12.0]), axis=-1)
    grid += rng.normal(0, 0.65 * strangeness, (3, 3, 2))
    mesh = []
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        corners = grid[row, column], grid[row + 1, column], grid[row + 1, column + 1], grid[row, column + 1]
        box = (6 * column, 6 * row, 6 * column + 6, 6 * row + 6)
        mesh.append((box, tuple(float(value) for corner in corners for value in corner)))
    bent = np.asarray(framed.transform((12, 12), Image.Transform.MESH, mesh, Image.Resampling.BICUBIC))
    return (bent[2:10, 2:10] * (16 / 255) + 0.5).astype(np.uint8)


def _drawn(
    scan: NDArray[np.uint8], matrix: NDArray[np.float64], centre: tuple[float, float], size: tuple[int, int]
) -> Image.Image:
    framed = Image.fromarray(np.pad(np.minimum(scan * 16.0, 255).astype(np.uint8), 2))
    inverse = np.linalg.inv(matrix)
    offset = np.array([6.0, 6.0]) - inverse @ np.array(centre)
    (a, b), (d, e) = inverse.tolist()
    c, f = offset.tolist()
    return framed.transform(size, Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BICUBIC)


def photographed(ink: Image.Image, rng: Generator, line_height: int = 0) -> Image.Image:
    """Return the line as a file shows it: grey paper and ink, uneven light, blur, noise, sometimes inverted.

    A page of several lines needs the height of one.
    """
    if rng.random() < 0.4:
        ink = ink.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.035 * (line_height or ink.height))))
    paper, contrast = rng.uniform(170, 255), rng.uniform(80, 170)
    cover = np.asarray(ink, np.float32) * np.float32(contrast / 255)
    light = np.linspace(0, rng.uniform(-25, 25), ink.width, dtype=np.float32)
    noise = rng.standard_normal(cover.shape, np.float32) * np.float32(max(0.0, rng.uniform(-4, 9)))
    levels = np.float32(paper) + light - cover + noise
    if rng.random() < 0.1:
        levels = 255 - levels
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def png(image: Image.Image) -> bytes:
    """Return the bytes of a PNG file."""
    buffer = BytesIO()
    image.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def make_payloads(count: int, seed: int) -> list[Sample]:
    """Return distinct PNG files of lines of held-out digit scans, with their truths; the same for the same seed."""
    rng = np.random.default_rng(seed)
    return [_digit_sample(rng, f"digits-{seed}-{number}") for number in range(count)]


def _digit_sample(rng: Generator, name: str) -> Sample:
    ink, text = digit_line(held_out_scans(), rng)
    return Sample(f"{name}.png", png(photographed(ink, rng)), "image/png", {"text": text})


@cache
def shipped_samples() -> tuple[Sample, ...]:
    """Return the files in `samples/` with their truths from `samples.json`."""
    entries = json.loads((SAMPLES / "samples.json").read_text())
    return tuple(
        Sample(entry["name"], (SAMPLES / entry["name"]).read_bytes(), entry["content_type"], {"text": entry["text"]})
        for entry in entries
    )


def stream(seed: int) -> Iterator[Sample]:
    """Yield an endless stream of lines such as `make_payloads` gives, mixed with the shipped printed ones."""
    rng = np.random.default_rng(seed)
    printed = [sample for sample in shipped_samples() if sample.name.startswith("printed")]
    number = 0
    while True:
        if rng.random() < PRINTED_SHARE:
            yield printed[int(rng.integers(len(printed)))]
        else:
            yield _digit_sample(rng, f"digits-{seed}-{number}")
        number += 1
