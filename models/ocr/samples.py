"""The files in `samples/` with their truths, and lines such as applications send."""

import json
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path

from models.base import Sample
from models.small.ocr.data import lines

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


def digit_lines(seed: int) -> Iterator[Sample]:
    """Yield lines of held-out digit scans, without end."""
    for number in count():
        yield from lines.make_payloads(20, seed + 1_000_003 * number)
