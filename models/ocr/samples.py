"""The files in `samples/` with their truths, and lines such as applications send."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import count, cycle
from pathlib import Path

import numpy as np
from PIL import Image

from models.base import Sample
from models.ocr.pages import read_pages
from models.small.ocr.data import lines

LINES_PER_PAGE = 50
_NOISE = 2
"""In grey levels."""
SAMPLES = Path(__file__).parent / "samples"


@cache
def shipped() -> tuple[Sample, ...]:
    """Return the shipped pages with their truths from `samples.json`, and the small network's lines."""
    entries = json.loads((SAMPLES / "samples.json").read_text())
    pages = (
        Sample(entry["name"], (SAMPLES / entry["name"]).read_bytes(), entry["content_type"], {"text": entry["text"]})
        for entry in entries
    )
    return (*pages, *lines.shipped_samples())


def stream(seed: int) -> Iterator[Sample]:
    """Yield a shipped page, then `LINES_PER_PAGE` shipped lines in random order, without end.

    No two lines have the same bytes, as no two pictures of a camera do: equal payloads would count as one entity.
    """
    rng = np.random.default_rng(seed)
    known = lines.shipped_samples()
    pages = [sample for sample in shipped() if sample not in known]
    for page in cycle(pages):
        yield page
        for place in rng.integers(len(known), size=LINES_PER_PAGE):
            yield _taken_again(known[place], rng)


def _taken_again(line: Sample, rng: np.random.Generator) -> Sample:
    """Return another picture of a line, with noise of its own."""
    [page], _ = read_pages(line.payload)
    noise = rng.integers(-_NOISE, _NOISE + 1, page.grey.shape)
    noisy = np.clip(page.grey.astype(np.int16) + noise, 0, 255).astype(np.uint8)
    return replace(line, payload=lines.png(Image.fromarray(noisy)), content_type="image/png")


def digit_lines(seed: int) -> Iterator[Sample]:
    """Yield lines of held-out digit scans, without end."""
    for number in count():
        yield from lines.make_payloads(20, seed + 1_000_003 * number)
