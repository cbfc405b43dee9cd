"""The files in `samples/` with their truths, and lines such as applications send."""

import json
from collections.abc import Iterator
from functools import cache
from itertools import count, cycle
from pathlib import Path

import numpy as np

from models.base import Sample
from models.small.ocr.data import lines

LINES_PER_PAGE = 50
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
    """Yield the shipped files without end: a page, then `LINES_PER_PAGE` lines in random order."""
    rng = np.random.default_rng(seed)
    known = lines.shipped_samples()
    pages = [sample for sample in shipped() if sample not in known]
    for page in cycle(pages):
        yield page
        for place in rng.integers(len(known), size=LINES_PER_PAGE):
            yield known[place]


def digit_lines(seed: int) -> Iterator[Sample]:
    """Yield lines of held-out digit scans, without end."""
    for number in count():
        yield from lines.make_payloads(20, seed + 1_000_003 * number)
