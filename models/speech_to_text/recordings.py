"""The recordings that ship with the task, with what is said in them."""

import json
from functools import cache
from pathlib import Path

from models.base import Sample

SAMPLES = Path(__file__).parent / "samples"
HELD_OUT = Path(__file__).parent / "held_out"
LIST = "recordings.json"


@cache
def shipped(directory: Path) -> tuple[Sample, ...]:
    """Return the recordings of a directory with their truths from its `recordings.json`."""
    return tuple(
        Sample(
            entry["name"],
            (directory / entry["name"]).read_bytes(),
            entry["content_type"],
            {"text": entry["text"]},
            entry["group"],
        )
        for entry in json.loads((directory / LIST).read_text())["recordings"]
    )
